"""What is priced: samples of one prompt by one model under one policy. Arrays broadcast together."""

import dataclasses

import numpy as np

from kinetics_jax.spec import ModelConfig, Policy


@dataclasses.dataclass(frozen=True)
class Question:
    """N samples of L generated tokens to a prompt of L_in tokens (whole numbers, any shape)."""

    model: ModelConfig
    policy: Policy
    prompt: np.ndarray
    """L_in."""
    generated: np.ndarray
    """L."""
    trials: np.ndarray
    """N."""

    @property
    def context(self) -> np.ndarray:
        """Tokens of a finished sample, prompt and generation."""
        return self.prompt + self.generated

    @property
    def decoded(self) -> np.ndarray:
        """Tokens decoded over all samples."""
        return self.trials * self.generated

    @property
    def D(self) -> int:  # noqa: N802 - the paper's symbol
        """KV elements that a token stores over all layers, 2·L·K·H."""
        return self.model.kv_elements_per_token

    @property
    def r(self) -> int:
        """Query heads per KV head, N/K."""
        return self.model.queries_per_kv
