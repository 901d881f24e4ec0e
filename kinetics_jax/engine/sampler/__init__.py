"""The next token of every slot, on the device, and what may replace or end it."""

from kinetics_jax.engine.sampler.repetition import RepetitionState
from kinetics_jax.engine.sampler.sampling import SamplerState, sample_tokens
from kinetics_jax.engine.sampler.thinking import ThinkingState
from kinetics_jax.engine.sampler.threefry import sample_keys

__all__ = ["RepetitionState", "SamplerState", "ThinkingState", "sample_keys", "sample_tokens"]
