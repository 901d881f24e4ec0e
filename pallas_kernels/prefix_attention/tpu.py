"""`prefix_attention` on TPU: the paged attention kernel twice, first of stacked queries."""

from pallas_kernels.paged_attention import tpu
from pallas_kernels.prefix_attention.compose import composed

MAX_ROWS = 256
"""Queries of a KV head in one matrix: enough to keep any TPU's matrix unit busy while pages stream, and
2,048 of them do not fit v4's 16 MiB of vector memory."""

check, prefix_attention = composed(tpu, MAX_ROWS)
