"""The law of each set of traces, and the same law on every chip."""

from collections.abc import Iterator

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures import OVERVIEW, bands_stem, frontier_stem, optima_stem
from kinetics_jax.report.groups import Group, leading, rule
from kinetics_jax.report.markup import Markup, el, join, table
from kinetics_jax.report.page.parts import Context, Section, band_table, note
from kinetics_jax.scaling.results import Estimate, FrontierResult, Law

_RULE_ROWS = 7
_QUANTITIES = {
    "accuracy": "accuracy",
    "dense_share": "share of dense attention",
    "kv_budget": "KV budget",
    "length": "generation length",
    "tokens": "generated tokens",
    "trials": "trials",
}
_STATISTICS = {"b": "exponent b", "per_doubling": "factor per doubling of cost"}


def overview(context: Context) -> Iterator[Section]:
    """One bar a set of traces, where there are several."""
    figure = context.figure(OVERVIEW)
    if figure:
        yield Section("overview", "All data sets at a glance", figure)


def law(context: Context, group: Group, index: int) -> Section:
    """Frontier, bands, both rules, what is best along it, exponents."""
    first = group.first
    lead = leading(first)
    body = join(
        (
            _projection(first),
            note(first.notes),
            el("p", _description(first)),
            context.figure(frontier_stem(group)),
            band_table(context, first, lead, f"Which model to use, {rule(lead.flavour)}"),
            _threshold(first),
            _rules(first),
            el("h3", "Tokens, trials, length and KV budget"),
            context.figure(optima_stem(group)),
            _exponents(first),
        )
    )
    return Section(f"law-{index + 1}", f"The law on {group.title}", body)


def _projection(law: Law) -> Markup:
    if not law.projected_policy:
        return Markup()
    return note(
        (
            f"A projection, not a measurement: these traces were priced as if decoded with "
            f"{law.projected_policy}, assuming that it changes no answer.",
        )
    )


def _description(law: Law) -> str:
    choice = {
        "question": "chosen for each question",
        "shared": "chosen once for all questions",
    }.get(leading(law).choice, leading(law).choice)
    return (
        f"{words.counted(law.questions, 'question')}, {words.counted(len(law.models), 'model')}; "
        f"configurations are {choice}. Costs are per question, in chip-seconds of one "
        f"{law.chip_label or law.chip} at {words.number(law.peak_flops / 1e12, 4)} TFLOP/s."
    )


def _threshold(law: Law) -> Markup:
    if law.threshold is None:
        return Markup()
    text = f"Size with which the frontier climbs most: {words.params(law.threshold.value)}"
    if law.threshold.low is not None and law.threshold.high is not None:
        low, high = words.params(law.threshold.low), words.params(law.threshold.high)
        text += f" ({law.threshold.level:.0%} interval {low} … {high})"
    return el("p", f"{text}. {law.threshold.note}".rstrip())


def _rules(law: Law) -> Markup:
    """The paper's rule beside the held-out one, at a few costs."""
    if not {"paper", "held_out"} <= set(law.frontiers):
        return Markup()
    paper, held_out = law.frontiers["paper"], law.frontiers["held_out"]
    known = np.flatnonzero(np.isfinite(paper.accuracy) & np.isfinite(held_out.accuracy))
    picked = known[np.unique(np.linspace(0, len(known) - 1, _RULE_ROWS).astype(int))] if len(known) else known
    rows = [
        (
            words.seconds(law.seconds[g]),
            words.percent(paper.accuracy[g]),
            words.percent(held_out.accuracy[g]),
            f"{100 * (paper.accuracy[g] - held_out.accuracy[g]):+.1f}",
            _model_at(held_out, int(g)),
        )
        for g in picked
    ]
    head = ("within", "solved, paper’s rule", "solved, held out", "difference, points", "best, held out")
    text = (
        "The paper’s rule picks the best configuration on the very samples that it scores it on, so it "
        "credits luck. The held-out rule chooses on one half of the samples and scores on the other."
    )
    parts = [el("h3", "The paper’s rule against held-out choice"), el("p", text)]
    if law.optimism is not None:
        parts.append(el("p", f"Largest inflation: {_with_interval(law.optimism)}."))
    return join((*parts, table(head, rows, numeric=range(4))))


def _model_at(result: FrontierResult, index: int) -> str:
    """The best model at a grid point as plain text."""
    return result.model[index] or words.MISSING


def _with_interval(estimate: Estimate) -> str:
    text = f"{words.number(estimate.value)} {estimate.unit}"
    if estimate.low is not None and estimate.high is not None:
        text += f" ({estimate.level:.0%} interval {words.interval(estimate)})"
    return f"{text}; {estimate.note}" if estimate.note else text


def _exponents(law: Law) -> Markup:
    rows = [
        (
            _fit_name(name),
            rule(result.flavour),
            words.number(estimate.value),
            words.interval(estimate),
            estimate.unit,
            estimate.note,
        )
        for result in law.frontiers.values()
        for name, estimate in result.fits.items()
    ]
    head = ("fit y = a·x^b + c against cost", "rule", "value", "95 % interval", "unit", "note")
    return table(head, rows, numeric=(2, 3))


def _fit_name(name: str) -> str:
    quantity, _, statistic = name.partition(".")
    return f"{_QUANTITIES.get(quantity, quantity)}: {_STATISTICS.get(statistic, statistic)}"


def every_chip(context: Context) -> Section:
    """Bars and bands of the groups that were priced on several chips."""
    parts = []
    for group in context.groups:
        if len(group.laws) < 2:
            continue
        tables = [
            band_table(context, law, leading(law), law.chip_label or law.chip) for law in group.laws
        ]
        parts.append(el("h3", group.title))
        parts.append(context.figure(bands_stem(group)))
        parts.append(el("details", el("summary", "The bands as tables"), *tables))
    return Section("chips", "The same law on every chip", join(parts))
