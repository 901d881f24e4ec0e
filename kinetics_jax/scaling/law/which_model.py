"""Which model to use at which cost, in words, as far as the resampled questions agree."""

import functools
import math

from kinetics_jax.scaling.law.choices import cost_text, main_bands
from kinetics_jax.scaling.law.result_parts import Band
from kinetics_jax.scaling.law.results import Law

SURE = 0.9
"""Share of resamples that must agree on a model before it is named without that share."""
SETTLED = 0.5
"""Under this share a model is called unsettled."""
WIDEST = 4.0
"""Ratio of the ends of a crossover's interval beyond which no cost is named for it."""


def which_model(law: Law) -> str:
    """The models in the order of cost, with the costs at which to change; no cost that is not known."""
    bands = main_bands(law.best_frontier.bands)
    if not bands:
        return "nothing is solved"
    said = f"use {_named(bands[0])}"
    if len(bands) == 1:
        return f"{said} throughout"
    for band in bands[1:]:
        said += f", {_from(law, band)} {_named(band)}"
    return said


def _from(law: Law, band: Band) -> str:
    """From which cost on a model is the better one: its interval, or that it is not known."""
    low, high = band.start_low, band.start_high
    named = functools.partial(cost_text, law)
    if not (math.isfinite(low) and math.isfinite(high)):
        return "at more cost (from where on, these traces cannot say)"
    if high > WIDEST * low:
        where = f"between {named(low)} and {named(high)} these traces cannot say"
        return f"above {named(high)} per question ({where})"
    return f"above {named(band.start)} [{named(low)}–{named(high)}] per question"


def _named(band: Band) -> str:
    if band.support >= SURE:
        return band.model
    word = "best in" if band.support >= SETTLED else "unsettled:"
    return f"{band.model} ({word} {band.support:.0%} of resamples)"
