"""What the sections of the page share: their context, figures, notes and tables of bands."""

import base64
import dataclasses
from collections.abc import Iterable, Mapping

from kinetics_jax.report import words
from kinetics_jax.report.figures import Drawing
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.groups import Group
from kinetics_jax.report.markup import Content, Markup, bullets, el, join, table
from kinetics_jax.scaling.law.results import FrontierResult, Law, Results

MANY_CELLS = 12


@dataclasses.dataclass(frozen=True)
class Context:
    """What every section may draw on."""

    results: Results
    groups: tuple[Group, ...]
    drawings: Mapping[str, Drawing]
    palette: Palette

    def figure(self, stem: str) -> Markup:
        """The figure of that stem, its SVG inside the page; nothing where it was not drawn."""
        drawing = self.drawings.get(stem)
        if drawing is None:
            return Markup()
        data = base64.b64encode(drawing.svg).decode("ascii")
        image = el("img", src=f"data:image/svg+xml;base64,{data}", alt=drawing.alt)
        return el("figure", image, el("figcaption", drawing.caption))

    def model(self, name: str) -> Markup:
        """A model's name with its colour in the figures."""
        style = f"background:{self.palette.colour(name)}"
        return join((el("span", class_="swatch", style=style), name))


@dataclasses.dataclass(frozen=True)
class Section:
    """One heading of the page with what stands under it; an empty body is left out."""

    anchor: str
    title: str
    body: Markup


def note(items: Iterable[Content]) -> Markup:
    """A box for what a reader must know first; nothing without items."""
    inside = bullets(items)
    return el("div", inside, class_="note") if inside else Markup()


def band_table(context: Context, law: Law, result: FrontierResult, caption: str) -> Markup:
    """Which model to use at which cost, in chip-seconds and, where there is a price, dollars."""

    def price(cost: float) -> str:
        if law.usd_per_hour is None:
            return words.MISSING
        return words.dollars(1000 * cost / law.peak_flops * law.usd_per_hour / 3600)

    rows = [
        (
            context.model(band.model),
            words.seconds(band.start / law.peak_flops),
            words.seconds(band.end / law.peak_flops),
            f"{price(band.start)} … {price(band.end)}" if law.usd_per_hour else words.MISSING,
            f"{words.percent(band.start_accuracy)} → {words.percent(band.end_accuracy)}",
            words.percent(band.support, 0),
        )
        for band in result.bands
    ]
    head = ("best model", "from", "to", "US$ per 1,000 questions", "solved", "resamples that agree")
    return table(head, rows, numeric=range(1, 6), caption=caption)


def cell_table(context: Context, law: Law) -> Markup:
    """The cells of a law from the smallest model to the largest; folded away where they are many."""
    by_size = sorted(law.cells, key=lambda cell: (context.palette.size(cell.model), cell.model, cell.policy))
    rows = [
        (
            context.model(cell.model),
            ", ".join(part for part in (cell.policy, cell.variant) if part),
            words.MISSING if cell.max_tokens is None else f"{cell.max_tokens:,}",
            f"{cell.questions:,}",
            f"{cell.samples:,}",
            words.percent(cell.accuracy),
            f"{cell.mean_tokens:,.0f}",
        )
        for cell in by_size
    ]
    head = ("model", "policy", "cap, tokens", "questions", "samples", "solved", "mean tokens")
    cells = table(head, rows, numeric=range(2, 7))
    if len(rows) <= MANY_CELLS:
        return cells
    return el("details", el("summary", f"All {len(rows)} cells"), cells)
