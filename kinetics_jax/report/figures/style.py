"""How every figure looks, and the axes they share. Matplotlib is imported on first use only."""

import contextlib
import dataclasses
import io
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.report import words
from kinetics_jax.scaling.law.results import Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, RULE = "#222222", "#767676", "#d0d0d0"
WIDTH = 8.6
"""Inches; every figure fills the page's column."""
DPI = 110
_LOOK: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,  # a model's name may hold a $
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.5,
    "svg.hashsalt": "kinetics-jax",  # the same results give the same bytes
    "svg.fonttype": "none",  # text stays text: smaller, searchable, editable
}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A finished figure in both formats, with its words."""

    stem: str
    """File name without its ending."""
    alt: str
    """What a person who does not see the figure should know is there."""
    caption: str
    """How to read it."""
    png: bytes
    svg: bytes


@contextlib.contextmanager
def canvas(height: float, width: float = WIDTH) -> Iterator["Figure"]:
    """A new figure in our style, sizes in inches; nothing of matplotlib's global state changes."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def finish(figure: "Figure", stem: str, alt: str, caption: str) -> Drawing:
    """Render a figure made on ``canvas`` (and still inside it) as PNG and SVG."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    # Where the font is not installed, another sans-serif should stand in, not the reader's default.
    text = svg.getvalue().replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif")
    return Drawing(stem, alt, caption, png.getvalue(), text)


def log_axis(
    axis: Any, low: float, high: float, label: str, text: Callable[[float], str] = words.number
) -> None:
    """A log axis from ``low`` to ``high`` with as many round ticks as there is room for."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    getattr(axis.axes, f"set_{axis.axis_name}lim")(low, high)
    box = axis.axes.get_position()
    width, height = axis.axes.figure.get_size_inches()
    length, label_size = (box.width * width, 0.52) if axis.axis_name == "x" else (box.height * height, 0.2)
    axis.set_major_locator(FixedLocator(_log_ticks(low, high, label_size / length)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_label_text(label)


def _log_ticks(low: float, high: float, gap: float) -> list[float]:
    """Round numbers inside the limits: the finest choice that keeps ``gap``, a share of the axis, between."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)

    def marks(digits: Sequence[int], stride: int = 1) -> list[float]:
        every = (d * 10.0**e for e in exponents if e % stride == 0 for d in digits)
        return [mark for mark in every if low * 0.999 <= mark <= high * 1.001]

    finest = (range(1, 10), (1, 2, 3, 4, 6, 8), (1, 2, 3, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
    choices = [marks(digits) for digits in finest]
    choices += [marks((1,), stride) for stride in (2, 3, 5)]
    least = (high / low) ** gap
    roomy = (ticks for ticks in choices if all(b / a >= least for a, b in itertools.pairwise(ticks)))
    return next(roomy, choices[-1])


def power_of_two_axis(axis: Any, low: float, high: float, label: str) -> None:
    """A log axis with ticks at powers of two, for trials and KV budgets."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    name = axis.axis_name
    getattr(axis.axes, f"set_{name}scale")("log", base=2)
    getattr(axis.axes, f"set_{name}lim")(low, high)
    exponents = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    stride = max(1, math.ceil(len(exponents) / 8))
    axis.set_major_locator(FixedLocator([2.0**e for e in exponents if e % stride == 0]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value, 7)))
    axis.set_label_text(label)


def twin_tera(axes: "Axes", seconds_per_tera: float) -> None:
    """A second axis above, in tera-eFLOPs, for axes whose log x is chip-seconds."""
    above = axes.twiny()
    low, high = (limit / seconds_per_tera for limit in axes.get_xlim())
    log_axis(above.xaxis, low, high, "tera-eFLOPs per question")
    above.grid(visible=False)
    above.spines["top"].set_visible(True)


def visible_costs(law: Law) -> tuple[float, float]:
    """The eFLOPs to show: from just before anything is solved to some way past the last rise."""
    curves = np.array([*law.model_curves.values(), *(f.accuracy for f in law.frontiers.values())])
    solved = np.nan_to_num(curves)
    some = np.flatnonzero((solved > 0.005).any(axis=0))
    rises = np.flatnonzero((np.abs(np.diff(solved, axis=1)) > 1e-3).any(axis=0))
    low = float(law.costs[max(some[0] - 1, 0)] if some.size else law.costs[0])
    high = float(law.costs[-1])
    if rises.size:
        high = min(high, 2.5 * float(law.costs[rises[-1] + 1]))
    return (low, high) if high > low else (low / 2, low * 2)


def runs(labels: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Stretches of equal labels: (label, first index, one past the last)."""
    start = 0
    for i in range(1, len(labels) + 1):
        if i == len(labels) or labels[i] != labels[start]:
            yield labels[start], start, i
            start = i


def padded(values: NDArray[np.float64], factor: float = 1.25) -> tuple[float, float]:
    """Limits for a log axis around the positive finite values; (0.8, 1.25) when there are none."""
    good = values[np.isfinite(values) & (values > 0)]
    if not good.size:
        return 1 / factor, factor
    return float(good.min()) / factor, float(good.max()) * factor


def heading(figure: "Figure", text: str) -> None:
    """The figure's title, at its left edge."""
    height = figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.22 / height, words.shorten(text, 84), weight="bold", size=10.5, va="center")


def legend_text(name: str, width: int = 30) -> str:
    """A name as a legend shows it: short, printable, and not hidden by a leading underscore."""
    clean = words.shorten(name, width)
    return f" {clean}" if clean.startswith("_") else clean
