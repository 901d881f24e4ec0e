"""From which context on each policy of a run pays on each chip, by calibrated prices. Axis: B batches."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from kinetics_jax.costs import Chip, Serving, break_even, chips_per_copy, feasible_batch
from kinetics_jax.costs.break_even import LONGEST
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.law.break_even_results import BreakEven
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.shapes import ModelConfig

BATCHES = tuple(2.0**power for power in range(11))
MOST_MODELS, MOST_POLICIES = 4, 3


def break_evens(
    families: Sequence[Family],
    chips: Sequence[Chip],
    options: LawOptions,
    usual: Sequence[ModelConfig],
    policy: Policy,
) -> tuple[tuple[BreakEven, ...], list[str]]:
    """Models and sparse policies of the traces on every chip, and the chips that cannot be said of.

    Args:
      families: of a run; of more than ``MOST_MODELS`` shapes, those spread evenly over the sizes.
      chips: on what.
      options: whose dtypes and chips of a copy are taken.
      usual: models where there are no traces.
      policy: where no trace is sparse.
    """
    shapes: dict[str, ModelConfig] = {}
    for family in families:  # fine-tunes share a shape: the first stands for it, by its own name
        for name, shape in family.shapes.items():
            shapes.setdefault(shape.name, dataclasses.replace(shape, name=name))
    models = _spread(sorted(shapes.values() or usual, key=lambda shape: shape.total_params))
    used = {cell.policy.label: cell.policy for family in families for cell in family.cells}
    policies = [one for one in used.values() if one.kv_budget is not None][:MOST_POLICIES] or [policy]
    found: list[BreakEven] = []
    refused = []
    for chip in chips:
        try:
            found += [_one(m, one, chip, options.serving) for m in models for one in policies]
        except InputError as error:
            refused.append(f"no break-even on {chip.name}: {error}")
    return tuple(found), refused


def _spread(models: Iterable[ModelConfig]) -> list[ModelConfig]:
    every = list(models)
    at = np.linspace(0, len(every) - 1, min(MOST_MODELS, len(every))).round().astype(int)
    return [every[i] for i in dict.fromkeys(at.tolist())]


def _one(model: ModelConfig, policy: Policy, chip: Chip, serving: Serving) -> BreakEven:
    count = chips_per_copy(model, chip, 1, serving)
    serving = dataclasses.replace(serving, tensor_parallel=count)
    batches = np.array(BATCHES)
    eff = chip.reached("search", "any")
    return BreakEven(
        chip=chip.name,
        chip_label=chip.label or chip.name,
        model=model.name,
        policy=policy.label,
        num_chips=count,
        batch=batches,
        context=break_even(model, policy, chip, batches, serving=serving),
        most_context=np.floor(_tokens(model, chip, count, serving) / batches),
        longest=LONGEST,
        assumed=eff.basis == "assumed",
    )


def _tokens(model: ModelConfig, chip: Chip, count: int, serving: Serving) -> float:
    """Tokens of all sequences together that fit beside the weights."""
    return float(
        feasible_batch(model, chip, 1, num_chips=count, serving=dataclasses.replace(serving, page_size=None))
    )


def break_even_sentences(found: Sequence[BreakEven]) -> tuple[str, ...]:
    """One a chip: the context at batches of 1 and 64, and where ``min_context`` would lie."""
    said = []
    for chip in dict.fromkeys(one.chip for one in found):
        mine = [one for one in found if one.chip == chip]
        parts = [
            f"{policy} from {_span([one for one in mine if one.policy == policy], 1)} on at batch 1 and "
            f"{_span([one for one in mine if one.policy == policy], 64)} at batch 64"
            for policy in dict.fromkeys(one.policy for one in mine)
        ]
        kind = "assumed" if mine[0].assumed else "measured"
        said.append(
            f"By calibrated prices on {mine[0].chip_label}, attention of a step is cheaper than dense under "
            f"{'; '.join(parts)} ({kind} constants of search); below, min_context keeps it dense."
        )
    return tuple(said)


def _span(found: Sequence[BreakEven], batch: float) -> str:
    values = [float(one.context[list(one.batch).index(batch)]) for one in found]
    low, high = (f"{value:,.0f}" if np.isfinite(value) else "no" for value in (min(values), max(values)))
    return f"{low} tokens" if low == high else f"{low} to {high} tokens"
