"""What fits: sequences decoded together per copy of a model, and chips a copy, for every chip."""

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures.style import Drawing, canvas, finish, heading, legend_text
from kinetics_jax.scaling.law.shape_results import Capacity, ShapeResults


def draw_capacity(shapes: ShapeResults) -> Drawing:
    """A heat map: rows are models, columns chips, colour is what one dense sample costs."""
    from matplotlib.colors import LogNorm

    rows = list(dict.fromkeys(row.model for row in shapes.capacity))
    columns = list(dict.fromkeys(row.chip for row in shapes.capacity))
    cells = {(row.chip, row.model): row for row in shapes.capacity}
    grid = np.full((len(rows), len(columns)), np.nan)
    for (chip, model), row in cells.items():
        grid[rows.index(model), columns.index(chip)] = row.dense_seconds
    height = 1.4 + 0.25 * len(rows)
    width = min(0.66, 0.12 + 0.055 * len(columns))
    with canvas(height) as figure:
        axes = figure.add_axes((0.22, 0.55 / height, width, 0.25 * len(rows) / height))
        known = grid[np.isfinite(grid) & (grid > 0)]
        norm = LogNorm(known.min(), known.max() * 1.0001) if known.size else LogNorm(1, 10)
        mesh = axes.pcolormesh(grid, cmap="cividis_r", norm=norm, edgecolors="white", linewidth=1.5)
        for (chip, model), row in cells.items():
            position = columns.index(chip) + 0.5, rows.index(model) + 0.5
            dark = np.isfinite(row.dense_seconds) and norm(row.dense_seconds) > 0.42
            axes.text(
                *position,
                _cell_text(row),
                ha="center",
                va="center",
                size=8,
                color="white" if dark else "#222222",
            )
        labels = [legend_text(name, 9) for name in columns]
        axes.set_xticks(np.arange(len(columns)) + 0.5, labels, size=7.5)
        axes.set_yticks(np.arange(len(rows)) + 0.5, [legend_text(r, 24) for r in rows], size=8)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(length=0, top=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        box = figure.add_axes((0.25 + width, 0.55 / height, 0.014, 0.25 * len(rows) / height))
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
