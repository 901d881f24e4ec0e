"""Pallas kernels for block-top-k sparse decode attention. Knows nothing of models, policies or flags."""

from pallas_kernels.errors import (
    ArgumentError,
    KernelError,
    UnknownImplementationError,
    UnsupportedError,
)
from pallas_kernels.kv_append.api import Appended, kv_append
from pallas_kernels.linear.api import linear
from pallas_kernels.lse import combine_partials
from pallas_kernels.page_scores.api import page_scores
from pallas_kernels.paged_attention.api import paged_attention
from pallas_kernels.prefix_attention.api import prefix_attention
from pallas_kernels.select_pages.api import select_pages
from pallas_kernels.stored import BF16_BITS, narrow, widen

__all__ = [
    "BF16_BITS",
    "Appended",
    "ArgumentError",
    "KernelError",
    "UnknownImplementationError",
    "UnsupportedError",
    "combine_partials",
    "kv_append",
    "linear",
    "narrow",
    "page_scores",
    "paged_attention",
    "prefix_attention",
    "select_pages",
    "widen",
]
