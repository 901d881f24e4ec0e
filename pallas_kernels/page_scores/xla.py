"""`page_scores` for XLA: its summaries times the group's mean query, a (sequence, KV head) at a time.

Letters: B sequences · K KV heads · H head dim · P pages of a sequence · R summary vectors of a page.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pallas_kernels._xla import map_rows
from pallas_kernels.page_scores.api import PageScores
from pallas_kernels.stored import widen


def page_scores(call: PageScores) -> jax.Array:
    """See `pallas_kernels.page_scores`."""
    B = call.query_bnh.shape[0]
    _, K, R, P, stored = call.summaries_mkrph.shape
    query_bkrh = call.scoring_query()

    def score_row(row: jax.Array) -> jax.Array:
        b, k = lax.div(row, K), lax.rem(row, K)
        at = (call.rows_b[b], k, 0, 0, 0)
        summary_rph = lax.dynamic_slice(call.summaries_mkrph, at, (1, 1, R, P, stored))[0, 0]
        summary_rph = widen(summary_rph)
        # One matrix-vector product a summary: XLA's CPU has no fast batched one.
        scores = [
            jnp.matmul(summary_rph[r], query_bkrh[b, k, r], precision=lax.Precision.HIGHEST) for r in range(R)
        ]
        return scores[0] if R == 1 else scores[0] + scores[1]

    scores_bkp = map_rows(score_row, B * K).reshape(B, K, P)
    exists_bp = jnp.arange(P) * call.page_size < call.lengths_b[:, None]
    return jnp.where(exists_bp[:, None], scores_bkp, -jnp.inf)
