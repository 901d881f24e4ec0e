"""New tokens → the paged cache, in place: the public function, its checks and its dispatch.

Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages of a sequence ·
R summary vectors of a page · M rows of summaries.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels._dispatch import Op
from pallas_kernels.errors import expect
from pallas_kernels.paged_attention.api import SCALED_DTYPES

OP = Op("kv_append", kernels=("tpu", "gpu", "cpu"))


class Appended(NamedTuple):
    """The cache after an append; parts that were not given stay None."""

    kv_pages: jax.Array
    summaries: jax.Array | None
    kv_scales: jax.Array | None


def kv_append(
    kv_pages: jax.Array,
    key_btkh: jax.Array,
    value_btkh: jax.Array,
    page_table_bp: jax.Array,
    lengths_b: jax.Array,
    *,
    new_tokens_b: jax.Array | None = None,
    summaries_mkrph: jax.Array | None = None,
    rows_b: jax.Array | None = None,
    kv_scales: jax.Array | None = None,
    implementation: str | None = None,
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
        summaries_mkrph: ``[M, K, R, P, Hs]``, as in `pallas_kernels.page_scores`; None = keep none.
        rows_b: ``[B]`` int32, which of the M rows belongs to a sequence; ``arange(B)`` when None.
        kv_scales: ``[P_total, K, 2]`` f32 with int8 and float8 pages.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        `Appended`: the pool, the summaries and the scales.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    _check(kv_pages, key_btkh, value_btkh, page_table_bp, lengths_b, kv_scales)
    B, T, K, _ = key_btkh.shape
    if new_tokens_b is None:
        new_tokens_b = jnp.full((B,), T, jnp.int32)
    expect(new_tokens_b.shape == (B,), OP.name, f"new_tokens is [{B}], not {new_tokens_b.shape}")
    if summaries_mkrph is not None:
        M, _, R, _, _ = summaries_mkrph.shape
        want = (M, K, R, page_table_bp.shape[1], kv_pages.shape[4])
        expect(
            summaries_mkrph.shape == want and R in (1, 2),
            OP.name,
            f"summaries are [M, K, 1 or 2, P, Hs] = {want}, not {summaries_mkrph.shape}",
        )
        expect(rows_b is not None or M == B, OP.name, f"without rows_b the summaries need {B} rows")
    if rows_b is None:
        rows_b = jnp.arange(B, dtype=jnp.int32)
    arrays = {
        "kv_pages": kv_pages,
        "key_btkh": key_btkh,
        "value_btkh": value_btkh,
        "page_table_bp": page_table_bp,
        "lengths_b": lengths_b,
        "new_tokens_b": new_tokens_b,
        "summaries_mkrph": summaries_mkrph,
        "rows_b": rows_b,
        "kv_scales": kv_scales,
    }
    return Appended(*OP(implementation, arrays))


def touched_pages(T: int, page_size: int) -> int:
    """The most pages that ``T`` consecutive tokens can touch."""
    return (T + page_size - 2) // page_size + 1


def _check(
    kv_pages: jax.Array,
    key: jax.Array,
    value: jax.Array,
    page_table: jax.Array,
    lengths: jax.Array,
    kv_scales: jax.Array | None,
) -> None:
    op = OP.name
    expect(
        kv_pages.ndim == 5 and kv_pages.shape[2] == 2,
        op,
        f"kv_pages is [pages, K, 2, page size, H], not {kv_pages.shape}",
    )
    total, heads, _, _, stored = kv_pages.shape
    expect(
        key.ndim == 4 and key.shape[2] == heads and key.shape[3] <= stored,
        op,
        f"keys are [B, T, {heads}, at most {stored}], not {key.shape}",
    )
    expect(
        key.shape == value.shape and key.dtype == value.dtype,
        op,
        f"keys {key.shape} {key.dtype} and values {value.shape} {value.dtype} differ",
    )
    rows = key.shape[0]
    expect(
        page_table.ndim == 2 and page_table.shape[0] == rows,
        op,
        f"page table is [{rows}, P], not {page_table.shape}",
    )
    expect(lengths.shape == (rows,), op, f"lengths is [{rows}], not {lengths.shape}")
    expect(
        (kv_pages.dtype in SCALED_DTYPES) == (kv_scales is not None),
        op,
        f"kv_scales go with int8 and float8 pages, and only with them (pages: {kv_pages.dtype})",
    )
    expect(
        kv_scales is None or kv_scales.shape == (total, heads, 2),
        op,
        f"kv_scales is [pages, K, 2] = {(total, heads, 2)}, not {getattr(kv_scales, 'shape', None)}",
    )
