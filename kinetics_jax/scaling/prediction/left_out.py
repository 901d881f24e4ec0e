"""Each setting said from the others of its kind, and how far off that was: sizes, and KV budgets.

What a chip costs needs no prediction: prices are computed for any chip. Larger caps are
``selection.predict_larger_cap``. Axis: Q questions.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.prediction.trend import Trend, fit_trend
from kinetics_jax.scaling.traces.independent_trials import Cell

Axis = Literal["size", "kv_budget"]
FEWEST = 3
"""Settings of a kind: one is left out and two determine a line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One setting as the others of its kind say it, beside what it was."""

    axis: Axis
    kind: str
    """What the settings have in common: the policy of sizes, the model of budgets."""
    left_out: str
    """The setting: a model, or a policy."""
    inside: bool
    """Whether it lies between others; else the line is drawn beyond them."""
    accuracy: float
    """Of one sample, predicted."""
    actual: float
    nearest: float
    """Accuracy of the nearest setting that was run: the guess to beat."""
    tokens: float
    """Mean tokens of a sample, predicted."""
    actual_tokens: float

    @property
    def error(self) -> float:
        """Predicted less actual, in points of accuracy."""
        return 100 * (self.accuracy - self.actual)


def leave_out(cells: Sequence[Cell]) -> tuple[LeftOut, ...]:
    """Every size of a policy, and every KV budget of a model, said from the others.

    Args:
        cells: of one family, on the same questions. Kinds of fewer than ``FEWEST`` settings are passed over.
    """
    found: list[LeftOut] = []
    for axis in ("size", "kv_budget"):
        for kind, group in _kinds(cells, axis).items():
            if len({_x(cell, axis) for cell in group}) >= FEWEST:
                found += [_left_out(axis, kind, cell, group) for cell in group]
    return tuple(found)


def predict(cells: Sequence[Cell], axis: Axis, x: float) -> tuple[float, float, float]:
    """A size or a KV budget that was not run, said from the cells of one kind.

    Args:
        cells: that differ in this alone.
        axis: ``size`` (x in parameters) or ``kv_budget`` (x in tokens).
        x: what is asked about.

    Returns:
        Accuracy of one sample, mean tokens, and the root mean square error in points of accuracy of saying
        each of these cells from the others.

    Raises:
        InputError: fewer than ``FEWEST`` cells, or cells of several kinds.
    """
    kinds = _kinds(cells, axis)
    kind, group = next(iter(kinds.items()), ("", []))
    if len(kinds) != 1 or len({_x(cell, axis) for cell in group}) < FEWEST:
        raise InputError(f"predicting a {axis} needs {FEWEST} settings that differ in nothing else")
    trend = _trend(axis, group)
    return (
        float(trend.accuracy_at(x)),
        float(trend.tokens_at(x)),
        error_of([_left_out(axis, kind, cell, group) for cell in group]),
    )


def error_of(found: Sequence[LeftOut], *, of_nearest: bool = False) -> float:
    """Root mean square error in points of accuracy, of the line or of the nearest setting in its place."""
    misses = [100 * (one.nearest - one.actual) if of_nearest else one.error for one in found]
    return float(np.sqrt(np.mean(np.square(misses))))


def _kinds(cells: Sequence[Cell], axis: Axis) -> dict[str, list[Cell]]:
    """Cells that differ in the axis alone, by what they have in common; dense cells have no budget."""
    label: Callable[[Cell], str] = {
        "size": lambda cell: cell.policy.label,
        "kv_budget": lambda cell: f"{cell.model}, {type(cell.policy).__name__}",
    }[axis]
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.shape is None or (axis == "kv_budget" and cell.policy.kv_budget is None):
            continue
        rest = [f"cap {cell.max_tokens}" * bool(cell.max_tokens), cell.variant]
        found.setdefault(", ".join(part for part in (label(cell), *rest) if part), []).append(cell)
    return found


def _x(cell: Cell, axis: Axis) -> float:
    """Parameters or tokens; ``_kinds`` leaves out cells that have none."""
    assert cell.shape is not None
    x = cell.shape.total_params if axis == "size" else cell.policy.kv_budget
    assert x is not None
    return float(x)


def _trend(axis: Axis, cells: Sequence[Cell]) -> Trend:
    samples = [float(cell.present.sum()) for cell in cells]
    right = [cell.accuracy * count for cell, count in zip(cells, samples, strict=True)]
    return fit_trend([_x(cell, axis) for cell in cells], right, samples, [_tokens(cell) for cell in cells])


def _tokens(cell: Cell) -> float:
    """Mean over questions of the mean tokens of their samples."""
    return float(np.mean((cell.generated_tokens * cell.present).sum(axis=1) / cell.samples))


def _left_out(axis: Axis, kind: str, cell: Cell, group: Sequence[Cell]) -> LeftOut:
    x = _x(cell, axis)
    others = [one for one in group if _x(one, axis) != x]
    places = np.array([_x(one, axis) for one in others])
    trend = _trend(axis, others)
    return LeftOut(
        axis=axis,
        kind=kind,
        left_out=cell.model if axis == "size" else cell.policy.label,
        inside=bool(places.min() < x < places.max()),
        accuracy=float(trend.accuracy_at(x)),
        actual=cell.accuracy,
        nearest=others[int(np.abs(np.log(places / x)).argmin())].accuracy,
        tokens=float(trend.tokens_at(x)),
        actual_tokens=_tokens(cell),
    )
