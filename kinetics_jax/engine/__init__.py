"""Decoding many samples: continuous batching over a paged cache, sampling, stop rules, restarts."""

from typing import TYPE_CHECKING

from kinetics_jax import _lazy

if TYPE_CHECKING:
    from kinetics_jax.engine.collect import Piece
    from kinetics_jax.engine.config import EngineConfig
    from kinetics_jax.engine.engine import Engine
    from kinetics_jax.engine.pages import PageError, PagePool
    from kinetics_jax.engine.progress import Progress
    from kinetics_jax.engine.requests import Decoding
    from kinetics_jax.engine.sample_log import SampleLog, iterate_samples, merged_samples

__all__ = [
    "Decoding",
    "Engine",
    "EngineConfig",
    "PageError",
    "PagePool",
    "Piece",
    "Progress",
    "SampleLog",
    "iterate_samples",
    "merged_samples",
]

__getattr__, __dir__ = _lazy.face(
    __name__,
    {
        "Decoding": "requests",
        "Engine": "engine",
        "EngineConfig": "config",
        "PageError": "pages",
        "PagePool": "pages",
        "Piece": "collect",
        "Progress": "progress",
        "SampleLog": "sample_log",
        "iterate_samples": "sample_log",
        "merged_samples": "sample_log",
    },
)
