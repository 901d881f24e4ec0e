"""What fits: sequences decoded together per copy of a model, and chips a copy, for every chip."""

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures.style import Drawing, canvas, finish, heading, legend_text
from kinetics_jax.scaling.results import Capacity, ShapeResults


def draw_capacity(shapes: ShapeResults) -> Drawing:
    """A heat map: rows are chips, columns models, colour is what one dense sample costs."""
    from matplotlib.colors import LogNorm

    rows = list(dict.fromkeys(row.chip for row in shapes.capacity))
    columns = list(dict.fromkeys(row.model for row in shapes.capacity))
    cells = {(row.chip, row.model): row for row in shapes.capacity}
    grid = np.full((len(rows), len(columns)), np.nan)
    for (chip, model), row in cells.items():
        grid[rows.index(chip), columns.index(model)] = row.dense_seconds
    height = 1.4 + 0.37 * len(rows)
    with canvas(height) as figure:
        axes = figure.add_axes((0.12, 0.55 / height, 0.76, 0.37 * len(rows) / height))
        known = grid[np.isfinite(grid) & (grid > 0)]
        norm = LogNorm(known.min(), known.max() * 1.0001) if known.size else LogNorm(1, 10)
        mesh = axes.pcolormesh(grid, cmap="cividis_r", norm=norm, edgecolors="white", linewidth=1.5)
        for (chip, model), row in cells.items():
            position = columns.index(model) + 0.5, rows.index(chip) + 0.5
            dark = np.isfinite(row.dense_seconds) and norm(row.dense_seconds) > 0.42
            axes.text(*position, _cell_text(row), ha="center", va="center", size=8,
                      color="white" if dark else "#222222")  # fmt: skip
        labels = [_two_lines(name) for name in columns]
        axes.set_xticks(np.arange(len(columns)) + 0.5, labels, size=7.5)
        axes.set_yticks(np.arange(len(rows)) + 0.5, [legend_text(r, 16) for r in rows])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(length=0, top=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        box = figure.add_axes((0.9, 0.55 / height, 0.014, 0.37 * len(rows) / height))
        bar = figure.colorbar(mesh, cax=box, format=lambda value, _: words.seconds(value))
        box.set_title("one dense\nsample", size=7.5, weight="normal")
        bar.minorticks_off()
        context = shapes.capacity[0].context
        title = f"Sequences of {context:,} tokens that one copy decodes together"
        heading(figure, title)
        return finish(figure, "capacity", f"{title}, per chip and model.", _CAPTION)


_CAPTION = (
    "Sequences whose whole KV fits beside the weights; after the slash, chips per copy where it is more "
    "than one. Colour: chip-seconds of one dense sample of that length at that batch."
)


def _cell_text(row: Capacity) -> str:
    if not row.num_chips:
        return words.MISSING
    return f"{row.batch:,}" + (f" / {row.num_chips}" if row.num_chips > 1 else "")


def _two_lines(name: str) -> str:
    """A long model name broken after its family."""
    clean = legend_text(name, 20)
    return clean.replace("-", "-\n", 1) if len(clean) > 11 else clean
