"""Decode attention over listed pages: the public function, its checks and its dispatch.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J listed pages.
"""

import dataclasses
import math
from typing import TypeVar

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

OP = Op("paged_attention", kernels=("tpu", "gpu", "cpu"))
_T = TypeVar("_T")
SCALED_DTYPES = (jnp.int8, jnp.float8_e4m3fn)


@typed_call
class PagedAttention:
    """A call of `paged_attention`, which says what the fields are. Back ends always get a ``scale``."""

    query_bnh: Float[Array, "B N H"] = array(FLOATS)
    kv_pages: Real[Array, "pages K 2 p Hs"] = array(PAGES)
    page_ids_bkj: Int32[Array, "B K J"] = array(WHOLE)
    num_pages_bk: Int32[Array, "B K"] = array(WHOLE)
    lengths_b: Int32[Array, " B"] = array(WHOLE)
    scale: float = option(score_scale, default=None)
    kv_scales: Float32[Array, "pages K 2"] | None = array(SINGLE, default=None)

    def scaled_query(self) -> Float32[Array, "B K G Hs"]:
        """The query times the scale, with zeros beyond H."""
        B, N, H = self.query_bnh.shape
        K, stored = self.kv_pages.shape[1], self.kv_pages.shape[4]
        query_bkgh = (self.query_bnh.astype(jnp.float32) * self.scale).reshape(B, K, N // K, H)
        return jnp.pad(query_bkgh, [(0, 0)] * 3 + [(0, stored - H)])

    def listed(self) -> Int32[Array, "B K"]:
        """Valid positions of each list; none of an empty sequence."""
        return jnp.where(self.lengths_b[:, None] > 0, self.num_pages_bk, 0)

    def newest_fill(self) -> Int32[Array, " B"]:
        """Tokens in each sequence's newest page: 1 … p, and 0 for an empty sequence."""
        page_size = self.kv_pages.shape[3]
        return jnp.where(self.lengths_b > 0, (self.lengths_b - 1) % page_size + 1, 0)


def paged_attention(
    query_bnh: Float[Array, "B N H"],
    kv_pages: Real[Array, "pages K 2 p Hs"],
    page_ids_bkj: Int[Array, "B K J"],
    num_pages_bk: Int[Array, "B K"],
    lengths_b: Int[Array, " B"],
    *,
    scale: float | None = None,
    kv_scales: Float32[Array, "pages K 2"] | None = None,
    implementation: Implementation = None,
) -> tuple[Float[Array, "B N H"], Float32[Array, "B N"]]:
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
        implementation: None, a back end, or several in the order to try (docs/kernels/back_ends.md).

    Returns:
        ``out [B, N, H]`` in the query's dtype and ``lse [B, N]`` f32, the natural log-sum-exp of the scaled
        scores. A row without tokens gives zeros and −inf.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    lists = (page_ids_bkj, num_pages_bk, lengths_b)
    call = take(OP.name, PagedAttention(query_bnh, kv_pages, *lists, scale, kv_scales))  # type: ignore[arg-type]
    check(OP.name, call)
    return OP(implementation, with_scale(call))


def with_scale(call: _T) -> _T:
    """A call with a scale: ``1/sqrt(H)`` where the caller gave none."""
    scale = call.scale or 1 / math.sqrt(call.query_bnh.shape[-1])  # type: ignore[attr-defined]
    return dataclasses.replace(call, scale=scale)  # type: ignore[type-var]


def check(op: str, call: PagedAttention) -> None:
    """Raise `ArgumentError` unless query, pool, scales and lists fit together."""
    query, pool, ids = call.query_bnh, call.kv_pages, call.page_ids_bkj
    expect(query.ndim == 3 and query.shape[2] > 0, op, f"query_bnh is [B, N, H], not {query.shape}")
    check_pool(op, pool, call.kv_scales)
    (B, N, H), K, stored = query.shape, pool.shape[1], pool.shape[4]
    expect(N % K == 0, op, f"{N} query heads are not a multiple of {K} KV heads")
    expect(stored >= H, op, f"kv_pages store {stored} numbers a head, the query has {H}")
    expect(ids.ndim == 3 and ids.shape[:2] == (B, K), op, f"page ids are [{B}, {K}, J], not {ids.shape}")
    counts, lengths = call.num_pages_bk.shape, call.lengths_b.shape
    expect(counts == (B, K), op, f"num_pages is [{B}, {K}], not {counts}")
    expect(lengths == (B,), op, f"lengths is [{B}], not {lengths}")


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
