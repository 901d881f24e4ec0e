"""Laws in words: what to run at which cost, and which of the paper's claims these traces bear out.

Every sentence is made from numbers of the results; nothing is said that was not found.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from kinetics_jax.scaling.results import Band, FrontierResult, Law, ShapeResults

SETTLED = 0.5
"""Share of resamples that must agree on a model before it is named as the choice."""


def best_frontier(law: Law) -> FrontierResult:
    """The held-out frontier where there is one, else the paper's."""
    return law.frontiers.get("held_out") or law.frontiers["paper"]


def answers(laws: Sequence[Law]) -> tuple[str, ...]:
    """Sentences family by family, families of several sizes first.

    A family has one for its first chip, one for all other chips together, and one for a projection.
    """
    families: dict[tuple[str, str], list[Law]] = {}
    for law in laws:
        families.setdefault((law.dataset, law.source), []).append(law)
    ordered = sorted(families.values(), key=lambda group: len(set(group[0].sizes)) < 2)
    return tuple(sentence for group in ordered for sentence in _family_answers(group))


def _family_answers(laws: Sequence[Law]) -> list[str]:
    real = [law for law in laws if not law.projected_policy]
    where = f"{laws[0].dataset} ({laws[0].questions} questions, {_source(laws[0])})"
    said = [f"On {law.chip_label}, {where}: {_answer(law)}." for law in real[:1]]
    if real[1:]:
        others = "; ".join(f"on {law.chip_label} {_choices(law)}" for law in real[1:])
        said.append(f"The same law, {laws[0].dataset} ({_source(laws[0])}), {others}.")
    said += [
        f"On {law.chip_label}, {where}: {_projection(law, real)}"
        for law in laws
        if law.projected_policy
    ]
    return said


def shape_answers(shapes: ShapeResults) -> tuple[str, ...]:
    """What shapes alone say, in words: where attention overtakes, how KV grows, what sparsity saves."""
    small, large = int(np.argmax(shapes.phi[:, -1])), int(np.argmin(shapes.phi[:, -1]))
    trend = shapes.kv_trend["Qwen3, linear"].value
    said = [
        f"With the paper's I = {shapes.intensity:.4g} FLOP/byte ({shapes.chip}), attention costs as "
        f"much as the weights after {shapes.overtakes[small]:,.0f} generated tokens "
        f"({shapes.models[small].name}) to {shapes.overtakes[large]:,.0f} "
        f"({shapes.models[large].name}); KV per token grows {trend:.2f}× per doubling of parameters."
    ]
    for chip in dict.fromkeys(row.chip for row in shapes.capacity):
        rows = [row for row in shapes.capacity if row.chip == chip and row.num_chips]
        if rows:
            gains = {row.model: row.dense_seconds / row.sparse_seconds for row in rows}
            most, least = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
            said.append(
                f"On {chip}, block top-k of budget 1,024 would cut a {rows[0].context:,}-token sample's "
                f"modelled cost {gains[most]:.1f}× ({most}) to {gains[least]:.1f}× ({least}), weight "
                "reads at the batch that fits included."
            )
    return tuple(said)


def _answer(law: Law) -> str:
    frontier, end = best_frontier(law), saturation(law)
    if not frontier.bands:
        return "nothing is solved at any cost"
    reached = float(frontier.accuracy[end])
    return (
        f"{_choices(law)}; {seconds(law.seconds[end])} per question ({_recipe(frontier, end)}) reach "
        f"{reached:.0%} [{frontier.low[end]:.0%}–{frontier.high[end]:.0%}] and more buys nothing"
    )


def _choices(law: Law) -> str:
    """Which model to use up to which cost per question."""
    bands = _main_bands(best_frontier(law).bands)
    if not bands:
        return "nothing is solved"
    last = f"{bands[-1].model}{_doubt(bands[-1])}"
    if len(bands) == 1:
        return f"use {last} throughout"
    first = f"below {_at(law, bands[0].end)} per question use {bands[0].model}{_doubt(bands[0])}"
    between = [f"up to {_at(law, b.end)} {b.model}{_doubt(b)}" for b in bands[1:-1]]
    return ", ".join([first, *between, f"above that {last}"])


def _recipe(frontier: FrontierResult, at: int) -> str:
    """Trials, length and KV budget of the best choice at a cost: means over questions."""
    trials = float(frontier.trials[at])
    parts = [
        f"{trials:.2g} trial{'s' * (trials != 1)}",
        f"of up to {frontier.length[at]:,.0f} tokens",
    ]
    if frontier.dense_share[at] < 1:
        parts.append(
            f"{1 - frontier.dense_share[at]:.0%} sparse with a KV budget of "
            f"{frontier.kv_budget[at]:,.0f}"
        )
    return ", ".join((" ".join(parts[:2]), *parts[2:]))


def _projection(law: Law, real: Sequence[Law]) -> str:
    """What a projected policy would save on the chip where the same traces have a real law."""
    dense = next((one for one in real if one.chip == law.chip), None)
    if dense is None:
        return f"{law.projected_policy} was projected, but its dense law could not be found."
    target = 0.95 * float(np.max(best_frontier(dense).accuracy))
    before, after = (cost_to_reach(one, target) for one in (dense, law))
    return (
        f"IF {law.projected_policy} changed no answer (these traces cannot tell), {target:.0%} "
        f"would cost {_at(law, after)} in place of {_at(law, before)} ({before / after:.1f}× less)."
    )


def _main_bands(bands: Sequence[Band]) -> list[Band]:
    """Bands wider than a few percent of the whole range; neighbours of one model are joined."""
    if not bands:
        return []
    whole = np.log(bands[-1].end / bands[0].start) or 1.0
    wide = [b for b in bands if np.log(b.end / b.start) >= 0.04 * whole] or [max(bands, key=_width)]
    joined = [wide[0]]
    for band in wide[1:]:
        last = joined[-1]
        if band.model == last.model:
            joined[-1] = Band(
                model=last.model, start=last.start, end=band.end,
                start_accuracy=last.start_accuracy, end_accuracy=band.end_accuracy,
                support=min(last.support, band.support),
            )  # fmt: skip
        else:
            joined.append(band)
    return joined


def _width(band: Band) -> float:
    return float(np.log(band.end / band.start))


def _doubt(band: Band) -> str:
    return "" if band.support >= SETTLED else f" (unsettled: {band.support:.0%} of resamples)"


def _at(law: Law, eflops: float) -> str:
    return seconds(eflops / law.peak_flops)


def _source(law: Law) -> str:
    return law.source.split("@")[0].split("/")[-1]


def seconds(value: float) -> str:
    """Chip-seconds for a person: two significant digits."""
    return f"{value:.2g} s" if value >= 0.01 else f"{value * 1e3:.2g} ms"


def saturation(law: Law) -> int:
    """Grid index from which accuracy is within 0.1 % of its best."""
    accuracy = best_frontier(law).accuracy
    return int(np.argmax(accuracy >= accuracy.max() * 0.999))


def cost_to_reach(law: Law, accuracy: float) -> float:
    """Least cost of the grid at which the frontier reaches an accuracy; inf where it never does."""
    reached = np.flatnonzero(best_frontier(law).accuracy >= accuracy)
    return float(law.costs[reached[0]]) if reached.size else float("inf")


def claims(
    laws: Sequence[Law], attention_share: tuple[float, float] | None
) -> tuple[tuple[str, str, str], ...]:
    """(claim of the paper, what these traces say, verdict: holds, mixed, fails or untested).

    Args:
      laws: all laws found.
      attention_share: least and largest mean share of attention in the eFLOPs of a cell, if known.
    """
    real = [law for law in laws if not law.projected_policy]
    return (
        _attention_claim(attention_share),
        _size_claim(real),
        _token_claim(real),
        _bias_claim(real),
        _sparse_claim(real),
    )


def _attention_claim(share: tuple[float, float] | None) -> tuple[str, str, str]:
    claim = "attention's memory traffic, not parameters, is what reasoning costs (§2)"
    if share is None:
        return claim, "no trace was priced", "untested"
    low, high = share
    said = (
        f"attention and search are {low:.0%} to {high:.0%} of the eFLOPs of these traces, by cell"
    )
    return claim, said, "holds" if low > 0.5 else "fails" if high < 0.5 else "mixed"


def _size_claim(laws: Sequence[Law]) -> tuple[str, str, str]:
    claim = "grow the model first, up to a threshold (14B on AIME), then spend on tokens (§3)"
    tested = [law for law in laws if law.threshold is not None]
    if not tested:
        return claim, "no family has two model sizes", "untested"
    parts, rising = [], []
    for law in tested:
        bands = _main_bands(best_frontier(law).bands)
        sizes = [law.sizes[law.models.index(band.model)] for band in bands]
        rising.append(all(a <= b for a, b in itertools.pairwise(sizes)))
        order = " → ".join(f"{size / 1e9:.1f}B" for size in sizes)
        parts.append(f"{law.dataset}/{_source(law)} on {law.chip}: {order}")
    verdict = "holds" if all(rising) else "mixed" if any(rising) else "fails"
    return claim, "best size as cost grows: " + "; ".join(parts), verdict


def _token_claim(laws: Sequence[Law]) -> tuple[str, str, str]:
    claim = (
        "optimal tokens grow as cost^0.80 (1.74× per doubling; Qwen3-8B, AIME24, sparse, Fig. 7)"
    )
    fits = [(law, best_frontier(law).fits.get("tokens.b")) for law in laws]
    known = [(law, fit) for law, fit in fits if fit is not None and fit.low is not None]
    if not known:
        return claim, "no family determines an exponent", "untested"
    inside = [fit.low <= 0.80 <= fit.high for _, fit in known if fit and fit.low and fit.high]
    values = sorted(fit.value for _, fit in known if fit)
    said = (
        f"dense exponents {values[0]:.2f} to {values[-1]:.2f}; 0.80 is in the interval of "
        f"{sum(inside)} of {len(known)} laws"
    )
    return claim, said, "holds" if all(inside) else "mixed" if any(inside) else "fails"


def _bias_claim(laws: Sequence[Law]) -> tuple[str, str, str]:
    claim = "choosing the best configuration on the samples it is scored on is fair (App. D.2)"
    known = [law.optimism for law in laws if law.optimism is not None]
    if not known:
        return claim, "run with --frontier=both to compare", "untested"
    worst = max(known, key=lambda optimism: optimism.value)
    span = f" [{worst.low:.1f}, {worst.high:.1f}]" if worst.low is not None else ""
    said = f"it flatters by up to {worst.value:.1f}{span} points, averaged over a grid of costs"
    return claim, said, "fails" if (worst.low or 0) > 0 else "mixed"


def _sparse_claim(laws: Sequence[Law]) -> tuple[str, str, str]:
    claim = "sparse attention wins at every cost (§4)"
    sparse = [law for law in laws if any(cell.policy != "dense" for cell in law.cells)]
    if not sparse:
        said = "every trace here was decoded densely; sparse rows are projections, not evidence"
        return claim, said, "untested"
    dense = [float(np.nanmean(best_frontier(law).dense_share)) for law in sparse]
    said = (
        f"dense attention is the best choice for {min(dense):.0%} to {max(dense):.0%} of questions"
    )
    return claim, said, "holds" if max(dense) < 0.5 else "mixed" if min(dense) < 0.5 else "fails"
