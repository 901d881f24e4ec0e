"""Decoding many samples: continuous batching over a paged cache, sampling, stop rules, restarts."""

from kinetics_jax.engine.collect import Piece
from kinetics_jax.engine.engine import Engine
from kinetics_jax.engine.pages import PageError, PagePool
from kinetics_jax.engine.progress import Progress
from kinetics_jax.engine.requests import Decoding
from kinetics_jax.engine.sample_log import SampleLog, iterate_samples, merged_samples

__all__ = [
    "Decoding",
    "Engine",
    "PageError",
    "PagePool",
    "Piece",
    "Progress",
    "SampleLog",
    "iterate_samples",
    "merged_samples",
]
