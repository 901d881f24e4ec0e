"""What is best along a frontier: tokens, length, trials and KV budget against cost, with their fits."""

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
    log_axis,
    padded,
    power_of_two_axis,
)
from kinetics_jax.report.groups import leading, rule, title
from kinetics_jax.scaling.results import FrontierResult, Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {
    "tokens": ("Tokens generated, all trials together", "tokens a question"),
    "length": ("Generation length limit", "tokens"),
    "trials": ("Trials", "trials"),
    "kv_budget": ("KV budget, where sparse attention is best", "tokens per step"),
}
_POWERS_OF_TWO = ("trials", "kv_budget")


def draw_optima(law: Law, palette: Palette, stem: str) -> Drawing:
    """Four panels against tera-eFLOPs, the unit that the fits are in."""
    lead = leading(law)
    tera = law.costs / 1e12
    any_chosen = np.array([bool(name) for name in lead.model])
    low, high = padded(tera[any_chosen] if any_chosen.any() else tera, 1.1)
    with canvas(height=5.0) as figure:
        panels = figure.subplots(2, 2)
        figure.subplots_adjust(0.1, 0.095, 0.985, 0.87, wspace=0.2, hspace=0.42)
        for axes, name in zip(panels.flat, QUANTITIES, strict=True):
            log_axis(axes.xaxis, low, high, "")
            _panel(axes, name, tera, lead, palette)
        for axes in panels[1]:
            axes.set_xlabel("cost per question, tera-eFLOPs")
        heading = f"What is best at each cost ({rule(lead.flavour)}) · {title(law)}"
        figure.text(0.012, 0.957, words.shorten(heading, 100), weight="bold", size=10.5)
        alt = f"Best tokens, length, trials and KV budget against cost on {title(law)}."
        caption = (
            "Points: mean over questions of what is best within a cost, coloured by the best model. "
            "Line: least squares of y = a·x^b + c, x in tera-eFLOPs; in brackets the interval of b over "
            "resampled questions."
        )
        return finish(figure, stem, alt, caption)


def _panel(
    axes: "Axes", name: str, tera: np.ndarray, lead: FrontierResult, palette: Palette
) -> None:
    heading, unit = QUANTITIES[name]
    values = np.asarray(getattr(lead, name), np.float64)
    axes.set_title(heading, size=9)
    good = np.isfinite(values) & (values > 0)
    if not good.any():
        axes.set_yticks([])
        text = (
            "every choice is dense attention" if name == "kv_budget" else "nothing fits these costs"
        )
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=FAINT)
        return
    low, high = padded(values, 1.35)
    if name in _POWERS_OF_TWO:
        power_of_two_axis(axes.yaxis, low, max(high, 4 * low), unit)
    else:
        log_axis(axes.yaxis, low, high, unit)
    colours = [palette.colour(model) for model, ok in zip(lead.model, good, strict=True) if ok]
    axes.scatter(tera[good], values[good], s=15, c=colours, linewidths=0, zorder=3)
    if name in lead.curves:
        a, b, c = lead.curves[name]
        fitted = a * tera**b + c
        axes.plot(tera, np.where(fitted > 0, fitted, np.nan), color=INK, linewidth=1.2, zorder=4,
                  label=_fit_text(name, lead))  # fmt: skip
        axes.legend(loc="best", handlelength=1.6)


def _fit_text(name: str, lead: FrontierResult) -> str:
    """``91.7·x^0.80`` with the interval of the exponent."""
    a, b, c = lead.curves[name]
    text = f"{words.number(a)}·x^{b:.2f}"
    if c:
        text += f" {'+' if c > 0 else '−'} {words.number(abs(c))}"
    exponent = lead.fits.get(f"{name}.b")
    if exponent and exponent.low is not None and exponent.high is not None:
        text += f"   [{exponent.low:.2f}, {exponent.high:.2f}]"
    return text
