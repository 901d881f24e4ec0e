"""Llama 3's rotary stretch, told by the divisors that llama.cpp stores in ``rope_freqs.weight``.

The converter writes one divisor for each rotary pair and forgets the parameters they come from. Two of
those, the turns between which frequencies are blended, are 1 and 4 in every Llama 3; the others are found.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.models import rope
from kinetics_jax.shapes import Llama3Rope, ModelConfig

_LOW_TURNS, _HIGH_TURNS = 1.0, 4.0
_PUBLISHED_CONTEXT, _PUBLISHED_FACTORS = 8192, (8.0, 32.0)
_TOLERANCE = 1e-4
"""Relative: the converter adds in another order than we do."""


def with_rope_factors(config: ModelConfig, divisors: np.ndarray) -> ModelConfig:
    """``config`` with the stretch that divides its H/2 frequencies by ``divisors``.

    Raises ``InputError`` where that is not Llama 3's.
    """
    if divisors.shape != (config.head_dim // 2,):
        raise InputError(f"holds {divisors.size} divisors; a head has {config.head_dim // 2} pairs")
    if (divisors == 1).all():
        return config
    if np.isfinite(divisors).all() and divisors.min() > 0:
        plain, _ = rope.frequencies(config)
        for stretch in _candidates(float(divisors.max())):
            found = dataclasses.replace(config, llama3_rope=stretch)
            ours = plain / rope.frequencies(found)[0]
            if np.allclose(ours, divisors, rtol=_TOLERANCE, atol=0):
                return found
    raise InputError(
        "is not Llama 3's stretch of the rotary embedding; load the safetensors it was made from"
    )


def _candidates(largest: float) -> Iterator[Llama3Rope]:
    """The published context first: where several fit, they give the same frequencies."""
    contexts = dict.fromkeys((_PUBLISHED_CONTEXT, *(2**n for n in range(4, 21))))
    for factor in dict.fromkeys((largest, *_PUBLISHED_FACTORS)):
        for context in contexts:
            yield Llama3Rope(
                factor=factor, original_context=context, low_turns=_LOW_TURNS, high_turns=_HIGH_TURNS
            )
