"""How the next token is drawn from a model's logits, as options: no JAX, so that configs can name it."""

import dataclasses

from kinetics_jax.checks import MAX_SEED, check_number, check_whole
from kinetics_jax.errors import InputError

GREEDY_BELOW = 0.02
"""Temperatures under this take the most likely token (docs/paper_facts.md, "Sampling")."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Filters and seed of one request; defaults as published (docs/paper_facts.md, "Sampling").

    Filters act in this order: top-k, softmax at the temperature, top-p (nucleus), min-p; what is left
    is renormalised. The most likely token always stays.
    """

    temperature: float = 0.6
    """Divides the logits; under ``GREEDY_BELOW`` the most likely token is taken."""
    top_p: float = 0.95
    """Keep tokens, likeliest first, until their mass exceeds this; the crossing token stays. 1: off."""
    top_k: int = 20
    """Keep this many likeliest tokens, equal ones in order of their id. 0: off (and -1, which becomes 0)."""
    min_p: float = 0.0
    """Keep tokens at least this times as likely as the likeliest one, at the temperature. 0: off."""
    seed: int = 0
    """With the problem and the trial it names the random stream; see ``engine.sampler.sample_keys``."""

    def __post_init__(self) -> None:
        for field in ("temperature", "top_p", "min_p"):
            object.__setattr__(self, field, check_number(field, getattr(self, field)))
        if not self.temperature >= 0:
            raise InputError(f"temperature={self.temperature!r} must be ≥ 0 (0 is greedy)")
        if not 0 < self.top_p <= 1:
            raise InputError(
                f"top_p={self.top_p!r} must be in (0, 1] (1 turns it off; for the likeliest token alone "
                "say temperature=0)"
            )
        if not 0 <= self.min_p < 1:
            raise InputError(f"min_p={self.min_p!r} must be in [0, 1) (0 turns it off)")
        top_k = check_whole("top_k", self.top_k, -1, hint="0 or -1 turns it off")
        object.__setattr__(self, "top_k", max(top_k, 0))
        seed = check_whole("seed", self.seed, 0, MAX_SEED, "the same seed draws the same samples")
        object.__setattr__(self, "seed", seed)

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature < GREEDY_BELOW
