"""A deployment: how one model is served on one kind of chip, found for the requests that it is to serve.

``price`` takes a deployment as it is given and, where the chips of a copy are left open, the fewest that
leave half of HBM to the cache. That is rarely the cheapest: more chips hold more sequences, which share the
weight reads. ``cheapest_deployment`` tries all that fit.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kinetics_jax.chips.chip import Chip
from kinetics_jax.costs.cost import Cost
from kinetics_jax.costs.price import price
from kinetics_jax.costs.serving import MAX_AUTO_CHIPS, Serving, chips_per_copy, feasible_batch
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.shapes.mesh import check_mesh, misfit


class Requests(NamedTuple):
    """Requests under one policy. Arrays broadcast."""

    policy: Policy
    prompt_tokens: Any
    generated_tokens: Any
    trials: Any = 1
    """Samples of one prompt."""

    @property
    def context(self) -> np.ndarray:
        """Tokens of each finished sample, prompt and generation."""
        return np.asarray(self.prompt_tokens, float) + np.asarray(self.generated_tokens, float)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployment:
    """How one model is served on one kind of chip, and what that makes of the requests it was found for."""

    model: str
    chip: str
    rule: str
    """Why it is this one: ``cheapest``, ``fewest_chips``, ``as_run``, or ``sensitivity``."""
    policy: str = ""
    """Label of the policy that it is for, where policies of one model ran on different ones; empty: all."""
    serving: Serving
    """With ``tensor_parallel``, chips of a copy, said."""
    batch: float
    """Sequences decoded together: the one batch that reads the weights as often as these requests do."""
    least_batch: float
    """Of the longest context, where the batch is what fits."""
    most_batch: float
    chip_seconds: float
    """Of all these requests, one sample each."""
    peak_share: float
    """Share of the chip-seconds in which it computes at peak; the rest moves bytes. Under ``sum`` at most."""

    @property
    def num_chips(self) -> int:
        """Chips of one copy of the model."""
        assert self.serving.tensor_parallel, "said"
        return self.serving.tensor_parallel


def chip_counts(model: ModelConfig, chip: Chip) -> list[int]:
    """Chips that a copy can be split over in one scale-up domain: powers of two that divide the model.

    Experts may be split too, by what is left of the chips.
    """
    limit = min(MAX_AUTO_CHIPS, chip.scale_up_world)
    counts = [2**power for power in range(limit.bit_length()) if 2**power <= limit]
    return [count for count in counts if _divides(model, count)]


def _divides(model: ModelConfig, count: int) -> bool:
    """Whether some ways of tensor and expert parallelism that multiply to ``count`` divide the model."""
    return any(
        not misfit(model, model=ways, expert=count // ways)
        for ways in range(1, count + 1)
        if count % ways == 0
    )


def fitting(model: ModelConfig, requests: Sequence[Requests], chip: Chip, serving: Serving) -> list[Serving]:
    """``serving`` with every number of chips that holds the weights and these requests, fewest first.

    One sequence of the longest context must fit, and ``serving.batch`` of the mean one where it is given. A
    given ``tensor_parallel`` is the only one looked at.
    """
    contexts = _contexts(requests)
    longest, mean = float(contexts.max()), float(contexts.mean())
    given = serving.tensor_parallel
    if given:
        chips_per_copy(model, chip, longest, serving)  # more than the domain has: it says so
        if not _divides(model, given):
            check_mesh(model, model=given)
    found = []
    for count in [given] if given else chip_counts(model, chip):
        tried = dataclasses.replace(serving, tensor_parallel=count)
        most, usual = (
            feasible_batch(model, chip, context, num_chips=count, serving=tried)
            for context in (longest, mean)
        )
        if most >= 1 and usual >= (serving.batch or 1):
            found.append(tried)
    return found


def cheapest_deployment(
    model: ModelConfig,
    requests: Sequence[Requests],
    chip: Chip,
    *,
    serving: Serving | None = None,
    overlap: str = "sum",
    mode: str = "exact",
) -> Deployment:
    """The deployment that serves these requests in the fewest chip-seconds, of all that fit.

    Args:
      model: what is served.
      requests: what it is to serve, such as a model's own traces; any number of policies.
      chip: on what.
      serving: what is given. Chips of a copy are chosen where it leaves them open; the batch is then what
        fits, which is never dearer than a smaller one.
      overlap: as ``price`` takes it.
      mode: ``exact``, or ``calibrated`` for seconds of kernels as measured, which may favour another one.

    Of two that cost the same, the one of fewer chips. Since what fits in BF16 fits in INT8, and is priced no
    higher there, smaller weights are never dearer.

    Raises ``InputError`` where nothing fits, or nothing is asked.
    """
    options = fitting(model, requests, chip, serving or Serving())
    if not options:
        raise InputError(_does_not_fit(model, requests, chip, serving or Serving()))
    found = [
        deployed(model, requests, chip, one, rule="cheapest", overlap=overlap, mode=mode) for one in options
    ]
    return min(found, key=lambda one: (one.chip_seconds, one.num_chips))


def deployed(
    model: ModelConfig,
    requests: Sequence[Requests],
    chip: Chip,
    serving: Serving,
    *,
    rule: str,
    overlap: str = "sum",
    mode: str = "exact",
) -> Deployment:
    """``serving`` as a deployment, with what it makes of ``requests``.

    Where chips of a copy are open, they are the fewest that leave half of HBM to the cache (as in ``price``).

    Raises ``InputError`` as ``price`` does.
    """
    count = chips_per_copy(model, chip, float(_contexts(requests).max()), serving)
    serving = dataclasses.replace(serving, tensor_parallel=count)
    costs = [cost_of(model, one, chip, serving, overlap, mode) for one in requests]
    batches = np.concatenate([np.ravel(np.broadcast_to(np.asarray(c.batch), c.seconds.shape)) for c in costs])
    tokens = np.concatenate(
        [
            np.ravel(np.broadcast_to(np.asarray(one.generated_tokens, float), cost.seconds.shape))
            for one, cost in zip(requests, costs, strict=True)
        ]
    )
    seconds = sum(float(cost.seconds.sum()) for cost in costs)
    ideal = sum(float(cost.eflops.sum()) for cost in costs)
    whole = ideal if mode == "exact" else seconds * costs[0].peak_flops
    flops = sum(float(np.broadcast_to(cost.compute_flops, cost.seconds.shape).sum()) for cost in costs)
    reads = float((tokens / batches).sum())
    return Deployment(
        model=model.name,
        chip=chip.name,
        rule=rule,
        serving=serving,
        batch=float(np.clip(tokens.sum() / reads if reads else batches.mean(), batches.min(), batches.max())),
        least_batch=float(batches.min()),
        most_batch=float(batches.max()),
        chip_seconds=seconds,
        peak_share=flops / whole if whole else 0.0,
    )


def cost_of(
    model: ModelConfig,
    requests: Requests,
    chip: Chip,
    serving: Serving,
    overlap: str = "sum",
    mode: str = "exact",
) -> Cost:
    """``price`` of requests under a deployment, mode ``exact`` or ``calibrated``."""
    fields = {field.name: getattr(serving, field.name) for field in dataclasses.fields(serving)}
    return price(model, *requests, chip=chip, mode=mode, overlap=overlap, **fields)


def _contexts(requests: Sequence[Requests]) -> np.ndarray:
    """Tokens of every finished sample, prompt and generation."""
    if not any(one.context.size for one in requests):
        raise InputError("a deployment is found for requests: give at least one")
    return np.concatenate([np.ravel(one.context) for one in requests])


def _does_not_fit(model: ModelConfig, requests: Sequence[Requests], chip: Chip, serving: Serving) -> str:
    longest = float(_contexts(requests).max())
    counts = [serving.tensor_parallel] if serving.tensor_parallel else chip_counts(model, chip)
    what = f"one sequence of {longest:,.0f} tokens"
    if serving.batch:
        what = f"{serving.batch:,.0f} sequences of the mean context, of up to {longest:,.0f} tokens,"
    weights = model.total_params * serving.weight_bytes / 2**30
    memory = counts[-1] * chip.hbm_bytes / 2**30
    return (
        f"{model.name} does not fit on {counts[-1]} × {chip.name} ({memory:.0f} GiB): {what} "
        f"beside {weights:.1f} GiB of weights; use a larger chip, int8 weights or "
        "KV, or other tensor_parallel and batch"
    )
