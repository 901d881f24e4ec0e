"""What sparse attention gives at equal cost, measured or projected, in words."""

from collections.abc import Sequence

import numpy as np

from kinetics_jax.scaling.law.choices import cost_text, cost_to_reach, source_name
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.statistics.intervals import Estimate


def measured(law: Law) -> str:
    """The mean gain, and the cost of what dense attention solves, each with its interval."""
    assert law.sparse is not None
    gain = law.sparse.gain
    return (
        f"Sparse against dense attention at equal cost, {law.dataset} ({source_name(law)}), measured: "
        f"{gain.value:+.1f} points of accuracy [{gain.low:+.1f}, {gain.high:+.1f}] in the mean over costs, "
        f"which says nothing of any one cost; {_cost(law.sparse.cheaper)}."
    )


def _cost(cheaper: Estimate) -> str:
    """Whether 95 % of what dense solves comes for less; 0 in ``cheaper`` is never."""
    low, high = cheaper.low or 0.0, cheaper.high or 0.0
    if cheaper.value == low == 0 and high < 1:
        dearer = f", or pays at least {1 / high:.1f} times for it" if high > 0 else ""
        return f"within these costs sparse never solves 95 % of what dense does{dearer}"
    said = f"{cheaper.value:.1f}× less [{low:.1f}–{high:.1f}]"
    if low > 1:
        return f"95 % of what dense solves costs {said}"
    if high < 1 and low > 0:
        return f"95 % of what dense solves costs {1 / cheaper.value:.1f}× more [{1 / high:.1f}–{1 / low:.1f}]"
    never = "; 0 is never" if low == 0 else ""
    return f"whether 95 % of what dense solves costs less, these traces cannot say ({said[:-1]}{never}])"


def costs_of_most(law: Law, dense: Law) -> tuple[float, float]:
    """Least cost of 95 % of the best that ``dense`` solves: there, and in ``law``, a projection of it."""
    target = 0.95 * float(np.max(dense.best_frontier.accuracy))
    return cost_to_reach(dense, target), cost_to_reach(law, target)


def projected(law: Law, real: Sequence[Law]) -> str:
    """What a projected policy would save on the chip where the same traces have a real law."""
    dense = next((one for one in real if (one.chip, one.prices) == (law.chip, law.prices)), None)
    if dense is None:
        return f"{law.projected_policy} was projected, but its dense law could not be found."
    before, after = costs_of_most(law, dense)
    opening = f"IF {law.projected_policy} changed no answer (these traces cannot tell)"
    if not after < 0.95 * before:
        return f"{opening}, it would save next to nothing: these traces are short."
    costs = (cost_text(law, cost) for cost in (after, before))
    return (
        f"{opening}, 95 % of the best accuracy would cost {' in place of '.join(costs)} "
        f"({before / after:.1f}× less)."
    )
