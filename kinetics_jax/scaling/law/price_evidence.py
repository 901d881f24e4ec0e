"""How far the prices of a law were ever off: from the very prices that its traces have."""

from collections.abc import Callable, Sequence

from kinetics_jax.costs import Chip, Cost, PriceEvidence, price, price_evidence
from kinetics_jax.policies import Dense, Policy
from kinetics_jax.scaling.traces.independent_trials import Cell
from kinetics_jax.shapes import ModelConfig


def law_evidence(
    cells: Sequence[Cell], cost: Callable[..., Cost], project: Policy | None = None
) -> PriceEvidence:
    """Of a family's prices, one trace a cell.

    Args:
      cells: what is priced.
      cost: of requests of a model, by (name, policy, prompt, generated, trials).
      project: a policy that dense cells are priced with besides their own.
    """
    found = []
    for cell in cells:
        prompts, lengths = cell.prompt_tokens[:1], cell.generated_tokens[:1, 0]
        policies = [cell.policy] + [project] * (project is not None and cell.policy.kv_budget is None)
        found += [cost(cell.model, policy, prompts, lengths, 1) for policy in policies]
    return price_evidence(found)


def shape_evidence(model: ModelConfig, sparse: Policy, chips: Sequence[Chip]) -> tuple[PriceEvidence, ...]:
    """Of what is priced without traces: data sheets of all chips, for one token of ``model``."""
    return tuple(
        price_evidence(
            [
                price(model, policy, 1, 1, chip=chip, tensor_parallel=1, batch=1)
                for policy in (Dense(), sparse)
            ]
        )
        for chip in chips
    )
