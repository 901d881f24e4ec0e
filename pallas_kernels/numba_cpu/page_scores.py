"""`page_scores` for CPUs: the summaries are read once, where they lie.

Letters: B sequences · K KV heads · P pages of a sequence.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.numba_cpu.calls import kind, refusal, run_kernel
from pallas_kernels.page_scores.api import PageScores
from pallas_kernels.select_pages.api import count_pages


def check(call: PageScores) -> str | None:
    """Why the kernel cannot run this call, or None."""
    return refusal(("float32", "bfloat16"), summaries=call.summaries_mkrph)


def page_scores(call: PageScores) -> jax.Array:
    """See `pallas_kernels.page_scores`."""
    B, (_, K, _, P, _) = call.query_bnh.shape[0], call.summaries_mkrph.shape
    pages_b = count_pages(call.lengths_b, call.page_size)
    (scores_bkp,) = run_kernel(
        "page_scores",
        kind(call.summaries_mkrph.dtype),
        (jax.ShapeDtypeStruct((B, K, P), jnp.float32),),
        (call.scoring_query(), call.summaries_mkrph, pages_b, call.rows_b),
    )
    return scores_bkp
