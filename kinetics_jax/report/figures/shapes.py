"""Figures that need no traces: KV trend, attention against weights, iso-cost contours.

Axes: M models · n lengths.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

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
    padded,
)
from kinetics_jax.scaling.law.shape_results import ShapeResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_kv_trend(shapes: ShapeResults, palette: Palette) -> Drawing:
    """KV cache of 32K tokens against parameters, with the paper's fit."""
    billions = np.array([model.paper_params / 1e9 for model in shapes.models])
    with canvas(height=3.7) as figure:
        axes = figure.add_axes((0.08, 0.14, 0.88, 0.74))
        log_axis(axes.xaxis, *padded(billions, 1.5), "parameters, billions")
        log_axis(axes.yaxis, *padded(shapes.kv_gib_per_32k, 1.3), "KV cache of 32,768 tokens, GiB")
        a, b = shapes.kv_fit
        line = np.geomspace(*axes.get_xlim(), 100)
        label = f"{words.number(a)}·x^{b:.2f}: × {2**b:.2f} per doubling of parameters"
        axes.plot(line, a * line**b, color=INK, linewidth=1.2, label=label)
        for x, y, model in zip(billions, shapes.kv_gib_per_32k, shapes.models, strict=True):
            axes.scatter(x, y, s=46, color=palette.colour(model.name), zorder=3, linewidths=0)
            axes.annotate(
                f"{legend_text(model.name)}  {words.number(y)} GiB",
                (x, y),
                (0, 8),
                textcoords="offset points",
                ha="center",
                size=7.5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6},
            )
        axes.legend(loc="lower right")
        axes.set_title("KV cache against model size")
        caption = "Line: least squares of y = a·x^b over the dense Qwen3 models, in linear space."
        return finish(figure, "kv-trend", "KV cache size against parameters.", caption)


def draw_phi(shapes: ShapeResults, palette: Palette) -> Drawing:
    """Φ, attention's cost over the weights', against generated tokens."""
    with canvas(height=4.2) as figure:
        axes = figure.add_axes((0.08, 0.13, 0.58, 0.78))
        lengths = shapes.phi_lengths
        log_axis(axes.xaxis, float(lengths[0]), float(lengths[-1]), "generated tokens")
        log_axis(axes.yaxis, *padded(shapes.phi, 1.2), "Φ = attention ÷ weights, eFLOPs")
        axes.axhline(1.0, color=INK, linewidth=1.0)
        text = "Φ = 1: as much as the weights"
        axes.text(lengths[-1], 0.9, text, size=7.5, va="top", ha="right")
        handles = []
        for m, model in enumerate(shapes.models):
            crossings = f"{_length(shapes.overtakes[m])} · {_length(shapes.tenfold[m])}"
            label = f"{legend_text(model.name, 22)}  {crossings}"
            colour = palette.colour(model.name)
            handles += axes.plot(lengths, shapes.phi[m], color=colour, linewidth=2.0, label=label)
            if shapes.overtakes[m] > 0:
                axes.scatter(shapes.overtakes[m], 1.0, s=28, color=colour, zorder=4, edgecolors="white")
        axes.legend(
            handles=handles,
            title="tokens at which Φ = 1 · Φ = 10",
            loc="upper left",
            bbox_to_anchor=(1.01, 1.02),
            alignment="left",
        )
        axes.set_title(
            f"Where attention overtakes the weights (I = {words.number(shapes.intensity, 4)} FLOP/byte)"
        )
        caption = (
            f"Φ as the paper has it, for {words.printable(shapes.chip)}’s ratio of peak FLOP/s to "
            "bandwidth. Above 1, attention costs more than the weights."
        )
        alt = "Attention's cost over the weights' cost against generated tokens, per model."
        return finish(figure, "attention-over-weights", alt, caption)


def _length(tokens: float) -> str:
    return f"{tokens:,.0f}" if np.isfinite(tokens) and tokens > 0 else words.MISSING


def draw_contours(shapes: ShapeResults, palette: Palette) -> Drawing:
    """Model size against generated tokens at constant FLOPs, and at constant eFLOPs (Fig. 6b, c)."""
    with canvas(height=4.0) as figure:
        left = figure.add_axes((0.085, 0.13, 0.4, 0.76))
        right = figure.add_axes((0.565, 0.13, 0.4, 0.76))
        _contours(left, shapes, shapes.iso_flops, palette)
        _contours(right, shapes, shapes.iso_eflops, palette)
        left.set_ylabel("parameters")
        left.set_title("Constant FLOPs")
        right.set_title("Constant eFLOPs of attention")
        caption = (
            "Each line joins what the same cost buys: how many tokens from which model. Left: FLOPs of "
            "the weights, the usual count; right: eFLOPs of attention, which also price KV reads."
        )
        alt = "Two panels of model size against generated tokens along lines of constant cost."
        return finish(figure, "contours", alt, caption)


def _contours(
    axes: "Axes", shapes: ShapeResults, lines: Mapping[float, np.ndarray], palette: Palette
) -> None:
    sizes = np.array([float(model.paper_params) for model in shapes.models])
    order = np.argsort(sizes)
    every = np.concatenate(list(lines.values())) if lines else np.ones(1)
    log_axis(axes.xaxis, *padded(every, 1.5), "generated tokens")
    low, high = padded(sizes, 1.3)
    log_axis(axes.yaxis, low, high * 2, "", words.params)
    colours = [palette.colour(shapes.models[m].name) for m in order]
    for cost, tokens in lines.items():
        axes.plot(tokens[order], sizes[order], color=FAINT, linewidth=1.1, zorder=2)
        axes.scatter(tokens[order], sizes[order], s=24, c=colours, zorder=3, linewidths=0)
        top = order[-1]
        axes.annotate(
            words.number(cost),
            (tokens[top], sizes[top]),
            (0, 7),
            textcoords="offset points",
            ha="center",
            rotation=55,
            size=8.5,
        )
