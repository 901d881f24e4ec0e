"""Every figure of a report, rendered: PNG and SVG bytes with captions. Nothing is computed here."""

from collections.abc import Mapping

from kinetics_jax.report.figures.bands import draw_bands
from kinetics_jax.report.figures.capacity import draw_capacity
from kinetics_jax.report.figures.frontier import draw_frontier
from kinetics_jax.report.figures.optima import draw_optima
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.figures.shapes import draw_contours, draw_kv_trend, draw_phi
from kinetics_jax.report.figures.style import Drawing
from kinetics_jax.report.groups import Group, group_laws
from kinetics_jax.report.words import printable
from kinetics_jax.scaling.results import Results

__all__ = ["OVERVIEW", "Drawing", "bands_stem", "draw_all", "frontier_stem", "optima_stem"]

OVERVIEW = "overview"
"""Stem of the figure that has one bar for every set of traces."""


def frontier_stem(group: Group) -> str:
    """Stem of the group's frontier."""
    return f"frontier-{group.stem}"


def optima_stem(group: Group) -> str:
    """Stem of the group's optimal quantities."""
    return f"optima-{group.stem}"


def bands_stem(group: Group) -> str:
    """Stem of the group's bars, one per chip."""
    return f"chips-{group.stem}"


def draw_all(results: Results) -> Mapping[str, Drawing]:
    """The figures by stem, in the order of the report.

    Each set of traces has its frontier and optima drawn for the chip that was asked for first; its law on
    the other chips is drawn as bars, and stands in full in ``law.json`` and ``frontier.csv``.
    """
    palette = Palette(results)
    groups = group_laws(results)
    drawings = []
    if len(groups) > 1:
        rows = [(group.title, group.first) for group in groups]
        drawings.append(draw_bands(rows, palette, OVERVIEW, "Which model is best at which cost"))
    for group in groups:
        drawings.append(draw_frontier(group.first, palette, frontier_stem(group)))
        drawings.append(draw_optima(group.first, palette, optima_stem(group)))
        if len(group.laws) > 1:
            chips = [(printable(law.chip_label or law.chip), law) for law in group.laws]
            heading = f"The same law on every chip · {group.title}"
            drawings.append(draw_bands(chips, palette, bands_stem(group), heading))
    shapes = results.shapes
    drawings += [draw_kv_trend(shapes, palette), draw_phi(shapes, palette)]
    drawings.append(draw_contours(shapes, palette))
    if shapes.capacity:
        drawings.append(draw_capacity(shapes))
    return {drawing.stem: drawing for drawing in drawings}
