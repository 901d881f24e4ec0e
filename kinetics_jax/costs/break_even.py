"""Break-even: from which context on a sparse step's attention takes less time than a dense one's.

A sparse step reads less and launches more: kernels that score and choose have floors that do not shrink with
the context. Below the break-even it is slower; ``min_context`` of a policy is the place to say so.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kinetics_jax.chips.chip import Chip
from kinetics_jax.costs.cost import CalibratedCost
from kinetics_jax.costs.price import price
from kinetics_jax.costs.serving import Serving, chips_per_copy
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, Policy
from kinetics_jax.shapes import ModelConfig

LONGEST = 1 << 20
"""Tokens beyond which a policy is said never to break even, unless told otherwise."""
_POINTS = 400
"""Contexts that are looked at before the crossing is searched token by token."""


def attention_seconds(
    model: ModelConfig, policy: Policy, chip: Chip, contexts: Any, *, batch: float, serving: Serving
) -> np.ndarray:
    """Seconds that attention and choosing take of one calibrated decode step of a full batch.

    Args:
      model: whose step it is.
      policy: what the step reads.
      chip: on what.
      contexts: tokens of each sequence, the same for all of the batch; any shape.
      batch: sequences decoded together.
      serving: ``tensor_parallel`` said; its own batch is not read.

    Raises ``InputError`` for a chip without constants.
    """
    fields = {field.name: getattr(serving, field.name) for field in dataclasses.fields(serving)}
    fields |= {"batch": batch, "prefill": False, "occupancy": 1.0}
    cost = price(model, policy, contexts, 1, chip=chip, mode="calibrated", **fields)
    assert isinstance(cost, CalibratedCost)
    if not {"attention", "search"} <= cost.times.keys() or "host" not in cost.times:
        raise InputError(f"break-even: kernels of {chip.name} are not known, only whole deployments")
    part = cost.seconds_of("attention") + cost.seconds_of("search")
    return np.asarray(part) * batch / cost.num_chips


def break_even(
    model: ModelConfig,
    policy: Policy,
    chip: Chip,
    batches: Any,
    *,
    serving: Serving | None = None,
    longest: int = LONGEST,
) -> np.ndarray:
    """Least context from which on a step's attention is cheaper under ``policy`` than dense, for each batch.

    Search included, weights and all else left out, since they are the same. Calibrated prices.

    Args:
      model: a shape.
      policy: a sparse policy.
      chip: on what.
      batches: sequences decoded together, numbers ≥ 1, [B]. Whether so many fit is not asked.
      serving: dtypes and chips of a copy; open, the fewest that leave half of HBM to the cache.
      longest: tokens of the longest context that is looked at.

    Returns:
      Tokens, [B]; inf where the policy is not cheaper at ``longest``.

    Raises:
      InputError: a dense policy, a batch below 1, or a chip whose kernels nobody measured.
    """
    if policy.kv_budget is None:
        raise InputError(f"break-even: {policy.label} reads everything; give a sparse policy")
    serving = serving or Serving()
    count = chips_per_copy(model, chip, 1, serving)
    serving = dataclasses.replace(serving, tensor_parallel=count)
    each = functools.partial(_saved, model, policy, chip, serving)
    return np.array([_from(functools.partial(each, float(b)), longest) for b in np.ravel(batches)])


def _saved(
    model: ModelConfig, policy: Policy, chip: Chip, serving: Serving, batch: float, contexts: np.ndarray
) -> np.ndarray:
    """Seconds a step that sparse attention is faster by."""
    dense, sparse = (
        attention_seconds(model, one, chip, contexts, batch=batch, serving=serving)
        for one in (Dense(), policy)
    )
    return dense - sparse


def _from(saved: Callable[[np.ndarray], np.ndarray], longest: int) -> float:
    """The token after the last that is not faster: by a coarse grid, then token by token around it."""
    coarse = np.unique(np.geomspace(1, longest, _POINTS).round().astype(np.int64))
    behind = np.flatnonzero(saved(coarse) <= 0)
    if not behind.size:
        return 1.0
    last = int(behind[-1])
    if last + 1 == len(coarse):
        return float("inf")
    end = coarse[min(last + 2, len(coarse) - 1)]  # reads go up and down within a block
    between = np.arange(coarse[last], end + 1)
    return float(between[np.flatnonzero(saved(between) <= 0)[-1]] + 1)
