"""`prefix_attention` on Hopper and Blackwell: paged attention twice, first of stacked queries."""

from pallas_kernels.paged_attention import gpu
from pallas_kernels.prefix_attention.compose import composed

check, prefix_attention = composed(gpu)
