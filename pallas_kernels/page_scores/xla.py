"""`page_scores` for XLA: one product of each row's summaries with the group's mean query.

Letters: B sequences · K KV heads · H head dim · P pages of a sequence · R summary vectors of a page.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pallas_kernels.page_scores.api import scoring_query


def page_scores(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    rows_b: jax.Array,
    *,
    page_size: int,
) -> jax.Array:
    """See `pallas_kernels.page_scores`."""
    _, K, R, P, stored = summaries_mkrph.shape
    query_bkrh = scoring_query(query_bnh, K, R)
    query_bkrh = jnp.pad(query_bkrh, [(0, 0)] * 3 + [(0, stored - query_bnh.shape[2])])

    def score_row(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        query_krh, m = row
        summary_krph = lax.dynamic_index_in_dim(summaries_mkrph, m, keepdims=False)
        return jnp.einsum("krh,krph->kp", query_krh, summary_krph.astype(jnp.float32))

    scores_bkp = lax.map(score_row, (query_bkrh, rows_b))
    exists_bp = jnp.arange(P) * page_size < lengths_b[:, None]
    return jnp.where(exists_bp[:, None], scores_bkp, -jnp.inf)
