"""One layer's decode attention through page lists: what each kind of policy reads.

Policies that choose pages list them and read nothing else. Policies that choose single tokens (the oracle,
the reference's unaligned blocks, random draws) score every key and mask: they measure, they save no bytes.
Axis letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · P pages of a sequence ·
J listed pages · S = P·p context.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Shaped

import pallas_kernels as pk
from kinetics_jax.policies import PageRule, Policy

Query = Float[Array, "B N H"]
PageList = tuple[Int[Array, "B K J"], Int[Array, "B K"]]
"""Ids of the pages that each KV head reads, newest first, and how many of them are valid."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One new token of every sequence, its key and value already stored; ids and rows are the layer's."""

    query_bnh: Query
    kv_pages: Shaped[Array, "pages K 2 p H"]
    summaries: Shaped[Array, "rows K R P H"] | None
    page_table_bp: Int[Array, "B P"]
    lengths_b: Int[Array, " B"]
    """The new token included."""
    rows_b: Int[Array, " B"]
    streams_b: Int[Array, " B"]
    page_size: int = dataclasses.field(metadata={"static": True})
    implementation: str | None = dataclasses.field(metadata={"static": True})
    shared_heads: tuple[tuple[str, ...], int] | None = dataclasses.field(metadata={"static": True})
    """Mesh axes of the heads, and how many devices share a KV head, each with a part of its query group:
    they choose together. None: every device has whole query groups."""


def attend_step(policy: Policy, step: Step) -> Query:
    """out_bnh: every sequence attends to what ``policy`` reads of it."""
    if policy.kv_budget is None:
        return _attend_lists(step, *every_page(step))
    if policy.pages is not None:
        return _attend_lists(step, *listed_pages(policy.pages, step))
    return attend_masked(policy, step)


def every_page(step: Step, longest: int | None = None) -> PageList:
    """page_ids_bkj, newest first, and num_pages_bk of whole sequences of at most ``longest`` pages."""
    pages_b = -(-step.lengths_b // step.page_size)
    J = step.page_table_bp.shape[1] if longest is None else longest
    return _at_places(step, pages_b[:, None] - 1 - jnp.arange(J), pages_b)


def _at_places(step: Step, place_bj: Array, count_b: Array) -> PageList:
    """Lists of the pages at these places of the text, the same for every KV head."""
    ids_bj = jnp.take_along_axis(step.page_table_bp, jnp.maximum(place_bj, 0), axis=1)
    shape = (step.page_table_bp.shape[0], step.kv_pages.shape[1])
    return (
        jnp.broadcast_to(ids_bj[:, None], (*shape, place_bj.shape[1])),
        jnp.broadcast_to(count_b[:, None], shape).astype(jnp.int32),
    )


def listed_pages(rule: PageRule, step: Step) -> PageList:
    """page_ids_bkj, newest first, and num_pages_bk that a rule lists of each sequence, in one room."""
    longest = min(rule.longest_list, step.page_table_bp.shape[1])
    if not rule.top:
        return fixed_pages(rule, step, longest)
    if not rule.whole_below:
        return best_pages(rule, step)
    chooses_b = rule.leaves_out(step.lengths_b)

    def none() -> PageList:
        return every_page(step, longest)

    def some() -> PageList:
        chosen = dataclasses.replace(step, lengths_b=jnp.where(chooses_b, step.lengths_b, 0))
        best_bkj, num_best_bk = best_pages(rule, chosen)  # of the others it reads no summary
        every_bkj, num_every_bk = none()
        best_bkj = jnp.pad(best_bkj, [(0, 0), (0, 0), (0, longest - best_bkj.shape[-1])])
        return (
            jnp.where(chooses_b[:, None, None], best_bkj, every_bkj),
            jnp.where(chooses_b[:, None], num_best_bk, num_every_bk),
        )

    if step.shared_heads is not None:  # its devices speak to each other, which not all would come to
        return some()
    return lax.cond(chooses_b.any(), some, none)


def fixed_pages(rule: PageRule, step: Step, longest: int) -> PageList:
    """page_ids_bkj and num_pages_bk of a rule without a choice: the newest pages, then the first ones.

    As ``pk.select_pages`` lists them where no page has a score, but for no launch.
    """
    pages_b = -(-step.lengths_b // step.page_size)
    out_b = rule.leaves_out(step.lengths_b)
    j = jnp.arange(longest)
    skips_bj = out_b[:, None] & (j >= rule.local)
    place_bj = jnp.where(skips_bj, rule.listed - 1 - j, pages_b[:, None] - 1 - j)
    return _at_places(step, place_bj, jnp.where(out_b, rule.listed, pages_b))


def best_pages(rule: PageRule, step: Step) -> PageList:
    """page_ids_bkj and num_pages_bk by search: a rule's fixed pages and the best of the others."""
    assert step.summaries is not None, "a cache for this policy keeps page summaries"
    scores_bkp = pk.page_scores(
        step.query_bnh,
        step.summaries,
        step.lengths_b,
        page_size=step.page_size,
        rows_b=step.rows_b,
        implementation=step.implementation,
    )
    return pk.select_pages(
        _over_the_group(scores_bkp, step),
        step.lengths_b,
        page_size=step.page_size,
        top_k=rule.listed,
        sink_pages=rule.sink,
        local_pages=rule.local,
        page_table_bp=step.page_table_bp,
        implementation=step.implementation,
    )


def _attend_lists(step: Step, page_ids_bkj: Array, num_pages_bk: Array) -> Array:
    out_bnh, _ = pk.paged_attention(
        step.query_bnh,
        step.kv_pages,
        page_ids_bkj,
        num_pages_bk,
        step.lengths_b,
        implementation=step.implementation,
    )
    return out_bnh


def _over_the_group(scores: Array, step: Step) -> Array:
    """Mean over the whole query group where several devices hold parts of it: budgets are per KV head."""
    if step.shared_heads is None:
        return scores
    axes, sharing = step.shared_heads
    everyone = lax.all_gather(scores, axes)
    by_head = everyone.reshape(-1, sharing, *scores.shape).mean(axis=1)
    return by_head[lax.axis_index(axes) // sharing]


def attend_masked(policy: Policy, step: Step) -> Query:
    """out_bnh by scoring every key of a sequence and masking what the policy does not keep."""
    N, H = step.query_bnh.shape[1:]
    K, stored = step.kv_pages.shape[1], step.kv_pages.shape[-1]

    def one(row: tuple[Array, Array, Array, Array]) -> Array:
        query_nh, table_p, length, stream = row
        pages_pkcph = pk.widen(step.kv_pages[table_p])
        key_ksh, value_ksh = (
            jnp.swapaxes(pages_pkcph[:, :, c], 0, 1).reshape(K, -1, stored)[..., :H] for c in (0, 1)
        )
        held_s = jnp.arange(key_ksh.shape[1]) < length
        query_kgh = query_nh.astype(jnp.float32).reshape(K, N // K, H) / math.sqrt(H)
        logits_kgs = jnp.einsum("kgh,ksh->kgs", query_kgh, key_ksh)
        scores_ks = _over_the_group(logits_kgs.mean(1), step)
        keep_ks = policy.keep(scores_ks[None], length[None], stream[None])[0]
        logits_kgs = jnp.where(keep_ks[:, None], logits_kgs, -jnp.inf)
        share_kgs = jax.nn.softmax(logits_kgs, axis=-1)
        value_ksh = jnp.where(held_s[:, None], value_ksh, 0)
        return jnp.einsum("kgs,ksh->kgh", share_kgs, value_ksh).reshape(N, H)

    rows = (step.query_bnh, step.page_table_bp, step.lengths_b, step.streams_b)
    return lax.map(one, rows).astype(step.query_bnh.dtype)
