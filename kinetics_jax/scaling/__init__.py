"""From traces to laws. NumPy only at import; what fits imports SciPy.

Which of these do I call?

* ``read_trials(files)``: traces of any engine as one table of trials.
* ``find_results(trials, chips, LawOptions())``: a whole run. Every set of comparable traces on every chip, in
  numbers and in words; ``kinetics_jax.report.write_results`` writes it down.
* ``find_law(family, chip, LawOptions())``: one law of such a run; a family is one of
  ``comparable_families(trials)``.
* ``build_study(cells, price)``: every configuration (model, policy, trials, length) priced and scored, to ask
  questions of one's own with ``study_frontier``, ``held_out_frontier`` and ``bootstrap_frontier``.

``docs/reading/from_traces_to_a_law.md`` names the files in the order in which a trace meets them.
"""

from kinetics_jax.scaling import frontier, law, selection, statistics, traces
from kinetics_jax.scaling.frontier import *  # noqa: F403
from kinetics_jax.scaling.law import *  # noqa: F403
from kinetics_jax.scaling.selection import *  # noqa: F403
from kinetics_jax.scaling.statistics import *  # noqa: F403
from kinetics_jax.scaling.traces import *  # noqa: F403

__all__ = [*frontier.__all__, *law.__all__, *selection.__all__, *statistics.__all__, *traces.__all__]
