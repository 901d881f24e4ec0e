"""Pallas kernels for block-top-k sparse decode attention. Knows nothing of models, policies or flags."""

from pallas_kernels._back_ends import register_back_end
from pallas_kernels.errors import (
    ArgumentError,
    KernelError,
    LibtpuError,
    NotDifferentiableError,
    SelfTestError,
    UnknownImplementationError,
    UnsupportedError,
)
from pallas_kernels.explain import Explanation, explain
from pallas_kernels.kv_append.api import Appended, KvAppend, kv_append
from pallas_kernels.linear.api import Linear, linear
from pallas_kernels.look_up.api import LookUp, look_up
from pallas_kernels.lse import combine_partials
from pallas_kernels.page_scores.api import PageScores, page_scores
from pallas_kernels.paged_attention.api import PagedAttention, paged_attention
from pallas_kernels.prefix_attention.api import PrefixAttention, prefix_attention
from pallas_kernels.select_pages.api import SelectPages, select_pages
from pallas_kernels.self_test import self_test
from pallas_kernels.stored import BF16_BITS, narrow, widen

__all__ = [
    "BF16_BITS",
    "Appended",
    "ArgumentError",
    "Explanation",
    "KernelError",
    "KvAppend",
    "LibtpuError",
    "Linear",
    "LookUp",
    "NotDifferentiableError",
    "PageScores",
    "PagedAttention",
    "PrefixAttention",
    "SelectPages",
    "SelfTestError",
    "UnknownImplementationError",
    "UnsupportedError",
    "combine_partials",
    "explain",
    "kv_append",
    "linear",
    "look_up",
    "narrow",
    "page_scores",
    "paged_attention",
    "prefix_attention",
    "register_back_end",
    "select_pages",
    "self_test",
    "widen",
]
