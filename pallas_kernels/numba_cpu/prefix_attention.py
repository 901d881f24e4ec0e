"""`prefix_attention` for CPUs: the CPU's `paged_attention` twice."""

from pallas_kernels.numba_cpu import paged_attention
from pallas_kernels.prefix_attention.compose import composed

check, prefix_attention = composed(paged_attention)
