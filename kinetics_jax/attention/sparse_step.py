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
        return _attend_lists(step, *best_pages(policy.pages, step))
    return attend_masked(policy, step)


def every_page(step: Step) -> PageList:
    """page_ids_bkj, newest first, and num_pages_bk of whole sequences."""
    B, P = step.page_table_bp.shape
    K = step.kv_pages.shape[1]
    pages_b = -(-step.lengths_b // step.page_size)
    place_bj = jnp.maximum(pages_b[:, None] - 1 - jnp.arange(P), 0)
    ids_bj = jnp.take_along_axis(step.page_table_bp, place_bj, axis=1)
    return (
        jnp.broadcast_to(ids_bj[:, None], (B, K, P)),
        jnp.broadcast_to(pages_b[:, None], (B, K)).astype(jnp.int32),
    )


def best_pages(rule: PageRule, step: Step) -> PageList:
    """page_ids_bkj and num_pages_bk that a rule lists: its fixed pages and the best of the others."""
    if rule.top:
        assert step.summaries is not None, "a cache for this policy keeps page summaries"
        scores_bkp = pk.page_scores(
            step.query_bnh,
            step.summaries,
            step.lengths_b,
            page_size=step.page_size,
            rows_b=step.rows_b,
            implementation=step.implementation,
        )
        scores_bkp = _over_the_group(scores_bkp, step)
    else:
        B, P = step.page_table_bp.shape
        scores_bkp = jnp.zeros((B, step.kv_pages.shape[1], P), jnp.float32)
    return pk.select_pages(
        scores_bkp,
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
