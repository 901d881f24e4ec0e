"""`prefix_attention` for XLA: the XLA `paged_attention` twice."""

from pallas_kernels.paged_attention import xla
from pallas_kernels.prefix_attention.compose import composed

_, prefix_attention = composed(xla)
