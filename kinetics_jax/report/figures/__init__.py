"""Every figure of a report, rendered: PNG and SVG bytes with captions. Nothing is computed here."""

from collections.abc import Iterator, Mapping, Sequence

from kinetics_jax.report.figures.bands import MOST_ROWS, draw_bands
from kinetics_jax.report.figures.break_even import draw_break_even
from kinetics_jax.report.figures.capacity import draw_capacity
from kinetics_jax.report.figures.frontier import draw_frontier
from kinetics_jax.report.figures.optima import draw_optima
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.figures.shapes import draw_contours, draw_kv_trend, draw_phi
from kinetics_jax.report.figures.style import Drawing
from kinetics_jax.report.groups import Group, group_laws, slug
from kinetics_jax.scaling.law.results import Results

__all__ = ["BREAK_EVEN", "GLANCE", "Drawing", "draw_all", "frontier_stem", "optima_stem"]

GLANCE = "best-model"
"""Start of the stems of the figures with one bar a law."""
BREAK_EVEN = "break-even"
"""Start of the stems of the figures of where sparse attention pays, one a chip."""


def frontier_stem(group: Group) -> str:
    """Stem of the group's frontier."""
    return f"frontier-{group.stem}"


def optima_stem(group: Group) -> str:
    """Stem of the group's optimal quantities; not every group has the figure."""
    return f"optima-{group.stem}"


def draw_all(results: Results) -> Mapping[str, Drawing]:
    """The figures by stem, in the order of the report.

    Each set of traces has its frontier and optima drawn for the chip that was asked for first; its law on
    the other chips is drawn as bars, and stands in full in ``law.json`` and ``frontier.csv``.
    """
    return {drawing.stem: drawing for drawing in _drawings(results)}


def _drawings(results: Results) -> Iterator[Drawing]:
    palette = Palette(results)
    groups = group_laws(results)
    for i, page in enumerate(_pages([group for group in groups if len(group.first.models) > 1])):
        yield draw_bands(page, palette, f"{GLANCE}-{i + 1}", "Which model is best at which cost")
    for group in groups:
        yield draw_frontier(group, palette, frontier_stem(group))
        optima = draw_optima(group, palette, optima_stem(group))
        if optima:
            yield optima
    for chip in dict.fromkeys(one.chip for one in results.break_even):
        mine = [one for one in results.break_even if one.chip == chip]
        yield draw_break_even(mine, palette, f"{BREAK_EVEN}-{slug(chip)}")
    shapes = results.shapes
    yield draw_kv_trend(shapes, palette)
    yield draw_phi(shapes, palette)
    yield draw_contours(shapes, palette)
    if shapes.capacity:
        yield draw_capacity(shapes)


def _pages(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """The groups in lots of at most ``MOST_ROWS`` laws; a group is never split."""
    page: list[Group] = []
    for group in groups:
        if page and sum(len(g.rows) for g in (*page, group)) > MOST_ROWS:
            yield page
            page = []
        page.append(group)
    if page:
        yield page
