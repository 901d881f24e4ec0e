"""`page_scores` for XLA: its summaries times the group's mean query, a (sequence, KV head) at a time.

Letters: B sequences · K KV heads · H head dim · P pages of a sequence · R summary vectors of a page.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pallas_kernels._xla import map_rows
from pallas_kernels.page_scores.api import scoring_query
from pallas_kernels.stored import widen


def page_scores(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    rows_b: jax.Array,
    *,
    page_size: int,
) -> jax.Array:
    """See `pallas_kernels.page_scores`."""
    B, _, H = query_bnh.shape
    _, K, R, P, stored = summaries_mkrph.shape
    query_bkrh = scoring_query(query_bnh, K, R)
    query_bkrh = jnp.pad(query_bkrh, [(0, 0)] * 3 + [(0, stored - H)])

    def score_row(row: jax.Array) -> jax.Array:
        b, k = lax.div(row, K), lax.rem(row, K)
        at = (rows_b[b], k, 0, 0, 0)
        summary_rph = lax.dynamic_slice(summaries_mkrph, at, (1, 1, R, P, stored))[0, 0]
        summary_rph = widen(summary_rph)
        # One matrix-vector product a summary: XLA's CPU has no fast batched one.
        scores = [
            jnp.matmul(summary_rph[r], query_bkrh[b, k, r], precision=lax.Precision.HIGHEST) for r in range(R)
        ]
        return scores[0] if R == 1 else scores[0] + scores[1]

    scores_bkp = map_rows(score_row, B * K).reshape(B, K, P)
    exists_bp = jnp.arange(P) * page_size < lengths_b[:, None]
    return jnp.where(exists_bp[:, None], scores_bkp, -jnp.inf)
