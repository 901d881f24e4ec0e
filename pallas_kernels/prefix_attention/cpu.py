"""`prefix_attention` for CPUs: the CPU's `paged_attention` twice."""

from pallas_kernels.paged_attention import cpu
from pallas_kernels.prefix_attention.compose import composed

check, prefix_attention = composed(cpu)
