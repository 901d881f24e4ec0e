"""`select_pages` for Hopper and Blackwell (Mosaic GPU): checks and shapes; the kernel is beside.

Letters: P pages of a sequence · r rows of w pages each, see `gpu_kernel`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels import _gpu
from pallas_kernels.select_pages import gpu_kernel
from pallas_kernels.select_pages.api import SelectPages

MOST_PAGES = 8192  # 128 columns: a thread holds the keys of 64 pages in registers


def check(call: SelectPages) -> str | None:
    """Why the kernel cannot run this call, or None."""
    if call.scores_bkp.shape[2] > MOST_PAGES:
        return f"{call.scores_bkp.shape[2]} pages a sequence are more than {MOST_PAGES}"
    return _gpu.refusal()


def select_pages(call: SelectPages, *, interpret: Any = False) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`; one block of 128 threads for each (sequence, KV head)."""
    table = None if call.page_table_bp is None else _as_rows(call.page_table_bp)
    ids_bkj, num_pages_bk = gpu_kernel.top_pages(call, _as_rows(call.scores_bkp), table, interpret=interpret)
    return ids_bkj[..., : call.top_k], num_pages_bk


def _as_rows(pages: jax.Array) -> jax.Array:
    """``[…, P]`` → ``[…, r, w]`` with r at most 64; a copy only where w does not divide P."""
    P, step = pages.shape[-1], gpu_kernel.STEP
    width = -(-P // (gpu_kernel.ROWS * step)) * step
    padded = jnp.pad(pages, [(0, 0)] * (pages.ndim - 1) + [(0, -P % width)])
    return padded.reshape(*pages.shape[:-1], -1, width)
