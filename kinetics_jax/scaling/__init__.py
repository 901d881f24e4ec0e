"""From trials to laws: ``read_trials`` → ``find_results`` → ``Results``.

Four rooms: ``traces`` (tables of trials), ``statistics`` (pass@k, fits), ``frontier`` (what a cost limit
buys) and ``law`` (exponents, thresholds, words). NumPy only at import; what fits imports SciPy.
"""

from kinetics_jax.scaling import frontier, law, statistics, traces
from kinetics_jax.scaling.frontier import *  # noqa: F403
from kinetics_jax.scaling.law import *  # noqa: F403
from kinetics_jax.scaling.statistics import *  # noqa: F403
from kinetics_jax.scaling.traces import *  # noqa: F403

__all__ = [*frontier.__all__, *law.__all__, *statistics.__all__, *traces.__all__]
