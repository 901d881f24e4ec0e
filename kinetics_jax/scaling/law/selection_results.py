"""What can be had without an oracle, as data: frontiers by verifier and choice, and stopping rules.

Axis: G costs of the grid. NaN stands for "nothing fits this cost".
"""

import dataclasses

from kinetics_jax.scaling.law.result_parts import Floats
from kinetics_jax.scaling.selection.adaptive import Stopped


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SelectionResult:
    """Accuracy against cost where a given verifier picks one of N answers."""

    verifier: str
    """As ``selection.parse_verifiers`` reads it."""
    choice: str
    """``question``: a configuration per question, chosen by its graded samples; ``shared``: one for all
    questions. On halves, and scored on the others, where ``flavour`` is ``held_out``."""
    flavour: str
    """Rule of choosing, as ``FrontierResult.flavour``."""
    accuracy: Floats
    """[G], in [0, 1]; the verifier's own cost is within the limit."""
    low: Floats
    high: Floats
    model: tuple[str, ...]
    """Best model at each cost, [G]; empty text where nothing is solved."""
    trials: Floats
    """Optimal N, [G]."""
    length: Floats
    """Optimal generation length limit in tokens, [G]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoppingResult(Stopped):
    """``Stopped`` of a cell: costs a question, in the unit of the law's."""

    model: str
    policy: str
    rule: str
    """``accepted`` (a perfect verifier sees every sample) or ``majority`` (answers are counted)."""
    trials: int
    """N of the fixed number, and the most that the rule draws."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WithoutOracle:
    """What a user without an oracle gets, beside what pass@N promises."""

    selections: tuple[SelectionResult, ...]
    stopping: tuple[StoppingResult, ...]
    left_out: tuple[str, ...]
    """What could not be computed from these traces, and why."""

    def get(self, verifier: str, choice: str) -> SelectionResult | None:
        """The selection of a verifier by its kind (``perfect``) and a choice; None where there is none."""
        same = (s for s in self.selections if s.verifier.partition("(")[0] == verifier and s.choice == choice)
        return next(same, None)
