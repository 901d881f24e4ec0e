"""Compiling decode steps for TPU slices that are not here: what fits, and what the program holds."""

from kinetics_jax.ahead_of_time.fit import Fit, Placement, compile_decode
from kinetics_jax.ahead_of_time.slices import Largest, largest_on_smallest

__all__ = ["Fit", "Largest", "Placement", "compile_decode", "largest_on_smallest"]
