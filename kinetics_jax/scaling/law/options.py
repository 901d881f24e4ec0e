"""How laws are found: every field is an option of the main job."""

import dataclasses
from typing import get_args

from kinetics_jax.checks import MAX_SEED, python_number, shown
from kinetics_jax.costs import MODES, OVERLAPS
from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.choose_and_score import Flavour
from kinetics_jax.scaling.frontier.configurations import Search
from kinetics_jax.scaling.selection.verifiers import parse_verifiers

VERIFIERS = ("perfect", "majority", "roc(0.9,0.1,cost=0.05)")
_MOST_RESAMPLES = 1_000_000
"""More say nothing more, and fill the memory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LawOptions:
    """How laws are found. Every field is an option of the main job."""

    cost_mode: str = "exact"
    overlap: str = "sum"
    frontier: str = "both"
    """``paper``, ``held_out`` or ``both``."""
    bootstrap: int = 1000
    """Resamples of the questions."""
    splits: int = 5
    """Random halves of the held-out rule."""
    grid_points: int = 100
    search: Search = "both"
    """Configurations searched; see ``build_study``."""
    verifiers: tuple[str, ...] = VERIFIERS
    """Who may pick one of N answers, side by side; see ``selection.parse_verifiers``."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frontier not in ("paper", "held_out", "both"):
            raise InputError(f"frontier={self.frontier!r} must be paper, held_out or both")
        for field, words in (("cost_mode", MODES), ("overlap", OVERLAPS), ("search", get_args(Search))):
            if getattr(self, field) not in words:
                raise InputError(f"{field}={getattr(self, field)!r} must be one of {', '.join(words)}")
        readers = [verifier.label for verifier in parse_verifiers(self.verifiers) if verifier.reader]
        if readers and self.cost_mode != "exact":
            raise InputError(f"verifier {readers[0]}: only cost_mode=exact prices what a reader reads")
        for field, least in (("bootstrap", 1), ("splits", 1), ("grid_points", 2), ("seed", 0)):
            value = python_number(getattr(self, field))
            if not isinstance(value, int) or not least <= value <= MAX_SEED:
                given = shown(getattr(self, field))
                raise InputError(f"{field}={given} must be at least {least}, and a whole number")
            object.__setattr__(self, field, value)
        if self.bootstrap > _MOST_RESAMPLES:
            raise InputError(f"bootstrap={self.bootstrap} must be at most {_MOST_RESAMPLES}")

    @property
    def flavours(self) -> tuple[Flavour, ...]:
        """The rules of choosing that are asked for."""
        both: tuple[Flavour, ...] = ("paper", "held_out")
        return tuple(flavour for flavour in both if self.frontier in (flavour, "both"))
