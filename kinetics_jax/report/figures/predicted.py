"""Predicted against measured seconds, one panel a kind of kernel and one for deployments."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kinetics_jax.calibration.validate import Pairs, accuracy
from kinetics_jax.report.figures.style import FAINT, INK, Drawing, canvas, finish, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 300
"""Drawn of each kind; a seed chooses them."""
_COLUMNS = 3
_PANEL = 2.7
_TITLES = {"gemm": "Matmul", "moe": "Experts", "all_reduce": "All-reduce"}


def draw_predicted(pairs: Mapping[str, Pairs], mode: str) -> Drawing:
    """Every kind that has predictions, log against log, with the line where both are equal.

    ``mode``: as the predictions were made, for the words. Kinds without a prediction have no panel.
    """
    kinds = {kind: one for kind, one in pairs.items() if accuracy(one) is not None}
    rows = -(-len(kinds) // _COLUMNS)
    with canvas(_PANEL * rows + 0.2) as figure:
        for at, (kind, one) in enumerate(kinds.items()):
            _panel(figure.add_subplot(rows, _COLUMNS, at + 1), kind, one)
        figure.tight_layout()
        told = "; ".join(f"{_title(kind)} {_off(one)}" for kind, one in kinds.items())
        return finish(
            figure,
            "predicted",
            alt=f"Predicted against measured seconds ({mode}): {told}.",
            caption="Each point is one public measurement; on the line, both are equal.",
        )


def _title(kind: str) -> str:
    name = kind.rpartition("/")[2].replace("_", " ")
    return _TITLES.get(kind, name[:1].upper() + name[1:])


def _off(pairs: Pairs) -> str:
    one = accuracy(pairs)
    return f"{100 * one.error:.0f} % off" if one else ""


def _panel(axes: "Axes", kind: str, pairs: Pairs) -> None:
    there = pairs.where(~np.isnan(pairs.predicted))
    size = len(there.measured)
    shown = np.random.default_rng(0).permutation(size)[:_MOST_POINTS]
    scale = 1e3 if kind.startswith("deployments/") else 1e6
    unit = "ms a token" if scale == 1e3 else "µs a call"
    x, y = there.measured[shown] * scale, there.predicted[shown] * scale
    low, high = min(x.min(), y.min()) / 1.3, max(x.max(), y.max()) * 1.3
    axes.plot([low, high], [low, high], color=FAINT, linewidth=0.8)
    axes.scatter(x, y, s=3, color=INK, alpha=0.25, linewidths=0)
    log_axis(axes.xaxis, low, high, f"measured, {unit}")
    log_axis(axes.yaxis, low, high, f"predicted, {unit}")
    axes.set_title(f"{_title(kind)}: {_off(pairs)}")
