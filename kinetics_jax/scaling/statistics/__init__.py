"""pass@k, shrinkage and power laws: statistics that know no chip and no file."""

from kinetics_jax.scaling.statistics.censored_lengths import CensoredLengths, fit_censored_lengths
from kinetics_jax.scaling.statistics.fits import (
    ExponentiatedPowerLaw,
    PowerLaw,
    extrapolation_error,
    fit_exponentiated_power_law,
    fit_power_law,
)
from kinetics_jax.scaling.statistics.intervals import Interval, interval, mean_interval
from kinetics_jax.scaling.statistics.pass_at_k import BetaBinomial, fit_beta_binomial, pass_at_k
from kinetics_jax.scaling.statistics.resampling import bootstrap_weights

__all__ = [
    "BetaBinomial",
    "CensoredLengths",
    "ExponentiatedPowerLaw",
    "Interval",
    "PowerLaw",
    "bootstrap_weights",
    "extrapolation_error",
    "fit_beta_binomial",
    "fit_censored_lengths",
    "fit_exponentiated_power_law",
    "fit_power_law",
    "interval",
    "mean_interval",
    "pass_at_k",
]
