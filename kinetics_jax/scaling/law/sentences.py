"""Laws in words: what to run at which cost; ``paper_claims`` says which of the paper's claims hold.

Every sentence is made from numbers of the results; nothing is said that was not found.
"""

from collections.abc import Sequence

import numpy as np

from kinetics_jax.scaling.law.choices import cost_to_reach, main_bands, seconds, settled, source_name
from kinetics_jax.scaling.law.result_parts import Band
from kinetics_jax.scaling.law.results import FrontierResult, Law
from kinetics_jax.scaling.law.selection_sentences import oracle_sentences

SETTLED = 0.5
"""Share of resamples that must agree on a model before it is named as the choice."""


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
    said += [sentence for law in real[:1] for sentence in oracle_sentences(law)]
    said += [_sparse(law) for law in real[:1] if law.sparse is not None]
    said += [
        f"On {law.chip_label}, {where}: {_projection(law, real)}" for law in laws if law.projected_policy
    ]
    return said


def _answer(law: Law) -> str:
    frontier, end = law.best_frontier, settled(law)
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
    bands = main_bands(law.best_frontier.bands)
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
    target = 0.95 * float(np.max(dense.best_frontier.accuracy))
    before, after = (cost_to_reach(one, target) for one in (dense, law))
    opening = f"IF {law.projected_policy} changed no answer (these traces cannot tell)"
    if not after < 0.95 * before:
        return f"{opening}, it would save next to nothing: these traces are short."
    return (
        f"{opening}, 95 % of the best accuracy would cost {_at(law, after)} in place of "
        f"{_at(law, before)} ({before / after:.1f}× less)."
    )


def _doubt(band: Band) -> str:
    return "" if band.support >= SETTLED else f" (unsettled: {band.support:.0%} of resamples)"


def _at(law: Law, eflops: float) -> str:
    return seconds(eflops / law.peak_flops)
