"""Which model is best at which cost, one bar a law: the same law on every chip, or every data set on one."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures.palette import Palette, is_dark, mix
from kinetics_jax.report.figures.style import (
    INK,
    WIDTH,
    Drawing,
    canvas,
    finish,
    heading,
    legend_text,
    log_axis,
    visible_costs,
)
from kinetics_jax.report.groups import Group
from kinetics_jax.scaling.law.result_parts import Band
from kinetics_jax.scaling.law.results import Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, HEADING = 0.3, 0.34
"""Inches a bar, and the name of a group above its bars."""
BODY, LETTER = 0.73 * WIDTH, 0.062
"""Inches: width of the axes, and of a letter in a bar."""
MARGINS = 1.12
"""Inches for title, axis and the space between."""
MOST_ROWS = 60
"""Bars in one figure; a longer list is continued in another."""


def draw_bands(groups: Sequence[Group], palette: Palette, stem: str, title: str) -> Drawing:
    """One bar per law, grouped by traces; x is cost on each law's own chip."""
    laws = [law for group in groups for _, law in group.rows]
    names = palette.by_size(tuple({b.model for law in laws for b in law.best_frontier.bands}))
    legend = 0.22 * -(-len(names) // 4)
    body = ROW * len(laws) + HEADING * len(groups)
    height = MARGINS + body + legend
    with canvas(height) as figure:
        axes = figure.add_axes((0.25, (0.55 + legend) / height, 0.73, body / height))
        unit = f"cost per question, {laws[0].counted.column}"
        log_axis(axes.xaxis, *_span(laws), unit, functools.partial(words.cost, laws[0]))
        axes.set_ylim(body, 0)
        ticks = _bars(axes, groups, palette)
        axes.set_yticks(list(ticks), [words.shorten(label, 36) for label in ticks.values()])
        axes.tick_params(axis="y", length=0, labelsize=7.5)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        _legend(figure, names, palette)
        heading(figure, title)
        return finish(figure, stem, f"{title}: bars of cost, coloured by the best model.", _CAPTION)


def _bars(axes: "Axes", groups: Sequence[Group], palette: Palette) -> dict[float, str]:
    """Draw everything from the top; the label of each bar by its height."""
    ticks = {}
    y = 0.0
    for group in groups:
        axes.text(
            -0.335,
            y + 0.62 * HEADING,
            words.shorten(group.title, 90),
            weight="bold",
            size=8,
            va="center",
            transform=axes.get_yaxis_transform(),
        )
        y += HEADING
        for label, law in group.rows:
            ticks[y + ROW / 2] = label
            _bar(axes, y + ROW / 2, law, palette)
            y += ROW
    return ticks


_CAPTION = (
    "A bar starts where the first model fits and ends some way past the last gain. The paler a stretch, "
    "the fewer resamples agree on its model; the figure is the share of questions solved where it ends. "
    "“If”: a projection of dense traces, not a measurement."
)


def _span(laws: Sequence[Law]) -> tuple[float, float]:
    shown = [visible_costs(law) for law in laws if law.best_frontier.bands]
    edges = [cost / law.per_shown for law in laws for cost in visible_costs(law)] if shown else []
    return (min(edges) / 1.1, max(edges) * 1.1) if edges else (0.1, 10.0)


def _bar(axes: "Axes", y: float, law: Law, palette: Palette) -> None:
    bands = law.best_frontier.bands
    low, high = np.log10(axes.get_xlim())
    for i, band in enumerate(bands):
        following = bands[i + 1].start if i + 1 < len(bands) else band.end
        last = visible_costs(law)[1] if i + 1 == len(bands) else following
        start, end = band.start / law.per_shown, max(last, band.start) / law.per_shown
        support = 1.0 if np.isnan(band.support) else min(max(band.support, 0.0), 1.0)
        colour = mix(palette.colour(band.model), 0.75 * (1 - support))
        axes.barh(
            y, end - start, left=start, height=0.8 * ROW, color=colour, linewidth=0.8, edgecolor="white"
        )
        text = _band_text(band, BODY * np.log10(max(end / start, 1)) / (high - low))
        axes.text(
            end / 10 ** (0.006 * (high - low)),
            y,
            text,
            ha="right",
            va="center_baseline",
            size=7,
            color="white" if is_dark(colour) else INK,
        )


def _band_text(band: Band, room: float) -> str:
    """What fits in a stretch of ``room`` inches: model and accuracy, accuracy alone, or nothing."""
    accuracy = f"{100 * band.end_accuracy:.0f} %"
    for text in (f"{words.printable(band.model)}  {accuracy}", accuracy):
        if len(text) * LETTER < room:
            return text
    return ""


def _legend(figure: "Figure", names: Sequence[str], palette: Palette) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=palette.colour(name), label=legend_text(name)) for name in names]
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=min(4, len(handles)), handlelength=1.2)
