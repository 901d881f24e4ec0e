"""Decode attention of many samples of one prompt: the public function, its checks and its dispatch.

Letters: B sequences · U prompts · m = B/U samples of a prompt · N query heads · K KV heads · H head dim ·
J listed pages.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int, Int32, Real

from pallas_kernels._dispatch import Implementation, Op
from pallas_kernels.arguments import (
    FLOATS,
    PAGES,
    SINGLE,
    WHOLE,
    array,
    option,
    score_scale,
    take,
    typed_call,
)
from pallas_kernels.errors import expect
from pallas_kernels.paged_attention.api import PagedAttention, check, with_scale

OP = Op("prefix_attention", kernels=("tpu", "gpu", "cpu"))


@typed_call
class PrefixAttention:
    """A call of `prefix_attention`, which says what the fields are. Back ends always get a ``scale``."""

    query_bnh: Float[Array, "B N H"] = array(FLOATS)
    kv_pages: Real[Array, "pages K 2 p Hs"] = array(PAGES)
    prefix_ids_ukj: Int32[Array, "U K shared"] = array(WHOLE)
    prefix_num_pages_uk: Int32[Array, "U K"] = array(WHOLE)
    prefix_lengths_u: Int32[Array, " U"] = array(WHOLE)
    page_ids_bkj: Int32[Array, "B K J"] = array(WHOLE)
    num_pages_bk: Int32[Array, "B K"] = array(WHOLE)
    lengths_b: Int32[Array, " B"] = array(WHOLE)
    scale: float = option(score_scale, default=None)
    kv_scales: Float32[Array, "pages K 2"] | None = array(SINGLE, default=None)

    def own(self) -> PagedAttention:
        """Attention of each sample to its own pages."""
        lists = (self.page_ids_bkj, self.num_pages_bk, self.lengths_b)
        return PagedAttention(self.query_bnh, self.kv_pages, *lists, self.scale, self.kv_scales)

    def shared(self, query: jax.Array, repeats: int) -> PagedAttention:
        """Attention of queries to the shared pages, each prompt's ``repeats`` times."""
        lists = (self.prefix_ids_ukj, self.prefix_num_pages_uk, self.prefix_lengths_u)
        ids, counts, lengths = (jnp.repeat(x, repeats, axis=0) for x in lists)
        return PagedAttention(query, self.kv_pages, ids, counts, lengths, self.scale, self.kv_scales)


def prefix_attention(
    query_bnh: Float[Array, "B N H"],
    kv_pages: Real[Array, "pages K 2 p Hs"],
    prefix_ids_ukj: Int[Array, "U K shared"],
    prefix_num_pages_uk: Int[Array, "U K"],
    prefix_lengths_u: Int[Array, " U"],
    page_ids_bkj: Int[Array, "B K J"],
    num_pages_bk: Int[Array, "B K"],
    lengths_b: Int[Array, " B"],
    *,
    scale: float | None = None,
    kv_scales: Float32[Array, "pages K 2"] | None = None,
    implementation: Implementation = None,
) -> tuple[Float[Array, "B N H"], Float32[Array, "B N"]]:
    """Attend ``m`` samples of each prompt to the prompt's shared pages, and each sample to its own.

    The queries of the m samples are stacked into one matrix, so a shared page is read once for all of them
    and not once per sample; the two parts are added up by their log-sum-exp.

    Args:
        query_bnh: ``[B, N, H]``; sequences ``u·m … u·m + m − 1`` are the samples of prompt u.
        kv_pages: the pool, as in `pallas_kernels.paged_attention`.
        prefix_ids_ukj: ``[U, K, J']`` int32 pages shared by the samples of a prompt, newest first.
        prefix_num_pages_uk: ``[U, K]`` int32 valid positions of each shared list.
        prefix_lengths_u: ``[U]`` int32 tokens of the shared part: they fill its newest page as in
            `pallas_kernels.paged_attention`. 0 = nothing shared.
        page_ids_bkj: ``[B, K, J]`` int32 each sample's own pages, newest first.
        num_pages_bk: ``[B, K]`` int32 valid positions of each own list.
        lengths_b: ``[B]`` int32 tokens of a sample, which fill its newest own page. Shared full pages may be
            counted or not: only the remainder by the page size, and 0 for "none", matter.
        scale: of the scores; ``1/sqrt(H)`` when None.
        kv_scales: ``[P_total, K, 2]`` f32 with int8 and float8 pages.
        implementation: None, a back end, or several in the order to try (docs/kernels/back_ends.md).

    Returns:
        ``out [B, N, H]`` and ``lse [B, N]`` over the shared and the own pages together.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    prefix = (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    own = (page_ids_bkj, num_pages_bk, lengths_b)
    given = PrefixAttention(query_bnh, kv_pages, *prefix, *own, scale, kv_scales)  # type: ignore[arg-type]
    call = take(OP.name, given)
    _check(call)
    return OP(implementation, with_scale(call))


def _check(call: PrefixAttention) -> None:
    """Raise `ArgumentError` unless both lists fit the query and the pool."""
    own = call.own()
    check(OP.name, own)
    (B, *heads), U = call.query_bnh.shape, call.prefix_lengths_u.size
    expect(U > 0 and B % U == 0, OP.name, f"{B} sequences are not a multiple of {U} prompts")
    shared = dataclasses.replace(
        own,
        query_bnh=jax.ShapeDtypeStruct((U, *heads), call.query_bnh.dtype),  # type: ignore[arg-type]
        page_ids_bkj=call.prefix_ids_ukj,
        num_pages_bk=call.prefix_num_pages_uk,
        lengths_b=call.prefix_lengths_u,
    )
    check(OP.name, shared)


def stack_samples(query_bnh: jax.Array, prompts: int, kv_heads: int) -> jax.Array:
    """``[B, N, H]`` → ``[U, K·m·G, H]``: the query group of a KV head becomes that of all samples."""
    B, N, H = query_bnh.shape
    split = query_bnh.reshape(prompts, B // prompts, kv_heads, N // kv_heads, H)
    return split.swapaxes(1, 2).reshape(prompts, -1, H)


def unstack_samples(stacked: jax.Array, samples: int, kv_heads: int) -> jax.Array:
    """``[U, K·m·G, …]`` → ``[U·m, N, …]``, the inverse of `stack_samples`."""
    prompts, rows, *rest = stacked.shape
    split = stacked.reshape(prompts, kv_heads, samples, rows // (kv_heads * samples), *rest)
    return split.swapaxes(1, 2).reshape(prompts * samples, rows // samples, *rest)
