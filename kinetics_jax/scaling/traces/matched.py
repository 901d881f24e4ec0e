"""Sides that may be compared: models and policies on one temperature, one cap, one number of trials.

A side is a model under a policy. What differs between sides for another reason than model or policy is made
alike where that is exact, and is left out where it is not:

* caps: the longer runs are cut to the shortest cap that any side met. Tokens are decoded one by one, so a
  run with the shorter cap would have given these very tokens: a longer trace is wrong, and paid for up to
  the cut. A cap that no trace of a run met was no limit to it.
* trials: N on offer is limited to what every side has samples for.
* temperatures: nothing makes them alike. The one that most sides have is kept.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kinetics_jax.policies import Policy, UnknownPolicy
from kinetics_jax.scaling.traces.answers import NO_ANSWER
from kinetics_jax.scaling.traces.independent_trials import Cell

Side = tuple[str, Policy]
_LEAST_CAP = 256
"""Tokens. Where no cap was recorded, several wrong traces of one longest count show it, unless they are so
short that they may well have ended there by themselves."""
_OVERRUN = 1.01
"""A count beyond this many caps shows that the cap recorded was of something else (thinking alone, say)."""


@dataclasses.dataclass(frozen=True)
class Matched:
    """Cells whose sides may be compared, and what was done to have it so."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    """What was cut or limited."""
    skipped: tuple[str, ...] = ()
    """What was left out."""
    not_comparable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """``sizes`` or ``policies`` → why some of these could not be compared."""


def match_sides(cells: Sequence[Cell]) -> Matched:
    """Cells of one source and data set with temperature, cap and number of trials the same on all sides."""
    one = _one_temperature(cells)
    if len(_sides(one.cells)) < 2:
        return one
    kept, cut = _one_cap(one.cells)
    kept, limited = _one_number_of_trials(kept)
    reasons = {**_no_common_policy(kept), **one.not_comparable}
    return Matched(kept, (*cut, *limited), one.skipped, reasons)


def _no_common_policy(cells: Sequence[Cell]) -> dict[str, str]:
    """Why sizes are not compared, where no policy is that of all models."""
    of_model: dict[str, set[Policy]] = {}
    for model, policy in _sides(cells):
        of_model.setdefault(model, set()).add(policy)
    if len(of_model) < 2 or set.intersection(*of_model.values()):
        return {}
    labels = sorted({policy.label for policies in of_model.values() for policy in policies})
    return {"sizes": f"no policy is common to all models: {_listed(labels)}"}


def apart_by_source(cells: Sequence[Cell]) -> dict[tuple[str, str], dict[str, str]]:
    """Source and data set → why policies are not compared: a model's dense and sparse samples are of
    different sources, which have graders and prompts of their own.
    """
    kinds: dict[tuple[str, str], dict[bool, set[str]]] = {}
    for cell in cells:
        if isinstance(cell.policy, UnknownPolicy):
            continue
        of_model = kinds.setdefault((cell.dataset, cell.model), {True: set(), False: set()})
        of_model[cell.policy.kv_budget is None].add(cell.source)
    found = {}
    for (dataset, _), sources in kinds.items():
        dense, sparse = sources[True], sources[False]
        if dense and sparse and not dense & sparse:
            every = sorted(dense | sparse)
            found.update({(s, dataset): {"policies": f"sources {_listed(every)}"} for s in every})
    return found


def _sides(cells: Sequence[Cell]) -> dict[Side, list[Cell]]:
    found: dict[Side, list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.model, cell.policy), []).append(cell)
    return found


def _one_temperature(cells: Sequence[Cell]) -> Matched:
    """The cells whose temperature all sides share; without such a one, those of the commonest."""
    of_side = [{cell.temperature for cell in side} for side in _sides(cells).values()]
    common = set.intersection(*of_side)
    if not common:

        def weight(temperature: float | None) -> tuple[int, int, int]:
            there = [cell for cell in cells if cell.temperature == temperature]
            samples = sum(int(cell.samples.sum()) for cell in there)
            return len({cell.shape for cell in there}), len(_sides(there)), samples

        every = sorted(set().union(*of_side), key=_as_number)
        common = {max(every, key=weight)}
    kept = tuple(cell for cell in cells if cell.temperature in common)
    apart = [cell for cell in cells if cell.temperature not in common]
    said = " and ".join(_temperature(t) for t in sorted(common, key=_as_number))
    skipped = tuple(
        f"{cell.label}: sampled at temperature {_temperature(cell.temperature)}, not comparable with {said}"
        for cell in apart
    )
    lost = [cell for cell in apart if (cell.model, cell.policy) not in _sides(kept)]
    reasons = {}
    if lost:
        differing = sorted({cell.temperature for cell in (*kept, *lost)}, key=_as_number)
        why = f"temperatures {_listed(map(_temperature, differing))}"
        if _sizes(lost) - _sizes(kept):
            reasons["sizes"] = why
        if {cell.model for cell in kept} & {cell.model for cell in lost}:
            reasons["policies"] = why
    return Matched(kept, skipped=skipped, not_comparable=reasons)


def _sizes(cells: Sequence[Cell]) -> set[object]:
    return {cell.shape.total_params for cell in cells if cell.shape}


def _one_cap(cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], list[str]]:
    """Every side cut to the shortest reach of any; cells that a cut would only repeat are dropped."""
    sides = _sides(cells)
    reach = {side: max(map(_met_cap, group)) for side, group in sides.items()}
    cap = min(reach.values())
    if math.isinf(cap) or all(found == cap for found in reach.values()):
        return tuple(cells), []
    kept, cut, repeated = [], [], []
    for cell in cells:
        group = sides[cell.model, cell.policy]
        if _longest(cell) <= cap or _met_cap(cell) <= cap:
            kept.append(cell)
        elif any(other.variant == cell.variant and _met_cap(other) == cap for other in group):
            repeated.append(cell.label)
        else:
            cut.append(cell.label)
            kept.append(_cut(cell, int(cap)))
    shortest = min((cell for cell in cells if _met_cap(cell) == cap), key=lambda cell: cell.label)
    said = f"compared at a cap of {cap:,.0f} tokens, that of {shortest.model} ({shortest.policy.label})"
    if cut:
        said += f"; longer traces are cut there, wrong, and paid to the cut: {_listed(cut)}"
    if repeated:
        said += f"; left out, as a run with that cap is there: {_listed(repeated)}"
    return tuple(kept), [said] * bool(cut or repeated)


def _met_cap(cell: Cell) -> float:
    """The cap of a run, as far as it is a limit to its traces; infinite where no trace met it."""
    lengths, longest = cell.generated_tokens[cell.present], _longest(cell)
    if cell.max_tokens is not None and longest <= _OVERRUN * cell.max_tokens:
        return float(cell.max_tokens) if longest >= cell.max_tokens else math.inf
    stopped = lengths == longest
    wrong = not cell.correct[cell.present][stopped].any()
    return longest if longest >= _LEAST_CAP and stopped.sum() >= 2 and wrong else math.inf


def _longest(cell: Cell) -> float:
    return float(cell.generated_tokens[cell.present].max())


def _cut(cell: Cell, cap: int) -> Cell:
    """The cell as a run with this cap would have left it."""
    ended = cell.generated_tokens <= cap
    return dataclasses.replace(
        cell,
        max_tokens=cap,
        generated_tokens=np.minimum(cell.generated_tokens, cap),
        correct=cell.correct & ended,
        answers=None if cell.answers is None else np.where(ended, cell.answers, NO_ANSWER),
    )


def _one_number_of_trials(cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], list[str]]:
    """N limited to the samples that the side with the fewest has."""
    most = {side: max(cell.max_trials for cell in group) for side, group in _sides(cells).items()}
    limit = min(most.values())
    if all(trials == limit for trials in most.values()):
        return tuple(cells), []
    kept = tuple(dataclasses.replace(cell, trials_limit=limit) for cell in cells)
    fewest = sorted({f"{model} ({policy.label})" for (model, policy), n in most.items() if n == limit})
    more = f"; others have up to {max(most.values())}"
    return kept, [f"N is at most {limit} on all sides, the samples of {_listed(fewest)}{more}"]


def _as_number(temperature: float | None) -> float:
    return -1.0 if temperature is None else temperature


def _temperature(value: float | None) -> str:
    return "not recorded" if value is None else f"{value:g}"


def _listed(names: Iterable[str], most: int = 4) -> str:
    every = list(names)
    shown, more = every[:most], len(every) - most
    text = " and ".join(shown) if len(every) == 2 else ", ".join(shown)
    return f"{text} and {more} more" if more > 0 else text
