"""What choosing on the scored samples gains where nothing is to be gained: exact, from binomial chances."""

import numpy as np
from scipy import stats

from kinetics_jax.published.finding import Finding

CONFIGURATIONS = 5
DIFFICULTY = (0.9, 0.6)
"""Beta law of the questions' chances: mean .6, many nearly always or nearly never solved (AIME-like)."""


def null_gain(trials: int, configurations: int = CONFIGURATIONS) -> float:
    """Points that the best of equally good configurations gains, scored on the samples that chose it.

    E[max of ``configurations`` counts]/trials − p, averaged over questions; every count is binomial and
    E[max] = Σ_x (1 − F(x)^configurations).
    """
    p = stats.beta.ppf((np.arange(2000) + 0.5) / 2000, *DIFFICULTY)[:, None]
    below = stats.binom.cdf(np.arange(trials), trials, p)
    return 100 * float(np.mean((1 - below**configurations).sum(1) / trials - p[:, 0]))


def selection() -> Finding:
    """Whether choosing per question on the scored samples is fair."""
    many, few = null_gain(32), null_gain(8)
    return Finding(
        id="selection",
        claim="a question's best configuration may be chosen on the samples that score it (implied)",
        where="App. D.2",
        unit="points gained by 5 equal ones",
        published=0.0,
        ours=many,
        tolerance=0.5,
        rule="at most",
        basis="chance",
        note=f"32 trials, chances ~ Beta{DIFFICULTY}; {few:.1f} with 8. As much as the dear end's gain; "
        "kinetics law --frontier=held_out chooses and scores on different samples",
    )


CLAIMS = (selection,)
