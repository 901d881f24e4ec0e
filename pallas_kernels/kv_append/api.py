"""New tokens → the paged cache, in place: the public function, its checks and its dispatch.

Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages of a sequence ·
R summary vectors of a page · M rows of summaries.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels._dispatch import Op
from pallas_kernels.arguments import FLOATS, PAGES, SINGLE, SUMMARIES, WHOLE, take
from pallas_kernels.errors import expect
from pallas_kernels.paged_attention.api import check_pool

OP = Op("kv_append", kernels=("tpu", "gpu", "cpu"))
ARGUMENTS = {
    "kv_pages": PAGES,
    "key_btkh": FLOATS,
    "value_btkh": FLOATS,
    "page_table_bp": WHOLE,
    "lengths_b": WHOLE,
    "new_tokens_b": WHOLE.or_none(),
    "summaries_mkrph": SUMMARIES.or_none(),
    "rows_b": WHOLE.or_none(),
    "kv_scales": SINGLE.or_none(),
}


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
    given = {
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
    arrays = take(OP.name, ARGUMENTS, given)
    _check(arrays)
    B, T = arrays["key_btkh"].shape[:2]
    if new_tokens_b is None:
        arrays["new_tokens_b"] = jnp.full((B,), T, jnp.int32)
    if rows_b is None:
        arrays["rows_b"] = jnp.arange(B, dtype=jnp.int32)
    return Appended(*OP(implementation, arrays))


def touched_pages(T: int, page_size: int) -> int:
    """The most pages that ``T`` consecutive tokens can touch."""
    return (T + page_size - 2) // page_size + 1


def _check(arrays: Mapping[str, Any]) -> None:
    """Raise `ArgumentError` unless the shapes fit together."""
    op, pool, key = OP.name, arrays["kv_pages"], arrays["key_btkh"]
    check_pool(op, pool, arrays["kv_scales"])
    heads, stored = pool.shape[1], pool.shape[4]
    expect(
        key.ndim == 4 and key.shape[1] > 0 and key.shape[2] == heads and key.shape[3] <= stored,
        op,
        f"keys are [B, T, {heads}, at most {stored}], not {key.shape}",
    )
    value, B = arrays["value_btkh"], key.shape[0]
    expect(
        key.shape == value.shape and key.dtype == value.dtype,
        op,
        f"keys {key.shape} {key.dtype} and values {value.shape} {value.dtype} differ",
    )
    table = arrays["page_table_bp"]
    expect(
        table.ndim == 2 and table.shape[0] == B and table.shape[1] > 0,
        op,
        f"page table is [{B}, P], not {table.shape}",
    )
    for name in ("lengths", "new_tokens", "rows"):
        shape = getattr(arrays[f"{name}_b"], "shape", (B,))  # None is for all
        expect(shape == (B,), op, f"{name} is [{B}], not {shape}")
    if arrays["summaries_mkrph"] is not None:
        _check_summaries(arrays["summaries_mkrph"].shape, B, arrays)


def _check_summaries(shape: tuple[int, ...], rows: int, arrays: Mapping[str, Any]) -> None:
    pool_shape, pages = arrays["kv_pages"].shape, arrays["page_table_bp"].shape[1]
    expect(
        len(shape) == 5
        and shape[0] > 0
        and shape[2] in (1, 2)
        and (shape[1], *shape[3:]) == (pool_shape[1], pages, pool_shape[4]),
        OP.name,
        f"summaries are [M, K, 1 or 2, P, Hs] = [M, {pool_shape[1]}, 1 or 2, {pages}, "
        f"{pool_shape[4]}], not {shape}",
    )
    expect(
        arrays["rows_b"] is not None or shape[0] == rows,
        OP.name,
        f"without rows_b the summaries need {rows} rows",
    )
