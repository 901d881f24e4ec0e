"""The meaning of `page_scores` in plain jnp: every query head scores every page, then the group is averaged.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · P pages · R summaries of a page.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.page_scores.api import PageScores
from pallas_kernels.stored import widen


def page_scores(call: PageScores) -> jax.Array:
    """See `pallas_kernels.page_scores`."""
    B, N, H = call.query_bnh.shape
    _, K, R, P, _ = call.summaries_mkrph.shape
    exists_bp = jnp.arange(P) * call.page_size < call.lengths_b[:, None]
    summaries_bkrph = widen(call.summaries_mkrph[call.rows_b][..., :H])
    query_bkgh = call.query_bnh.reshape(B, K, N // K, H).astype(jnp.float32)
    product_bkgrph = query_bkgh[:, :, :, None, None] * summaries_bkrph[:, :, None]
    if R == 1:
        scores_bkgp = product_bkgrph[:, :, :, 0].sum(axis=-1)
    else:
        scores_bkgp = product_bkgrph.max(axis=3).sum(axis=-1)
    return jnp.where(exists_bp[:, None], scores_bkgp.mean(axis=2), -jnp.inf)
