"""Parts of a model's shape that not every model has: stretched rotary positions, mixtures of experts."""

import dataclasses

from kinetics_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yarn:
    """YaRN context extension of the rotary embedding (arXiv:2309.00071)."""

    factor: float
    """Context extension: new context ÷ ``original_context``."""
    original_context: int
    """Context length, in tokens, that the frequencies were trained for."""
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    """Scale of cos and sin; None is the paper's 0.1·ln(factor) + 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Llama3Rope:
    """Llama 3.1's context extension of the rotary embedding (arXiv:2407.21783 and its released code).

    A pair that turns fewer than ``low_turns`` times over the original context is slowed by ``factor``,
    one that turns more than ``high_turns`` times is left alone; between, frequencies are blended.
    """

    factor: float
    original_context: int
    """Context length, in tokens, that the frequencies were trained for."""
    low_turns: float
    high_turns: float

    def __post_init__(self) -> None:
        if not self.low_turns < self.high_turns:
            raise InputError(
                f"rope_scaling: low_freq_factor={self.low_turns} must be below "
                f"high_freq_factor={self.high_turns}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoE:
    """A sparse mixture of experts in place of the dense ffn, of every layer unless told otherwise."""

    num_experts: int
    """E."""
    experts_per_token: int
    """Experts that each token is routed to (top-k of a softmax over E)."""
    expert_dim: int
    """F of one expert."""
    norm_topk_prob: bool = True
    """Whether the chosen experts' probabilities are scaled to sum to one."""
    every: int = 1
    """Each ``every``-th layer has experts: layer n (from 0) where (n + 1) % ``every`` is 0."""
    dense_layers: tuple[int, ...] = ()
    """Layers that are dense although ``every`` would give them experts."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"moe: every={self.every} must be at least 1")
        if not 0 < self.experts_per_token <= self.num_experts:
            raise InputError(
                f"experts_per_token={self.experts_per_token} must be in 1…{self.num_experts} (num_experts)"
            )
