"""Scores of a sequence's pages from their key summaries: the public function, its checks and its dispatch.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · P pages of a sequence · R summary
vectors of a page · M rows of summaries.
"""

import jax
import jax.numpy as jnp

from pallas_kernels._dispatch import Op
from pallas_kernels.arguments import FLOATS, SUMMARIES, WHOLE, take, whole_number
from pallas_kernels.errors import expect

OP = Op("page_scores", kernels=("tpu", "gpu", "cpu"))
ARGUMENTS = {"query_bnh": FLOATS, "summaries_mkrph": SUMMARIES, "lengths_b": WHOLE, "rows_b": WHOLE.or_none()}


def page_scores(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    *,
    page_size: int,
    rows_b: jax.Array | None = None,
    implementation: str | None = None,
) -> jax.Array:
    """Score every page of every sequence for each KV head, from the page's key summary.

    R = 1: the summary is the mean key k̄ and the score is the mean over the query group of q·k̄ (block top-k
    of Kinetics, Sadhukhan et al. 2025). R = 2: the summary is the element-wise minimum and maximum key and
    the score is the group mean of Quest's bound Σ_h max(q_h·min_h, q_h·max_h) (Tang et al. 2024).

    Args:
        query_bnh: ``[B, N, H]`` bf16 or f32.
        summaries_mkrph: ``[M, K, R, P, Hs]`` f32, bf16 or `BF16_BITS`, summaries of the pages of each
            sequence in the order of its text, not of the pool, so that they are contiguous. ``Hs ≥ H``,
            zeros beyond H.
        lengths_b: ``[B]`` int32 tokens; only the ``ceil(length / page_size)`` pages that exist are seen.
        page_size: tokens in a page.
        rows_b: ``[B]`` int32, which of the M rows belongs to a sequence; ``arange(B)`` when None. With layers
            stacked in axis 0 a layer's rows are ``layer·B + arange(B)``, and nothing is sliced or copied.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        ``[B, K, P]`` f32, −inf for pages that do not exist. Scores are not scaled by 1/sqrt(H).

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    given = {
        "query_bnh": query_bnh,
        "summaries_mkrph": summaries_mkrph,
        "lengths_b": lengths_b,
        "rows_b": rows_b,
    }
    arrays = take(OP.name, ARGUMENTS, given)
    query_bnh, summaries_mkrph, lengths_b, rows_b = arrays.values()
    page_size = whole_number(OP.name, "page_size", page_size, 1)
    expect(query_bnh.ndim == 3, OP.name, f"query_bnh is [B, N, H], not {query_bnh.shape}")
    B, N, H = query_bnh.shape
    expect(
        summaries_mkrph.ndim == 5 and summaries_mkrph.shape[2] in (1, 2) and 0 not in summaries_mkrph.shape,
        OP.name,
        f"summaries are [M, K, 1 or 2, P, H], not {summaries_mkrph.shape}",
    )
    M, K, _, _, stored = summaries_mkrph.shape
    expect(N % K == 0, OP.name, f"{N} query heads are not a multiple of {K} KV heads")
    expect(stored >= H, OP.name, f"summaries store {stored} numbers a head, the query has {H}")
    expect(lengths_b.shape == (B,), OP.name, f"lengths is [{B}], not {lengths_b.shape}")
    if rows_b is None:
        expect(M == B, OP.name, f"without rows_b the summaries need {B} rows, not {M}")
        rows_b = arrays["rows_b"] = jnp.arange(B, dtype=jnp.int32)
    expect(rows_b.shape == (B,), OP.name, f"rows_b is [{B}], not {rows_b.shape}")
    return OP(implementation, arrays, page_size=page_size)


def scoring_query(query_bnh: jax.Array, kv_heads: int, kinds: int) -> jax.Array:
    """``[B, K, R, H]`` f32 vectors whose dot with a page's R summaries, summed over R, is its score.

    Quest's max(q·min, q·max) is min(q, 0)·min + max(q, 0)·max, element by element, hence linear in the
    summaries; so is the mean over a query group, which can be taken before the pages are read.
    """
    B, N, H = query_bnh.shape
    query_bkgh = query_bnh.astype(jnp.float32).reshape(B, kv_heads, N // kv_heads, H)
    if kinds == 1:
        return query_bkgh.mean(axis=2)[:, :, None]
    parts = (jnp.minimum(query_bkgh, 0.0).mean(axis=2), jnp.maximum(query_bkgh, 0.0).mean(axis=2))
    return jnp.stack(parts, axis=2)
