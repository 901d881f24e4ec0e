"""What is best along a frontier: tokens, length, trials and KV budget against cost, with their fits."""

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
    log_axis,
    padded,
    power_of_two_axis,
    visible_costs,
)
from kinetics_jax.report.groups import Group, rule
from kinetics_jax.scaling.law.results import FrontierResult, Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {
    "tokens": ("Tokens generated, all trials together", "tokens a question"),
    "length": ("Generation length limit", "tokens"),
    "trials": ("Trials", "trials"),
    "kv_budget": ("KV budget, where sparse attention is best", "tokens per step"),
}
_POWERS_OF_TWO = ("trials", "kv_budget")


def draw_optima(group: Group, palette: Palette, stem: str) -> Drawing | None:
    """A panel for each quantity that changes along the frontier, against the fits' x.

    None where none of them changes; ``constants`` then says it all.
    """
    law = group.first
    lead = law.best_frontier
    names = [name for name in QUANTITIES if _varies(lead, name)]
    if not names:
        return None
    low, high = visible_costs(law)
    rows, columns = (1, len(names)) if len(names) < 3 else (2, 2)
    height = 0.55 + 2.25 * rows
    with canvas(height) as figure:
        panels = figure.subplots(rows, columns, squeeze=False)
        wide = 0.985 if columns > 1 else 0.74
        figure.subplots_adjust(0.1, 0.48 / height, wide, 1 - 0.66 / height, wspace=0.22, hspace=0.42)
        for axes, name in zip(panels.flat, names, strict=False):
            log_axis(axes.xaxis, low / law.counted.inside, high / law.counted.inside, "")
            _panel(axes, name, law, lead, palette)
        for axes in panels.flat[len(names) :]:
            axes.set_axis_off()
        for axes in panels.flat[max(len(names) - columns, 0) : len(names)]:  # the lowest of each column
            axes.set_xlabel(f"cost per question, {law.counted.fitted}")
        heading(figure, f"What is best at each cost ({rule(lead.flavour)}) · {group.title}")
        alt = f"{', '.join(QUANTITIES[name][0] for name in names)} against cost on {group.title}."
        return finish(figure, stem, alt, _CAPTION.format(x=law.counted.fitted))


_CAPTION = (
    "Points: what is best within a cost, coloured by the best model. Line: least squares of y = a·x^b + c, "
    "x in {x}; in brackets the 95 % interval of b over resampled questions."
)


def constants(result: FrontierResult) -> list[str]:
    """In words, the quantities that do not change along a frontier."""
    found = []
    for name, (title, _) in QUANTITIES.items():
        known = _known(result, name)
        if known.size and not _varies(result, name):
            found.append(f"{title}: {words.number(float(known[0]), 6)} throughout.")
        elif name == "kv_budget" and result.bands and not known.size:
            found.append("Attention: dense throughout.")
    return found


def _known(result: FrontierResult, name: str) -> np.ndarray:
    """The quantity's values where a model is chosen and it has one."""
    values = np.asarray(getattr(result, name), np.float64)
    chosen = np.array([bool(model) for model in result.model])
    return values[chosen & np.isfinite(values) & (values > 0)]


def _varies(result: FrontierResult, name: str) -> bool:
    known = _known(result, name)
    return bool(known.size) and float(np.ptp(known)) > 1e-6 * float(known.max())


def _panel(axes: "Axes", name: str, law: Law, lead: FrontierResult, palette: Palette) -> None:
    title, unit = QUANTITIES[name]
    values, tera = np.asarray(getattr(lead, name), np.float64), law.costs / law.counted.inside
    axes.set_title(title, size=9)
    good = np.isfinite(values) & (values > 0) & np.array([bool(model) for model in lead.model])
    low, high = padded(values[good], 1.35)
    if name in _POWERS_OF_TWO:
        power_of_two_axis(axes.yaxis, low, max(high, 4 * low), unit)
    else:
        log_axis(axes.yaxis, low, high, unit)
    colours = [palette.colour(model) for model, ok in zip(lead.model, good, strict=True) if ok]
    axes.scatter(tera[good], values[good], s=13, c=colours, linewidths=0, zorder=3)
    if name in lead.curves:
        a, b, c = lead.curves[name]
        fitted = a * tera**b + c
        axes.plot(
            tera,
            np.where(fitted > 0, fitted, np.nan),
            color=INK,
            linewidth=1.2,
            zorder=4,
            label=_fit_text(name, lead),
        )
        axes.legend(loc="lower right", handlelength=1.6)


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
