"""Decode attention over listed pages: the public function, its checks and its dispatch.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels._dispatch import Op
from pallas_kernels.arguments import FLOATS, PAGES, SINGLE, WHOLE, score_scale, take
from pallas_kernels.errors import expect

OP = Op("paged_attention", kernels=("tpu", "gpu", "cpu"))
ARGUMENTS = {
    "query_bnh": FLOATS,
    "kv_pages": PAGES,
    "page_ids_bkj": WHOLE,
    "num_pages_bk": WHOLE,
    "lengths_b": WHOLE,
    "kv_scales": SINGLE.or_none(),
}
SCALED_DTYPES = (jnp.int8, jnp.float8_e4m3fn)


def paged_attention(
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    page_ids_bkj: jax.Array,
    num_pages_bk: jax.Array,
    lengths_b: jax.Array,
    *,
    scale: float | None = None,
    kv_scales: jax.Array | None = None,
    implementation: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Attend one new token of each sequence to the pages listed for each (sequence, KV head).

    Dense decode is the same call with every page of the sequence listed. The order of the list does not
    matter except that **position 0 is the sequence's newest page**, the only one that may be partly filled:
    it holds ``(lengths − 1) mod p + 1`` tokens; every other listed page is full.

    Args:
        query_bnh: ``[B, N, H]`` bf16 or f32; query head ``n`` reads KV head ``n // G``.
        kv_pages: ``[P_total, K, 2, p, Hs]`` pool of pages; index 0 of axis 2 is K, 1 is V. ``Hs ≥ H``: a pool
            stored with padded heads (the TPU wants multiples of 128) holds zeros beyond ``H``. bf16, f32,
            int8, float8_e4m3fn, or on CPUs `BF16_BITS` (bf16 held as uint16). What unlisted pages and
            unfilled rows hold is never seen, NaN included.
        page_ids_bkj: ``[B, K, J]`` int32 physical page ids (axis 0 of ``kv_pages``).
        num_pages_bk: ``[B, K]`` int32, how many of the J positions are valid; later ones are never read.
        lengths_b: ``[B]`` int32 tokens in each sequence. 0 = nothing to attend to.
        scale: of the scores, positive; ``1/sqrt(H)`` when None.
        kv_scales: ``[P_total, K, 2]`` f32, what one unit of a stored int8/float8 value is worth, per page,
            head and K or V; given exactly when the pool is int8 or float8.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        ``out [B, N, H]`` in the query's dtype and ``lse [B, N]`` f32, the natural log-sum-exp of the scaled
        scores. A row without tokens gives zeros and −inf.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    given = {
        "query_bnh": query_bnh,
        "kv_pages": kv_pages,
        "page_ids_bkj": page_ids_bkj,
        "num_pages_bk": num_pages_bk,
        "lengths_b": lengths_b,
        "kv_scales": kv_scales,
    }
    arrays = take(OP.name, ARGUMENTS, given)
    query_bnh, kv_pages, *listed, kv_scales = arrays.values()
    check_arguments(OP.name, query_bnh, kv_pages, kv_scales)
    check_list(OP.name, query_bnh.shape[0], kv_pages, *listed)
    return OP(implementation, arrays, scale=score_scale(OP.name, scale, query_bnh.shape[-1]))


def check_arguments(op: str, query_bnh: jax.Array, kv_pages: jax.Array, kv_scales: jax.Array | None) -> None:
    """Raise `ArgumentError` unless query, pool and scales fit together."""
    whole = query_bnh.ndim == 3 and query_bnh.shape[2] > 0
    expect(whole, op, f"query_bnh is [B, N, H], not {query_bnh.shape}")
    check_pool(op, kv_pages, kv_scales)
    heads, stored = kv_pages.shape[1], kv_pages.shape[4]
    expect(
        query_bnh.shape[1] % heads == 0,
        op,
        f"{query_bnh.shape[1]} query heads are not a multiple of {heads} KV heads",
    )
    expect(
        stored >= query_bnh.shape[2],
        op,
        f"kv_pages store {stored} numbers a head, the query has {query_bnh.shape[2]}",
    )


def check_pool(op: str, kv_pages: jax.Array, kv_scales: jax.Array | None) -> None:
    """Raise `ArgumentError` unless a pool and its scales fit together."""
    expect(
        kv_pages.ndim == 5 and kv_pages.shape[2] == 2 and 0 not in kv_pages.shape,
        op,
        f"kv_pages is [pages, K, 2, page size, H], not {kv_pages.shape}",
    )
    total, heads = kv_pages.shape[:2]
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


def check_list(
    op: str, rows: int, kv_pages: jax.Array, page_ids: jax.Array, num_pages: jax.Array, lengths: jax.Array
) -> None:
    """Raise `ArgumentError` unless the page list has ``rows`` rows and the pool's KV heads."""
    heads = kv_pages.shape[1]
    expect(
        page_ids.ndim == 3 and page_ids.shape[:2] == (rows, heads),
        op,
        f"page ids are [{rows}, {heads}, J], not {page_ids.shape}",
    )
    expect(num_pages.shape == (rows, heads), op, f"num_pages is [{rows}, {heads}], not {num_pages.shape}")
    expect(lengths.shape == (rows,), op, f"lengths is [{rows}], not {lengths.shape}")
