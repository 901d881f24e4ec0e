"""The law of comparable traces on a chip, what it says of the paper's claims, and both in words.

``find_results`` is the whole run, ``find_law`` one law of it, and ``Results`` what a run finds, as data.
"""

from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.scaling.law.one_law import find_law
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.result_parts import Claim
from kinetics_jax.scaling.law.results import Law, Results

__all__ = ["Claim", "Law", "LawOptions", "Results", "find_law", "find_results"]
