"""Which model is best at which cost, one bar a law: the same law on every chip, or every data set on one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.figures.style import INK, Drawing, canvas, finish, legend_text, log_axis
from kinetics_jax.report.groups import leading
from kinetics_jax.scaling.results import Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.36
"""Inches a bar."""
MARGINS = 1.1
"""Inches for title, axis and legend row."""


def draw_bands(
    rows: Sequence[tuple[str, Law]], palette: Palette, stem: str, heading: str
) -> Drawing:
    """One bar per (label, law); x is chip-seconds of each law's own chip."""
    names = palette.by_size(tuple({b.model for _, law in rows for b in leading(law).bands}))
    legend_rows = -(-len(names) // 5)
    height = MARGINS + ROW * len(rows) + 0.2 * legend_rows
    with canvas(height) as figure:
        bottom = 0.52 + 0.2 * legend_rows
        axes = figure.add_axes((0.27, bottom / height, 0.7, ROW * len(rows) / height))
        low, high = _span(rows)
        log_axis(axes.xaxis, low, high, "cost per question, chip-seconds", words.seconds)
        for y, (_, law) in enumerate(rows):
            _bar(axes, y, law, palette)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), [words.shorten(label, 34) for label, _ in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        _legend(figure, names, palette)
        figure.text(0.012, 1 - 0.27 / height, words.shorten(heading, 100), weight="bold", size=10.5)
        return finish(
            figure, stem, f"{heading}: bars of cost, coloured by the best model.", _CAPTION
        )


_CAPTION = (
    "A bar starts where the first model fits and ends with the grid. The paler a stretch, the smaller the "
    "share of resamples that agree on its model; figures are the share of questions solved where a "
    "stretch ends."
)


def _span(rows: Sequence[tuple[str, Law]]) -> tuple[float, float]:
    edges = [
        edge / law.peak_flops
        for _, law in rows
        for band in leading(law).bands
        for edge in (band.start, band.end)
        if np.isfinite(edge) and edge > 0
    ]
    return (min(edges) / 1.1, max(edges) * 1.1) if edges else (0.1, 10.0)


def _bar(axes: "Axes", y: int, law: Law, palette: Palette) -> None:
    bands = leading(law).bands
    low, high = np.log10(axes.get_xlim())
    for i, band in enumerate(bands):
        following = bands[i + 1].start if i + 1 < len(bands) else band.end
        start, end = band.start / law.peak_flops, max(following, band.end) / law.peak_flops
        support = 1.0 if np.isnan(band.support) else min(max(band.support, 0.0), 1.0)
        axes.barh(
            y, end - start, left=start, height=0.72, color=palette.colour(band.model),
            alpha=0.25 + 0.75 * support, linewidth=0.8, edgecolor="white",
        )  # fmt: skip
        if np.log10(max(end / start, 1)) > 0.05 * (high - low):
            axes.text(
                end / 10 ** (0.006 * (high - low)), y, f"{100 * band.end_accuracy:.0f} %",
                ha="right", va="center", size=7.5, color=INK,
            )  # fmt: skip


def _legend(figure: object, names: Sequence[str], palette: Palette) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=palette.colour(name), label=legend_text(name)) for name in names]
    if handles:
        figure.legend(  # type: ignore[attr-defined]
            handles=handles, loc="lower center", ncols=min(5, len(handles)), handlelength=1.2
        )
