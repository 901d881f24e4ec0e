"""Laws in words: what to run at which cost. (``claims.py``: which of the paper's claims the traces bear out.)

Every sentence is made from numbers of the results; nothing is said that was not found.
"""

from collections.abc import Sequence

import numpy as np

from kinetics_jax.scaling.law.results import Band, FrontierResult, Law, ShapeResults

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
    where = f"{laws[0].dataset} ({laws[0].questions} questions, {source_name(laws[0])})"
    said = [f"On {law.chip_label}, {where}: {_answer(law)}." for law in real[:1]]
    if real[1:]:
        others = "; ".join(f"on {law.chip_label} {_choices(law)}" for law in real[1:])
        said.append(f"The same law, {laws[0].dataset} ({source_name(laws[0])}), {others}.")
    said += [_sparse(law) for law in real[:1] if law.sparse is not None]
    said += [
        f"On {law.chip_label}, {where}: {_projection(law, real)}" for law in laws if law.projected_policy
    ]
    return said


def shape_answers(shapes: ShapeResults) -> tuple[str, ...]:
    """What shapes alone say, in words: where attention overtakes, how KV grows, what sparsity saves."""
    small, large = int(np.argmax(shapes.phi[:, -1])), int(np.argmin(shapes.phi[:, -1]))
    linear, log = (shapes.kv_trend[f"Qwen3, {space}"].value for space in ("linear", "log"))
    said = [
        f"With the paper's I = {shapes.intensity:.4g} FLOP/byte ({shapes.chip}), attention costs as "
        f"much as the weights after {shapes.overtakes[small]:,.0f} generated tokens "
        f"({shapes.models[small].name}) to {shapes.overtakes[large]:,.0f} "
        f"({shapes.models[large].name}); KV per token grows {linear:.2f}× per doubling of parameters by "
        f"the paper's fit, {log:.2f}× by log–log."
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
    frontier, end = best_frontier(law), settled(law)
    if not frontier.bands:
        return "nothing is solved at any cost"
    reached = float(frontier.accuracy[-1])
    return (
        f"{_choices(law)}; the most these traces show is {reached:.0%} "
        f"[{frontier.low[-1]:.0%}–{frontier.high[-1]:.0%}], from {seconds(law.seconds[end])} per "
        f"question on ({_recipe(frontier, end)})"
    )


def _choices(law: Law) -> str:
    """Which model to use up to which cost per question."""
    bands = main_bands(best_frontier(law).bands)
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
    parts = [f"{trials:.2g} trial{'s' * (trials != 1)}", f"of up to {frontier.length[at]:,.0f} tokens"]
    if frontier.dense_share[at] < 1:
        parts.append(
            f"{1 - frontier.dense_share[at]:.0%} sparse with a KV budget of {frontier.kv_budget[at]:,.0f}"
        )
    return ", ".join((" ".join(parts[:2]), *parts[2:]))


def _sparse(law: Law) -> str:
    """What measured sparse attention gives at equal cost."""
    assert law.sparse is not None
    gain, cheaper = law.sparse.gain, law.sparse.cheaper
    if cheaper.value:
        cost = f"95 % of what dense solves costs {cheaper.value:.1f}× less"
        cost += f" [{cheaper.low:.1f}–{cheaper.high:.1f}; 0 is never]"
    else:
        cost = "sparse never solves 95 % of what dense does"
    return (
        f"Sparse against dense attention at equal cost, {law.dataset} ({source_name(law)}), measured: "
        f"{gain.value:+.1f} points of accuracy [{gain.low:+.1f}, {gain.high:+.1f}], mean over costs; "
        f"{cost}."
    )


def _projection(law: Law, real: Sequence[Law]) -> str:
    """What a projected policy would save on the chip where the same traces have a real law."""
    dense = next((one for one in real if one.chip == law.chip), None)
    if dense is None:
        return f"{law.projected_policy} was projected, but its dense law could not be found."
    target = 0.95 * float(np.max(best_frontier(dense).accuracy))
    before, after = (cost_to_reach(one, target) for one in (dense, law))
    opening = f"IF {law.projected_policy} changed no answer (these traces cannot tell)"
    if not after < 0.95 * before:
        return f"{opening}, it would save next to nothing: these traces are short."
    return (
        f"{opening}, 95 % of the best accuracy would cost {_at(law, after)} in place of "
        f"{_at(law, before)} ({before / after:.1f}× less)."
    )


def main_bands(bands: Sequence[Band]) -> list[Band]:
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
                model=last.model,
                start=last.start,
                end=band.end,
                start_accuracy=last.start_accuracy,
                end_accuracy=band.end_accuracy,
                support=min(last.support, band.support),
            )
        else:
            joined.append(band)
    return joined


def _width(band: Band) -> float:
    return float(np.log(band.end / band.start))


def _doubt(band: Band) -> str:
    return "" if band.support >= SETTLED else f" (unsettled: {band.support:.0%} of resamples)"


def _at(law: Law, eflops: float) -> str:
    return seconds(eflops / law.peak_flops)


def source_name(law: Law) -> str:
    """The source of a law without its folder and version."""
    return law.source.split("@")[0].split("/")[-1]


def seconds(value: float) -> str:
    """Chip-seconds for a person: two significant digits."""
    return f"{value:.2g} s" if value >= 0.01 else f"{value * 1e3:.2g} ms"


def settled(law: Law) -> int:
    """First grid index from which accuracy stays within half a point of where it ends."""
    accuracy = best_frontier(law).accuracy
    away = np.flatnonzero(np.abs(accuracy - accuracy[-1]) > 0.005)
    return int(away[-1]) + 1 if away.size else 0


def cost_to_reach(law: Law, accuracy: float) -> float:
    """Least cost of the grid at which the frontier reaches an accuracy; inf where it never does."""
    reached = np.flatnonzero(best_frontier(law).accuracy >= accuracy)
    return float(law.costs[reached[0]]) if reached.size else float("inf")
