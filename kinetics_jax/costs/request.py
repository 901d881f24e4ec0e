"""What is priced: samples of one prompt by one model under one policy. Arrays broadcast together.

Lengths are int64, which sums over steps are looked up by; everything they are multiplied with is a
float, since products of trials, elements and squared lengths leave 64 bits.
"""

import dataclasses

import numpy as np

from kinetics_jax.policies import Policy
from kinetics_jax.shapes import ModelConfig


@dataclasses.dataclass(frozen=True)
class Request:
    """N samples of L generated tokens to a prompt of L_in tokens (any shapes that broadcast)."""

    model: ModelConfig
    policy: Policy
    prompt: np.ndarray
    """L_in, int64."""
    generated: np.ndarray
    """L, int64."""
    trials: np.ndarray
    """N, float64."""

    @property
    def context(self) -> np.ndarray:
        """Tokens of a finished sample, prompt and generation."""
        return self.prompt + self.generated

    @property
    def decoded(self) -> np.ndarray:
        """Tokens decoded over all samples."""
        return self.trials * self.generated

    @property
    def D(self) -> float:  # noqa: N802 - the paper's symbol
        """KV elements that a token stores over all layers, 2·L·K·H."""
        return float(self.model.kv_elements_per_token)

    @property
    def r(self) -> float:
        """Query heads per KV head, N/K."""
        return float(self.model.queries_per_kv)
