"""Scores of a sequence's pages from their key summaries: the public function, its checks and its dispatch.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · P pages of a sequence · R summary
vectors of a page · m rows of summaries.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int, Int32, Real

from pallas_kernels._dispatch import Implementation, Op
from pallas_kernels.arguments import FLOATS, SUMMARIES, WHOLE, array, option, take, typed_call, whole_number
from pallas_kernels.errors import expect

OP = Op("page_scores", kernels=("tpu", "gpu", "cpu"))


@typed_call
class PageScores:
    """A call of `page_scores`, which says what the fields are. Back ends always get ``rows_b``."""

    query_bnh: Float[Array, "B N H"] = array(FLOATS)
    summaries_mkrph: Real[Array, "m K R P Hs"] = array(SUMMARIES)
    lengths_b: Int32[Array, " B"] = array(WHOLE)
    page_size: int = option(whole_number, 1)
    rows_b: Int32[Array, " B"] = array(WHOLE, default=None)

    def scoring_query(self) -> Float32[Array, "B K R Hs"]:
        """Vectors whose dot with a page's R summaries, summed over R, is its score; zeros beyond H.

        Quest's max(q·min, q·max) is min(q, 0)·min + max(q, 0)·max, element by element, hence linear in the
        summaries; so is the mean over a query group, which can be taken before the pages are read.
        """
        B, N, H = self.query_bnh.shape
        _, K, R, _, stored = self.summaries_mkrph.shape
        query_bkgh = self.query_bnh.astype(jnp.float32).reshape(B, K, N // K, H)
        if R == 1:
            query_bkrh = query_bkgh.mean(axis=2)[:, :, None]
        else:
            parts = (jnp.minimum(query_bkgh, 0.0).mean(axis=2), jnp.maximum(query_bkgh, 0.0).mean(axis=2))
            query_bkrh = jnp.stack(parts, axis=2)
        return jnp.pad(query_bkrh, [(0, 0)] * 3 + [(0, stored - H)])


def page_scores(
    query_bnh: Float[Array, "B N H"],
    summaries_mkrph: Real[Array, "m K R P Hs"],
    lengths_b: Int[Array, " B"],
    *,
    page_size: int,
    rows_b: Int[Array, " B"] | None = None,
    implementation: Implementation = None,
) -> Float32[Array, "B K P"]:
    """Score every page of every sequence for each KV head, from the page's key summary.

    R = 1: the summary is the mean key k̄ and the score is the mean over the query group of q·k̄ (block top-k
    of Kinetics, Sadhukhan et al. 2025). R = 2: the summary is the element-wise minimum and maximum key and
    the score is the group mean of Quest's bound Σ_h max(q_h·min_h, q_h·max_h) (Tang et al. 2024).

    Args:
        query_bnh: ``[B, N, H]`` bf16 or f32.
        summaries_mkrph: ``[m, K, R, P, Hs]`` f32, bf16 or `BF16_BITS`, summaries of the pages of each
            sequence in the order of its text, not of the pool, so that they are contiguous. ``Hs ≥ H``,
            zeros beyond H.
        lengths_b: ``[B]`` int32 tokens; only the ``ceil(length / page_size)`` pages that exist are seen.
        page_size: tokens in a page.
        rows_b: ``[B]`` int32, which of the m rows belongs to a sequence; ``arange(B)`` when None. With layers
            stacked in axis 0 a layer's rows are ``layer·B + arange(B)``, and nothing is sliced or copied.
        implementation: None, a back end, or several in the order to try (docs/kernels/back_ends.md).

    Returns:
        ``[B, K, P]`` f32, −inf for pages that do not exist. Scores are not scaled by 1/sqrt(H).

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    given = PageScores(query_bnh, summaries_mkrph, lengths_b, page_size, rows_b)  # type: ignore[arg-type]
    return OP(implementation, _complete(take(OP.name, given)))


def _complete(call: PageScores) -> PageScores:
    """Check that the shapes fit together, and number the rows where the caller does not."""
    query, summaries = call.query_bnh, call.summaries_mkrph
    expect(query.ndim == 3, OP.name, f"query_bnh is [B, N, H], not {query.shape}")
    B, N, H = query.shape
    expect(
        summaries.ndim == 5 and summaries.shape[2] in (1, 2) and 0 not in summaries.shape,
        OP.name,
        f"summaries are [M, K, 1 or 2, P, H], not {summaries.shape}",
    )
    rows, K, _, _, stored = summaries.shape
    expect(N % K == 0, OP.name, f"{N} query heads are not a multiple of {K} KV heads")
    expect(stored >= H, OP.name, f"summaries store {stored} numbers a head, the query has {H}")
    expect(call.lengths_b.shape == (B,), OP.name, f"lengths is [{B}], not {call.lengths_b.shape}")
    if call.rows_b is None:
        expect(rows == B, OP.name, f"without rows_b the summaries need {B} rows, not {rows}")
        return dataclasses.replace(call, rows_b=jnp.arange(B, dtype=jnp.int32))
    expect(call.rows_b.shape == (B,), OP.name, f"rows_b is [{B}], not {call.rows_b.shape}")
    return call
