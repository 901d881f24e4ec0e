"""Traces of any engine as one table of trials, and which of them may be compared."""

from kinetics_jax.scaling.traces.comparable import Family, comparable_families
from kinetics_jax.scaling.traces.csv_format import write_csv
from kinetics_jax.scaling.traces.independent_trials import Cell, group_cells
from kinetics_jax.scaling.traces.reading import read_trials
from kinetics_jax.scaling.traces.trials import InputFile, Trials

__all__ = [
    "Cell",
    "Family",
    "InputFile",
    "Trials",
    "comparable_families",
    "group_cells",
    "read_trials",
    "write_csv",
]
