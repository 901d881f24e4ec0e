"""What a plan assumes of a deployment: dtypes, chips of a copy, and the sequences that they hold."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from kinetics_jax.costs import Chip, Requests, Serving, chips_per_copy, deployed, feasible_batch, price
from kinetics_jax.costs.deployment import fitting
from kinetics_jax.costs.serving import kv_copies
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, Policy
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.sweep.experiment import Cell, Experiment

DEFAULT_PAGE = 64
MOST_SLOTS = 256
"""What the engine takes by itself at most."""


def policy_as_run(experiment: Experiment, policy: Policy) -> Policy:
    """The policy in the form that the engine runs."""
    engine = experiment.engine
    page = engine.page_size or policy.natural_page or DEFAULT_PAGE
    return policy if engine.exact_masks else policy.on_pages(page)


def planned_serving(experiment: Experiment) -> Serving:
    """The dtypes that the sweep runs and its law prices; chips of a copy and batch are planned."""
    law = experiment.law
    dtypes = {"weight_dtype": experiment.engine.quantize} | {
        name: getattr(law, name)
        for name in ("weight_dtype", "kv_dtype", "compute_dtype")
        if getattr(law, name)
    }
    return Serving(**{k: v for k, v in dtypes.items() if v}, share_prefix=law.share_prefix)


def plan_mode(experiment: Experiment) -> str:
    """Mode of a plan's prices: its law's; the data sheet's where that takes both, or the paper's."""
    return "calibrated" if experiment.law.prices == "calibrated" else "exact"


def unpriced(experiment: Experiment, chip: Chip) -> str:
    """Why nothing has such a price on the chip; empty where it has."""
    if plan_mode(experiment) == "exact":
        return ""
    try:
        price("qwen3-0.6b", Dense(), 1, 1, chip=chip, mode="calibrated", tensor_parallel=1, batch=1)
    except InputError as error:
        return str(error)
    return ""


def chips_of_copy(
    experiment: Experiment,
    cell: Cell,
    config: ModelConfig,
    chip: Chip,
    context: int,
    asked: tuple[Sequence[int], int],
) -> int:
    """Chips of a copy of a model whose slice names none: those given, else by the law's rule.

    Nothing ran yet, so ``as_run`` plans the cheapest: for all policies, with the slots that samples fill.

    Args:
      experiment: whose law and engine are planned for.
      cell: whose model lies on them.
      config: its shape.
      chip: on what.
      context: longest of the engine.
      asked: prompt tokens of the cell's problems, and the tokens that a sample is expected to have.
    """
    serving, law, (prompts, mean) = planned_serving(experiment), experiment.law, asked
    if law.tensor_parallel or law.deployment == "fewest_chips":
        given = dataclasses.replace(serving, tensor_parallel=law.tensor_parallel)
        return chips_per_copy(config, chip, context, given)
    rows, samples = experiment.engine.prompt_rows, len(prompts) * cell.model.trials
    requests = [
        Requests(policy_as_run(experiment, policy), np.array(prompts), mean) for policy in experiment.policies
    ]
    found, mode = [], plan_mode(experiment)
    for one in fitting(config, [Requests(Dense(), 0, context)], chip, serving):
        ways = one.tensor_parallel or 1
        held = sequences_held(config, chip, context, ways, ways, serving)
        batch = min(held - rows, MOST_SLOTS, samples)
        if batch >= 1:
            tried = dataclasses.replace(one, batch=batch)
            found.append(
                deployed(config, requests, chip, tried, rule="cheapest", overlap=law.overlap, mode=mode)
            )
    if not found:
        return chips_per_copy(config, chip, context, serving)
    return min(found, key=lambda one: (one.chip_seconds, one.num_chips)).num_chips


def sequences_held(
    config: ModelConfig, chip: Chip, context: int, ways: int, model: int, serving: Serving
) -> int:
    """Sequences of full context beside one copy of the weights on ``ways`` chips.

    Keys and values are split over the ``model`` axis only, so only its surplus over the KV heads
    stores them more than once; ``feasible_batch`` takes all of the chips to be that axis.
    """
    fit = feasible_batch(config, chip, context, num_chips=ways, serving=serving)
    return int(fit * kv_copies(config, ways) / kv_copies(config, model))
