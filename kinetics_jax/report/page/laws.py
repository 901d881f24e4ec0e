"""The law of each set of traces, and all of them at a glance on every chip."""

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures import GLANCE, frontier_stem, optima_stem
from kinetics_jax.report.figures.optima import constants
from kinetics_jax.report.groups import Group, law_label, leading, rule
from kinetics_jax.report.markup import Markup, bullets, el, join, table
from kinetics_jax.report.page.parts import Context, Section, band_table, cell_table, note
from kinetics_jax.scaling.law.results import Estimate, Law

ANCHOR = "law-"
_RULE_ROWS = 7
_QUANTITIES = {
    "dense_share": "share of dense attention",
    "kv_budget": "KV budget",
    "length": "generation length",
    "tokens": "generated tokens",
}
_STATISTICS = {"b": "exponent b", "per_doubling": "factor per doubling of cost"}
_CHOICES = {
    "question": "a configuration is chosen for each question",
    "shared": "one configuration is chosen for all questions",
}


def glance(context: Context) -> Section:
    """One bar for every law of several models, on every chip."""
    figures = [context.figure(stem) for stem in context.drawings if stem.startswith(GLANCE)]
    return Section("glance", "The law on every chip, at a glance", join(figures))


def law(context: Context, group: Group) -> Section:
    """Frontier, bands, both rules, what is best along it, exponents, cells."""
    first = group.first
    lead = leading(first)
    body = join(
        (
            el("p", _description(first)),
            note(first.notes),
            context.figure(frontier_stem(group)),
            band_table(context, first, lead, f"Which model to use: {law_label(first)}, {rule(lead.flavour)}"),
            _threshold(first),
            _others(context, group),
            _sparse(first),
            _rules(first),
            el("h3", "Tokens, length, trials and KV budget"),
            context.figure(optima_stem(group)),
            bullets(constants(lead)),
            _exponents(first),
            el("h3", "The samples"),
            cell_table(context, first),
        )
    )
    return Section(ANCHOR + group.stem, group.title, body)


def _description(law: Law) -> str:
    choice = _CHOICES.get(leading(law).choice, leading(law).choice)
    return (
        f"{words.counted(law.questions, 'question')}, {words.counted(len(law.models), 'model')}; "
        f"{choice}. Costs are per question, in chip-seconds of one {law.chip_label or law.chip} "
        f"({words.number(law.peak_flops / 1e12, 4)} TFLOP/s)."
    )


def _threshold(law: Law) -> Markup:
    if law.threshold is None:
        return Markup()
    text = f"Size with which the frontier climbs most: {words.params(law.threshold.value)}"
    if law.threshold.low is not None and law.threshold.high is not None:
        low, high = words.params(law.threshold.low), words.params(law.threshold.high)
        text += f" ({words.percent(law.threshold.level, 0)} interval {low} … {high})"
    return el("p", f"{text}; {law.threshold.note}." if law.threshold.note else f"{text}.")


def _others(context: Context, group: Group) -> Markup:
    """The bands on the other chips, and projections."""
    tables = [
        band_table(context, law, leading(law), label) for label, law in group.rows if law is not group.first
    ]
    if not tables:
        return Markup()
    assumed = ""
    if group.projected:
        assumed = el(
            "p",
            "“If”: a projection. These traces were not decoded with that policy; they are priced as if it "
            "changed no answer, which they cannot tell.",
        )
    return el("details", el("summary", "Other chips and projections"), assumed, *tables)


def _rules(law: Law) -> Markup:
    """The paper's rule beside the held-out one, at a few costs."""
    if not {"paper", "held_out"} <= set(law.frontiers):
        return Markup()
    paper, held_out = law.frontiers["paper"], law.frontiers["held_out"]
    rows = [
        (
            words.seconds(law.seconds[g]),
            words.percent(paper.accuracy[g]),
            words.percent(held_out.accuracy[g]),
            f"{100 * (paper.accuracy[g] - held_out.accuracy[g]):+.1f}",
            held_out.model[g] or words.MISSING,
        )
        for g in _sample(np.isfinite(paper.accuracy) & (np.nan_to_num(held_out.accuracy) > 0))
    ]
    head = ("within", "solved, paper’s rule", "solved, held out", "difference, points", "best, held out")
    text = (
        "The paper’s rule picks the best configuration on the very samples that it scores it on, so it "
        "credits luck. The held-out rule chooses on one half of the samples and scores on the other."
    )
    parts = [el("h3", "The paper’s rule against held-out choice"), el("p", text)]
    if law.optimism is not None:
        parts.append(el("p", f"What the paper’s rule adds: {_with_interval(law.optimism)}."))
    return join((*parts, table(head, rows, numeric=range(4))))


def _sparse(law: Law) -> Markup:
    """Measured sparse attention beside dense, at a few costs."""
    if law.sparse is None:
        return Markup()
    dense, sparse = law.sparse.dense, law.sparse.sparse
    rows = [
        (
            words.seconds(law.seconds[g]),
            words.percent(dense[g]),
            words.percent(sparse[g]),
            f"{100 * (sparse[g] - dense[g]):+.1f}",
        )
        for g in _sample(np.maximum(np.nan_to_num(dense), np.nan_to_num(sparse)) > 0)
    ]
    text = (
        f"Two frontiers, {rule(law.sparse.flavour)}: one may choose dense configurations only, the other "
        "sparse ones only. Both were decoded as they are priced."
    )
    return join(
        (
            el("h3", "Sparse attention against dense at equal cost"),
            el("p", text),
            el("p", f"What sparse attention adds: {_with_interval(law.sparse.gain)}."),
            el("p", f"How much less it costs: {_with_interval(law.sparse.cheaper)}."),
            table(("within", "dense", "sparse", "difference, points"), rows, numeric=range(4)),
        )
    )


def _sample(usable: np.ndarray) -> np.ndarray:
    """A few grid points, evenly spread over the usable ones."""
    known = np.flatnonzero(usable)
    if not known.size:
        return known
    return known[np.unique(np.linspace(0, len(known) - 1, _RULE_ROWS).astype(int))]


def _with_interval(estimate: Estimate) -> str:
    text = f"{words.number(estimate.value)} {estimate.unit}"
    if estimate.low is not None and estimate.high is not None:
        text += f" ({words.percent(estimate.level, 0)} interval {words.interval(estimate)})"
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
    levels = {words.percent(e.level, 0) for result in law.frontiers.values() for e in result.fits.values()}
    interval = f"{levels.pop()} interval" if len(levels) == 1 else "interval"
    head = ("fitted against cost", "rule", "value", interval, "unit", "note")
    return table(head, rows, numeric=(2, 3))


def _fit_name(name: str) -> str:
    quantity, _, statistic = name.partition(".")
    return f"{_QUANTITIES.get(quantity, quantity)}: {_STATISTICS.get(statistic, statistic)}"
