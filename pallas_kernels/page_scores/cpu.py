"""`page_scores` for CPUs: the summaries are read once, where they lie.

Letters: B sequences · N query heads · K KV heads · H head dim · P pages of a sequence · R summary vectors of
a page · M rows of summaries.
"""

import jax
import jax.numpy as jnp

from pallas_kernels import _cpu
from pallas_kernels.page_scores.api import scoring_query
from pallas_kernels.select_pages.api import count_pages

KINDS = ("float32", "bfloat16")


def check(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    rows_b: jax.Array,
    *,
    page_size: int,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    if _cpu.kind(summaries_mkrph.dtype) not in KINDS:
        return f"it reads float32 and bfloat16 summaries, not {summaries_mkrph.dtype}"
    return _cpu.refusal()


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
    pages_b = count_pages(lengths_b, page_size)
    (scores_bkp,) = _cpu.call(
        "page_scores.cpu_kernel",
        _cpu.kind(summaries_mkrph.dtype),
        (jax.ShapeDtypeStruct((B, K, P), jnp.float32),),
        (query_bkrh, summaries_mkrph, pages_b, rows_b),
    )
    return scores_bkp
