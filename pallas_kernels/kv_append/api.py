"""New tokens → the paged cache, in place: the public function, its checks and its dispatch.

Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages of a sequence ·
R summary vectors of a page · m rows of summaries.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int, Int32, Real

from pallas_kernels._dispatch import Implementation, Op
from pallas_kernels.arguments import FLOATS, PAGES, SINGLE, SUMMARIES, WHOLE, array, take, typed_call
from pallas_kernels.errors import expect
from pallas_kernels.paged_attention.api import check_pool

OP = Op("kv_append", kernels=("tpu", "gpu", "cpu"))


class Appended(NamedTuple):
    """The cache after an append; parts that were not given stay None."""

    kv_pages: Real[Array, "pages K 2 p Hs"]
    summaries: Real[Array, "m K R P Hs"] | None
    kv_scales: Float32[Array, "pages K 2"] | None


@typed_call
class KvAppend:
    """A call of `kv_append`, which says what the fields are. Back ends always get counts and rows."""

    kv_pages: Real[Array, "pages K 2 p Hs"] = array(PAGES)
    key_btkh: Float[Array, "B T K H"] = array(FLOATS)
    value_btkh: Float[Array, "B T K H"] = array(FLOATS)
    page_table_bp: Int32[Array, "B P"] = array(WHOLE)
    lengths_b: Int32[Array, " B"] = array(WHOLE)
    new_tokens_b: Int32[Array, " B"] = array(WHOLE, default=None)
    summaries_mkrph: Real[Array, "m K R P Hs"] | None = array(SUMMARIES, default=None)
    rows_b: Int32[Array, " B"] = array(WHOLE, default=None)
    kv_scales: Float32[Array, "pages K 2"] | None = array(SINGLE, default=None)


def kv_append(
    kv_pages: Real[Array, "pages K 2 p Hs"],
    key_btkh: Float[Array, "B T K H"],
    value_btkh: Float[Array, "B T K H"],
    page_table_bp: Int[Array, "B P"],
    lengths_b: Int[Array, " B"],
    *,
    new_tokens_b: Int[Array, " B"] | None = None,
    summaries_mkrph: Real[Array, "m K R P Hs"] | None = None,
    rows_b: Int[Array, " B"] | None = None,
    kv_scales: Float32[Array, "pages K 2"] | None = None,
    implementation: Implementation = None,
) -> Appended:
    """Write the next ``T`` tokens of each sequence and update the summaries of the pages they touch.

    Decode is T = 1, a prefill chunk any T. Donate ``kv_pages``, ``summaries_mkrph`` and ``kv_scales`` to the
    jitted caller: they are updated in place, and nothing but the touched pages moves.

    A page's summary is a function of the tokens it holds: the f32 mean (R = 1), or minimum and maximum
    (R = 2), of its *stored* keys — so it does not matter in which steps a page was filled. int8 and float8
    pages keep one scale for K and one for V, the largest magnitude seen so far; when a new token raises it,
    the page's earlier tokens are rescaled and rounded again.

    Args:
        kv_pages: ``[P_total, K, 2, p, Hs]`` pool, as in `pallas_kernels.paged_attention`.
        key_btkh: ``[B, T, K, H]`` bf16 or f32 (after rotary embedding); written with zeros from H to Hs.
        value_btkh: ``[B, T, K, H]`` in the keys' dtype.
        page_table_bp: ``[B, P]`` int32 physical id of each page of a sequence. No two sequences may append
            to the same page.
        lengths_b: ``[B]`` int32 tokens *before* the append; token t lands at position ``length + t``. With
            the new tokens a sequence fits its P pages.
        new_tokens_b: ``[B]`` int32, how many of the T tokens are real; T for all when None. A sequence with 0
            is left alone.
        summaries_mkrph: ``[m, K, R, P, Hs]``, as in `pallas_kernels.page_scores`; None = keep none.
        rows_b: ``[B]`` int32, which of the m rows belongs to a sequence; ``arange(B)`` when None.
        kv_scales: ``[P_total, K, 2]`` f32 with int8 and float8 pages.
        implementation: None, a back end, or several in the order to try (docs/kernels/back_ends.md).

    Returns:
        `Appended`: the pool, the summaries and the scales.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    given = (kv_pages, key_btkh, value_btkh, page_table_bp, lengths_b, new_tokens_b, summaries_mkrph)
    call = take(OP.name, KvAppend(*given, rows_b, kv_scales))  # type: ignore[arg-type]
    _check(call)
    B, T = call.key_btkh.shape[:2]
    if call.new_tokens_b is None:
        call = dataclasses.replace(call, new_tokens_b=jnp.full((B,), T, jnp.int32))
    if call.rows_b is None:
        call = dataclasses.replace(call, rows_b=jnp.arange(B, dtype=jnp.int32))
    return Appended(*OP(implementation, call))


def touched_pages(T: int, page_size: int) -> int:
    """The most pages that ``T`` consecutive tokens can touch."""
    return (T + page_size - 2) // page_size + 1


def _check(call: KvAppend) -> None:
    """Raise `ArgumentError` unless the shapes fit together."""
    pool, key, value, table = call.kv_pages, call.key_btkh, call.value_btkh, call.page_table_bp
    check_pool(OP.name, pool, call.kv_scales)
    heads, stored = pool.shape[1], pool.shape[4]
    expect(
        key.ndim == 4 and key.shape[1] > 0 and key.shape[2] == heads and key.shape[3] <= stored,
        OP.name,
        f"keys are [B, T, {heads}, at most {stored}], not {key.shape}",
    )
    expect(
        key.shape == value.shape and key.dtype == value.dtype,
        OP.name,
        f"keys {key.shape} {key.dtype} and values {value.shape} {value.dtype} differ",
    )
    B, tabled = key.shape[0], table.shape
    fits = len(tabled) == 2 and tabled[0] == B and tabled[1] > 0
    expect(fits, OP.name, f"page table is [{B}, P], not {tabled}")
    for name in ("lengths", "new_tokens", "rows"):
        shape = getattr(getattr(call, f"{name}_b"), "shape", (B,))  # None is for all
        expect(shape == (B,), OP.name, f"{name} is [{B}], not {shape}")
    if call.summaries_mkrph is None:
        return
    shape, pages = call.summaries_mkrph.shape, tabled[1]
    fits = len(shape) == 5 and shape[0] > 0 and shape[2] in (1, 2)
    expect(
        fits and (shape[1], *shape[3:]) == (heads, pages, stored),
        OP.name,
        f"summaries are [M, K, 1 or 2, P, Hs] = [M, {heads}, 1 or 2, {pages}, {stored}], not {shape}",
    )
    expect(call.rows_b is not None or shape[0] == B, OP.name, f"without rows_b the summaries need {B} rows")
