"""`select_pages` for Hopper and Blackwell (Mosaic GPU): checks and shapes; the kernel is beside.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages · r, W see `gpu_kernel`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels import _gpu
from pallas_kernels.select_pages import gpu_kernel

MOST_PAGES = 8192  # W = 128: a thread holds the keys of 64 pages in registers


def check(
    scores_bkp: jax.Array,
    lengths_b: jax.Array,
    page_table_bp: jax.Array | None = None,
    *,
    page_size: int,
    top_k: int,
    sink_pages: int,
    local_pages: int,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    if scores_bkp.shape[2] > MOST_PAGES:
        return f"{scores_bkp.shape[2]} pages a sequence are more than {MOST_PAGES}"
    return _gpu.refusal()


def select_pages(
    scores_bkp: jax.Array,
    lengths_b: jax.Array,
    page_table_bp: jax.Array | None = None,
    *,
    page_size: int,
    top_k: int,
    sink_pages: int,
    local_pages: int,
    interpret: Any = False,
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`; one block of 128 threads for each (sequence, KV head)."""
    ids_bkj, num_pages_bk = gpu_kernel.top_pages(
        _as_rows(scores_bkp),
        lengths_b,
        None if page_table_bp is None else _as_rows(page_table_bp),
        top_k,
        page_size=page_size,
        sink_pages=sink_pages,
        local_pages=local_pages,
        interpret=interpret,
    )
    return ids_bkj[..., :top_k], num_pages_bk


def _as_rows(pages: jax.Array) -> jax.Array:
    """``[…, P]`` → ``[…, r, W]`` with r at most 64; a copy only where W does not divide P."""
    P, step = pages.shape[-1], gpu_kernel.STEP
    width = -(-P // (gpu_kernel.ROWS * step)) * step
    padded = jnp.pad(pages, [(0, 0)] * (pages.ndim - 1) + [(0, -P % width)])
    return padded.reshape(*pages.shape[:-1], -1, width)
