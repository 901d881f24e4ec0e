"""What was not run, said from what was: a size or a KV budget, with the error that leaving out measures."""

from kinetics_jax.scaling.prediction.left_out import LeftOut, error_of, leave_out, predict
from kinetics_jax.scaling.prediction.trend import Trend, fit_trend

__all__ = ["LeftOut", "Trend", "error_of", "fit_trend", "leave_out", "predict"]
