"""Accuracy against cost: every model alone, the frontier coloured by its best model, and how sure that is.

Below it, on the same costs, how often each model is the best over the bootstrap's resamples.
Axes: G costs of the grid · M models.
"""

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
    legend_text,
    log_axis,
    runs,
    twin_tera,
)
from kinetics_jax.report.groups import leading, title
from kinetics_jax.scaling.results import FrontierResult, Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND, GAP = "#e3e8ee", "#f6d5a8"
"""Colours of the bootstrap's interval and of what the paper's rule adds."""


def draw_frontier(law: Law, palette: Palette, stem: str) -> Drawing:
    """The frontiers of one law under every rule it has, and the share of resamples below."""
    lead = leading(law)
    with canvas(height=5.6) as figure:
        upper = figure.add_axes((0.08, 0.36, 0.665, 0.52))
        lower = figure.add_axes((0.08, 0.1, 0.665, 0.19))
        low, high = _visible(law)
        for axes in (lower, upper):
            label = f"cost per question, chip-seconds on {words.printable(law.chip_label)}"
            log_axis(axes.xaxis, low, high, label if axes is lower else "", words.seconds)
        _model_curves(upper, law, palette)
        _gap(upper, law)
        _frontiers(upper, law, lead, palette)
        upper.tick_params(axis="x", labelbottom=False)
        upper.set_ylim(0, _ceiling(law))
        upper.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        upper.set_ylabel("questions solved")
        twin_tera(upper, 1e12 / law.peak_flops)
        _shares(lower, law, lead, palette)
        _legends(upper, law, lead, palette)
        figure.text(0.012, 0.965, words.shorten(title(law), 100), weight="bold", size=10.5)
        return finish(figure, stem, _alt(law), _caption(law, lead))


def _visible(law: Law) -> tuple[float, float]:
    """Chip-seconds from just before anything is solved to the end of the grid."""
    curves = [*law.model_curves.values(), *(f.accuracy for f in law.frontiers.values())]
    solved = np.any([np.nan_to_num(curve) > 0 for curve in curves], axis=0)
    first = max(int(np.argmax(solved)) - 1, 0) if solved.any() else 0
    low, high = float(law.seconds[first]), float(law.seconds[-1])
    return (low, high) if high > low else (low / 2, high * 2)


def _ceiling(law: Law) -> float:
    tops = [np.nan_to_num(f.high).max(initial=0.05) for f in law.frontiers.values()]
    tops += [np.nan_to_num(curve).max(initial=0.05) for curve in law.model_curves.values()]
    return min(1.02, 1.08 * max(tops))


def _model_curves(axes: "Axes", law: Law, palette: Palette) -> None:
    for name, curve in law.model_curves.items():
        shown = np.where(np.nan_to_num(curve) > 0, curve, np.nan)
        axes.plot(law.seconds, shown, color=palette.colour(name), linewidth=1.0, alpha=0.75)


def _gap(axes: "Axes", law: Law) -> None:
    """What the paper's rule adds over scoring on samples that did not take part in choosing."""
    if {"paper", "held_out"} <= set(law.frontiers):
        paper, held_out = law.frontiers["paper"].accuracy, law.frontiers["held_out"].accuracy
        axes.fill_between(
            law.seconds, held_out, paper, where=paper > held_out, facecolor=GAP, linewidth=0, zorder=1.5,
        )  # fmt: skip


def _frontiers(axes: "Axes", law: Law, lead: FrontierResult, palette: Palette) -> None:
    axes.fill_between(law.seconds, lead.low, lead.high, color=BAND, linewidth=0, zorder=1)
    for result in law.frontiers.values():
        leads = result is lead
        for name, start, end in runs(result.model):
            upto = min(end + 1, len(law.costs))  # join on to the next stretch
            axes.plot(
                law.seconds[start:upto], result.accuracy[start:upto], zorder=5 if leads else 4,
                color=palette.colour(name) if name else "none", linewidth=3.4 if leads else 1.9,
                linestyle="-" if leads else (0, (1.2, 1.0)), solid_capstyle="butt",
            )  # fmt: skip


def _shares(axes: "Axes", law: Law, lead: FrontierResult, palette: Palette) -> None:
    names = palette.by_size(law.models)
    columns = [law.models.index(name) for name in names]
    axes.stackplot(
        law.seconds, np.nan_to_num(lead.model_share[:, columns]).T,
        colors=[palette.colour(name) for name in names], linewidth=0.3, edgecolor="white",
    )  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_ylabel("of resamples")
    axes.set_title("Which model is best, over resampled questions", size=9, weight="normal")


def _legends(axes: "Axes", law: Law, lead: FrontierResult, palette: Palette) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    models = [
        Line2D([], [], color=palette.colour(name), linewidth=4, label=legend_text(name))
        for name in palette.by_size(law.models)
    ]
    look = {"alignment": "left", "title_fontproperties": {"weight": "bold", "size": 8.5}}
    axes.figure.legend(
        handles=models, title="Best model", loc="upper left", bbox_to_anchor=(0.75, 0.9),
        handlelength=1.2, **look,
    )  # fmt: skip
    lines: list[Any] = [Line2D([], [], color=INK, linewidth=3.4, label=_rule_text(lead))]
    for result in law.frontiers.values():
        if result is not lead:
            dotted = (0, (1.2, 1.0))
            lines.append(Line2D([], [], color=INK, lw=1.9, ls=dotted, label=_rule_text(result)))
    if {"paper", "held_out"} <= set(law.frontiers):
        lines.append(Patch(facecolor=GAP, label="what that rule adds"))
    lines.append(Patch(facecolor=BAND, label="95 % interval"))
    lines.append(Line2D([], [], color=FAINT, linewidth=1, label="one model alone"))
    axes.figure.legend(
        handles=lines, title="Lines", loc="lower left", bbox_to_anchor=(0.75, 0.075),
        handlelength=1.8, **look,
    )  # fmt: skip


def _rule_text(result: FrontierResult) -> str:
    names = {"held_out": "frontier, held out", "paper": "frontier, paper’s rule"}
    return names.get(result.flavour, f"frontier, {result.flavour}")


def _alt(law: Law) -> str:
    return (
        f"Accuracy against cost per question on {words.printable(law.chip_label)} for "
        f"{words.counted(len(law.models), 'model')} on {title(law)}, with the share of resamples in "
        "which each model is best."
    )


def _caption(law: Law, lead: FrontierResult) -> str:
    text = (
        "Thick line: the most that is solved within a cost, coloured by the model that solves it; "
        "shaded: the 95 % interval over resampled questions. Thin lines: each model alone, under the "
        "paper’s rule. "
    )
    if len(law.frontiers) > 1:
        text += (
            "Dotted: the paper’s rule, which chooses on the samples that it scores on; orange: what "
            "that adds over choosing on one half of the samples and scoring on the other."
        )
    return text
