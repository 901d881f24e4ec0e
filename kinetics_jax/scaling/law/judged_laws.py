"""The paper's claims on one law alone, each from bounds on what it says.

``tests`` is the number of laws (or models) that a claim is judged on together: bounds are widened for it.
Axis: G costs of the grid.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.scaling.frontier.growing import Growth
from kinetics_jax.scaling.law.choices import cost_text, source_name
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.verdicts import MARGIN, Judged, equivalence
from kinetics_jax.scaling.statistics.bands import Bands, one_sided, stretch
from kinetics_jax.scaling.statistics.intervals import Estimate

EXPONENT = 0.80
"""The paper's, of Qwen3-8B on AIME24, sparse."""
EXPONENT_MARGIN = 0.10
"""An exponent moves by about this much with the span that it is fitted over (.70 to .80 for the paper's own
points, fitted in logarithms and linearly)."""
_SHARE_MARGIN = MARGIN / 100


def name(law: Law) -> str:
    """A law by data set and source."""
    return f"{law.dataset}/{source_name(law)}"


def judge_sparse(law: Law, tests: int) -> Judged | None:
    """Sparse attention wins at every cost: nowhere behind by ``MARGIN``, ahead somewhere.

    Holds where the pointwise lower bound is above −``MARGIN`` at every cost at which either solves something
    (each must hold, so no correction is needed) and somewhere the simultaneous one is above zero. Fails where
    a simultaneous upper bound is below zero. None without dense and sparse traces of a model.
    """
    if law.sparse is None:
        return _apart(law, "policies")
    bands = one_sided(law.sparse.difference, tests)
    known = np.flatnonzero(np.isfinite(bands.value))
    if not known.size:
        return Judged(name(law), "undecided", "nothing is solved")
    worst = known[np.argmin(bands.value[known])]
    behind, ahead = bands.sure_high < 0, bands.sure_low > 0
    if behind.any():
        at = np.flatnonzero(behind)
        worst = at[np.argmin(bands.value[at])]
        return Judged(
            name(law), "fails", f"surely behind {_stretch(law, behind)}, by {_points(law, worst)} at worst"
        )
    if (bands.low[known] > -_SHARE_MARGIN).all() and ahead.any():
        return Judged(name(law), "holds", f"ahead {_stretch(law, ahead)}, nowhere behind by {MARGIN:g} point")
    why = f"{_points(law, worst)} where sparse does worst, {cost_text(law, law.costs[worst])} per question"
    return Judged(
        name(law), "undecided", why if not ahead.any() else f"ahead {_stretch(law, ahead)}, but {why}"
    )


def judge_fairness(law: Law, tests: int) -> Judged | None:
    """Choosing on the scored samples adds nothing, to ``MARGIN``, on average. None without an interval."""
    found = law.selection_bias
    if found is None or found.low is None or found.high is None:
        return None
    low, high = _widened(found, tests)
    why = f"it adds {found.value:+.1f} points [{low:+.1f}, {high:+.1f}]"
    return Judged(name(law), equivalence(low, high, -MARGIN, MARGIN), why)


def judge_exponents(law: Law, tests: int) -> list[Judged]:
    """The exponent of the largest token demand is the paper's within ``EXPONENT_MARGIN``; one a model."""
    found = []
    for model, fit in law.token_demand.items():
        low, high = _widened(fit, tests)
        verdict = equivalence(low, high, EXPONENT - EXPONENT_MARGIN, EXPONENT + EXPONENT_MARGIN)
        why = f"{fit.value:.2f} [{low:.2f}, {high:.2f}]"
        if fit.span is not None:
            ends = (cost_text(law, cost) for cost in fit.span)
            why += f" from {' to '.join(ends)} per question"
        found.append(Judged(f"{model} on {name(law)}", verdict, why))
    return found


def judge_sizes(law: Law, tests: int) -> Judged | None:
    """Larger models as cost grows, up to a threshold: growing beyond some size first does not pay and later
    does, and growing beyond a larger one, still below the largest on offer, pays at no cost.

    Holds where the latter has a pointwise upper bound below ``MARGIN`` at every cost, and the former is shown
    by simultaneous bounds and not taken back later. Fails where a size surely loses again what it had won, or
    where growing beyond the smallest pays at no cost. That the largest wins shows no threshold. None with one
    size.
    """
    if not law.growth:
        return _apart(law, "sizes")
    steps = [Growth(size, one_sided(bands, tests)) for size, bands in law.growth]
    if all(np.isnan(bands.value).all() for _, bands in steps):
        return Judged(name(law), "undecided", "nothing is solved")
    for size, bands in steps:
        won, lost = np.flatnonzero(bands.sure_low > 0), np.flatnonzero(bands.sure_high < 0)
        if won.size and lost.size and won[0] < lost[-1]:
            why = (
                f"above {params(size)} is surely better at {cost_text(law, law.costs[won[0]])} and worse at "
            )
            return Judged(name(law), "fails", f"{why}{cost_text(law, law.costs[lost[-1]])}")
    largest = max(law.sizes)
    stops = [size for size, bands in steps if _never_pays(bands)]
    if stops and stops[0] == steps[0].size:
        why = f"no size above {params(stops[0])} is better by {MARGIN:g} point at any cost"
        return Judged(name(law), "fails", why)
    rises = [size for size, bands in steps if _rises(bands)]
    if stops and any(size < stops[0] for size in rises):
        why = f"sizes rise up to {params(stops[0])}; what is larger, up to {params(largest)}, is not better"
        return Judged(name(law), "holds", why)
    if not rises:
        return Judged(name(law), "undecided", "these questions do not show that sizes rise with cost")
    if (steps[-1].difference.sure_low > 0).any():
        why = f"sizes rise up to the largest on offer, {params(largest)}, which can show no threshold"
    else:
        why = f"sizes rise beyond {params(rises[-1])}; whether {params(largest)} still pays is open"
    return Judged(name(law), "undecided", why)


def _never_pays(bands: Bands) -> bool:
    known = np.isfinite(bands.value)
    return bool(known.any() and (bands.high[known] < _SHARE_MARGIN).all())


def _rises(bands: Bands) -> bool:
    """Surely behind first, surely ahead later, and from there on nowhere behind by the margin."""
    behind, ahead = np.flatnonzero(bands.sure_high < 0), np.flatnonzero(bands.sure_low > 0)
    if not (behind.size and ahead.size and behind[0] < ahead[0]):
        return False
    after = bands.low[ahead[0] :]
    return bool((after[np.isfinite(after)] > -_SHARE_MARGIN).all())


def _apart(law: Law, what: str) -> Judged | None:
    """What could not be compared, where that is why there is nothing to judge."""
    why = law.not_comparable.get(what)
    return None if why is None else Judged(name(law), "not comparable", why)


def _widened(found: Estimate, tests: int) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    factor = stretch(tests)
    return found.value + factor * (found.low - found.value), found.value + factor * (found.high - found.value)


def _points(law: Law, at: np.intp) -> str:
    """Points that sparse attention is ahead or behind at a cost, with the plain 95 % interval."""
    assert law.sparse is not None
    value, low, high = (100 * float(one[at]) for one in law.sparse.difference[:3])
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _stretch(law: Law, there: NDArray[np.bool_]) -> str:
    """Where something is the case, as stretches of cost."""
    parts = []
    for is_so, group in itertools.groupby(range(len(there)), key=lambda g: bool(there[g])):
        at = list(group)
        if is_so:
            first, last = cost_text(law, law.costs[at[0]]), cost_text(law, law.costs[at[-1]])
            parts.append(f"at {first}" if first == last else f"from {first} to {last}")
    return " and ".join(parts)


def params(count: float) -> str:
    """Parameters for a person: 14.8B."""
    return f"{count / 1e9:.1f}B" if count >= 1e8 else f"{count / 1e6:.2f}M"
