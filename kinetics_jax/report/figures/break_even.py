"""Context from which on sparse attention pays against the batch, for each policy and model of one chip."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.figures.style import (
    INK,
    Drawing,
    canvas,
    finish,
    heading,
    legend_text,
    padded,
    power_of_two_axis,
)
from kinetics_jax.scaling.law.break_even_results import BreakEven

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", (0, (4, 2)), (0, (1.2, 1.0)))


def draw_break_even(found: Sequence[BreakEven], palette: Palette, stem: str) -> Drawing:
    """All models and policies of one chip; faint where so many sequences do not fit in memory."""
    with canvas(height=4.3) as figure:
        axes = figure.add_axes((0.1, 0.13, 0.58, 0.74))
        batches = np.concatenate([one.batch for one in found])
        power_of_two_axis(axes.xaxis, *padded(batches, 1.1), "sequences decoded together")
        low, high = padded(np.concatenate([one.context for one in found]), 1.5)
        power_of_two_axis(axes.yaxis, low, max(high, 4 * low), "tokens of context")
        policies = list(dict.fromkeys(one.policy for one in found))
        for one in found:
            _line(axes, one, palette, _DASHES[policies.index(one.policy) % len(_DASHES)])
        _legends(axes, found, policies, palette)
        label = words.printable(found[0].chip_label)
        heading(figure, f"From which context on a sparse step's attention is faster · {label}")
        alt = f"Break-even context of sparse attention against the batch on {label}."
        return finish(figure, stem, alt, _caption(found))


def _line(axes: "Axes", one: BreakEven, palette: Palette, dash: object) -> None:
    context = np.where(np.isfinite(one.context), one.context, np.nan)
    colour = palette.colour(one.model)
    fits = one.context <= one.most_context
    axes.plot(one.batch, context, color=colour, linestyle=dash, linewidth=1.0, alpha=0.35)
    axes.plot(one.batch, np.where(fits, context, np.nan), color=colour, linestyle=dash, linewidth=2.2)


def _legends(axes: "Axes", found: Sequence[BreakEven], policies: Sequence[str], palette: Palette) -> None:
    from matplotlib.lines import Line2D

    models = dict.fromkeys(one.model for one in found)
    handles = [Line2D([], [], color=palette.colour(name), lw=4, label=legend_text(name)) for name in models]
    handles += [
        Line2D([], [], color=INK, lw=1.6, ls=_DASHES[i % len(_DASHES)], label=legend_text(policy))
        for i, policy in enumerate(policies)
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), handlelength=1.8)


def _caption(found: Sequence[BreakEven]) -> str:
    kind = "assumed" if found[0].assumed else "measured on this chip"
    return (
        "Calibrated prices. Above a line, reading, scoring and choosing take less of a decode step than "
        "dense attention does; below it, more. Faint: so many sequences of that length do not fit in memory. "
        f"Constants of scoring and choosing are {kind}."
    )
