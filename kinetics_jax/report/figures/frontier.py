"""Accuracy against cost: every model alone, the frontier coloured by its best model, and how sure that is.

Below it, on the same costs, how often each model is the best over the bootstrap's resamples.
Axes: G costs of the grid · M models.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.figures.style import (
    FAINT,
    INK,
    Drawing,
    canvas,
    finish,
    heading,
    legend_text,
    log_axis,
    runs,
    twin_tera,
    visible_costs,
)
from kinetics_jax.report.groups import Group, law_label
from kinetics_jax.scaling.law.results import FrontierResult, Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND, GAP = "#e3e8ee", "#f6d5a8"
"""Colours of the bootstrap's interval and of what the paper's rule adds."""
DOTTED, PROJECTED, DENSE = (0, (1.2, 1.0)), (0, (5, 1.5, 1.2, 1.5)), (0, (4, 2))
"""Dashes of the rule that does not lead, of a projection, and of dense attention alone."""


def draw_frontier(group: Group, palette: Palette, stem: str) -> Drawing:
    """The frontiers of a group's first law; with several models, the share of resamples below."""
    law = group.first
    lead = law.best_frontier
    shares = len(law.models) > 1
    height = 5.6 if shares else 4.2
    with canvas(height) as figure:
        bottom = 2.02 if shares else 0.55
        upper = figure.add_axes((0.08, bottom / height, 0.66, (height - 0.8 - bottom) / height))
        lower = figure.add_axes((0.08, 0.1, 0.66, 0.19)) if shares else upper
        low, high = (cost / law.per_shown for cost in visible_costs(law))
        text = functools.partial(words.cost, law)
        log_axis(upper.xaxis, low, high, "", text)
        if shares:
            upper.tick_params(axis="x", labelbottom=False)
            log_axis(lower.xaxis, low, high, "", text)
            _shares(lower, law, lead, palette)
        lower.set_xlabel(f"cost per question, {law.counted.column} on {law_label(law)}")
        _model_curves(upper, law, palette)
        _gap(upper, law)
        _projections(upper, group)
        _dense_alone(upper, law)
        _frontiers(upper, law, lead, palette)
        upper.set_ylim(0, _ceiling(law))
        upper.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        upper.set_ylabel("questions solved")
        if law.measure == "eflops":
            twin_tera(upper, 1e12 / law.peak_flops)
        _legends(figure, group, lead, palette)
        heading(figure, group.title)
        return finish(figure, stem, _alt(group), _caption(law, lead))


def _ceiling(law: Law) -> float:
    tops = [np.nan_to_num(f.high).max(initial=0.05) for f in law.frontiers.values()]
    tops += [np.nan_to_num(curve).max(initial=0.05) for curve in law.model_curves.values()]
    return min(1.02, 1.08 * max(tops))


def _model_curves(axes: "Axes", law: Law, palette: Palette) -> None:
    for name, curve in law.model_curves.items():
        shown = np.where(np.nan_to_num(curve) > 0, curve, np.nan)
        axes.plot(law.shown, shown, color=palette.colour(name), linewidth=1.0, alpha=0.75)


def _gap(axes: "Axes", law: Law) -> None:
    """What the paper's rule adds over scoring on samples that did not take part in choosing."""
    if {"paper", "held_out"} <= set(law.frontiers):
        paper, held_out = law.frontiers["paper"].accuracy, law.frontiers["held_out"].accuracy
        axes.fill_between(
            law.shown, held_out, paper, where=paper > held_out, facecolor=GAP, linewidth=0, zorder=1.5
        )


def _projections(axes: "Axes", group: Group) -> None:
    """What the traces would cost under another policy, if it changed no answer; on the same chip only."""
    for law in _shown_projections(group):
        lead = law.best_frontier
        shown = np.where(np.nan_to_num(lead.accuracy) > 0, lead.accuracy, np.nan)
        axes.plot(law.shown, shown, color=INK, linewidth=1.2, linestyle=PROJECTED, zorder=6)


def _dense_alone(axes: "Axes", law: Law) -> None:
    """What is left of the frontier without sparse attention."""
    if law.sparse is not None:
        shown = np.where(np.nan_to_num(law.sparse.dense) > 0, law.sparse.dense, np.nan)
        axes.plot(law.shown, shown, color=INK, linewidth=1.2, linestyle=DENSE, zorder=6)


def _shown_projections(group: Group) -> list[Law]:
    first = group.first
    return [x for x in group.projected if group.laws and (x.chip, x.prices) == (first.chip, first.prices)]


def _frontiers(axes: "Axes", law: Law, lead: FrontierResult, palette: Palette) -> None:
    axes.fill_between(law.shown, lead.low, lead.high, color=BAND, linewidth=0, zorder=1)
    for result in law.frontiers.values():
        leads = result is lead
        for name, start, end in runs(result.model):
            upto = min(end + 1, len(law.costs))  # join on to the next stretch
            axes.plot(
                law.shown[start:upto],
                result.accuracy[start:upto],
                zorder=5 if leads else 4,
                color=palette.colour(name) if name else "none",
                linewidth=3.4 if leads else 1.9,
                linestyle="-" if leads else DOTTED,
                solid_capstyle="butt",
            )


def _shares(axes: "Axes", law: Law, lead: FrontierResult, palette: Palette) -> None:
    names = palette.by_size(law.models)
    columns = [law.models.index(name) for name in names]
    solved = np.nan_to_num(lead.accuracy) > 0  # where nothing is, no model is better than another
    axes.stackplot(
        law.shown,
        (np.nan_to_num(lead.model_share[:, columns]) * solved[:, None]).T,
        colors=[palette.colour(name) for name in names],
        linewidth=0.3,
        edgecolor="white",
    )
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_ylabel("of resamples")
    axes.set_title("Which model is best, over resampled questions", size=9, weight="normal")


def _legends(figure: "Figure", group: Group, lead: FrontierResult, palette: Palette) -> None:
    law = group.first
    look = {"alignment": "left", "title_fontproperties": {"weight": "bold", "size": 8.5}}
    figure.legend(
        handles=_model_handles(law, palette),
        title="Best model",
        loc="upper left",
        bbox_to_anchor=(0.75, 0.9),
        handlelength=1.2,
        **look,
    )
    figure.legend(
        handles=_line_handles(group, lead),
        title="Lines",
        loc="lower left",
        bbox_to_anchor=(0.75, 0.06),
        handlelength=1.8,
        **look,
    )


def _model_handles(law: Law, palette: Palette) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=palette.colour(name), linewidth=4, label=legend_text(name))
        for name in palette.by_size(law.models)
    ]


def _line_handles(group: Group, lead: FrontierResult) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    law = group.first
    lines: list[Any] = [Line2D([], [], color=INK, linewidth=3.4, label=_rule_text(lead))]
    for result in law.frontiers.values():
        if result is not lead:
            lines.append(Line2D([], [], color=INK, lw=1.9, ls=DOTTED, label=_rule_text(result)))
    if {"paper", "held_out"} <= set(law.frontiers):
        lines.append(Patch(facecolor=GAP, label="what that rule adds"))
    lines.append(Patch(facecolor=BAND, label="95 % interval"))
    for projected in _shown_projections(group):
        label = f"if {words.shorten(projected.projected_policy, 26)}"
        lines.append(Line2D([], [], color=INK, linewidth=1.2, linestyle=PROJECTED, label=label))
    if law.sparse is not None:
        lines.append(Line2D([], [], color=INK, lw=1.2, ls=DENSE, label="dense attention alone"))
    if len(law.models) > 1:
        lines.append(Line2D([], [], color=FAINT, linewidth=1, label="one model alone"))
    return lines


def _rule_text(result: FrontierResult) -> str:
    names = {"held_out": "frontier, held out", "paper": "frontier, paper’s rule"}
    return names.get(result.flavour, f"frontier, {result.flavour}")


def _alt(group: Group) -> str:
    law = group.first
    return (
        f"Accuracy against cost per question on {words.printable(law.chip_label)} for "
        f"{words.counted(len(law.models), 'model')} on {group.title}."
    )


def _caption(law: Law, lead: FrontierResult) -> str:
    text = (
        "Thick line: the most that is solved within a cost, coloured by the model that solves it; grey: "
        "its 95 % interval over resampled questions."
    )
    if {"paper", "held_out"} <= set(law.frontiers):
        text += (
            " Dotted: the paper’s rule, which chooses on the samples that it scores on; orange: what that "
            "adds over choosing on one half of the samples and scoring on the other."
        )
    if law.sparse is not None:
        text += " Dashed: the most that is solved if attention must be dense."
    if len(law.models) > 1:
        text += " Thin lines: each model alone, under the paper’s rule."
    return text
