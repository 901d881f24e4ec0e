"""Latency: seconds until all N answers to a question are there, which is not what they cost."""

from typing import Any

import numpy as np

from kinetics_jax.costs.cost import Cost
from kinetics_jax.errors import InputError


def latency(cost: Cost, trials: Any = 1) -> np.ndarray:
    """Seconds from the first decode step to the last answer of N samples that are as long as the priced one.

    A step of b sequences on the t chips of a copy charges each sample t ÷ b of its time, in chip-seconds.
    So a sample waits b ÷ t times its price, and N samples of one question decode side by side, or in waves:
    chip-seconds of one sample · b ÷ t · ⌈N ÷ b⌉.

    Assumed: the batch is full all the time, of samples alike to this one (whose prompts are read on the
    same chips); nobody waits in a queue; a sample shares no prompt, which is a little too slow where N do;
    the next wave starts when the last one has ended. A deployment that was chosen for the fewest
    chip-seconds has a large batch and a long wait: give ``tensor_parallel`` and ``batch`` for yours.

    Args:
      cost: of one sample each (``trials=1``), any shape.
      trials: N, whole numbers ≥ 1 that broadcast with it.

    Raises ``InputError`` for a mode that knows no batch.
    """
    if cost.batch is None:
        raise InputError(
            f"latency needs a batch, and mode={cost.mode!r} has none: price with exact or calibrated"
        )
    batch = np.asarray(cost.batch, float)
    return cost.seconds * (batch / cost.num_chips) * np.ceil(np.asarray(trials, float) / batch)
