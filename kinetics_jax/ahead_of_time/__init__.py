"""Compiling decode steps for TPU slices that are not here: what fits, and what the program holds."""

from kinetics_jax.ahead_of_time.chip_options import compiler_options
from kinetics_jax.ahead_of_time.fit import Fit, Placement, compile_decode
from kinetics_jax.ahead_of_time.slices import SLICES, Largest, largest_on_smallest

__all__ = [
    "SLICES",
    "Fit",
    "Largest",
    "Placement",
    "compile_decode",
    "compiler_options",
    "largest_on_smallest",
]
