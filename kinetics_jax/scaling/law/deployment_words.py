"""What a law was priced on, in words: the chips of a copy and the batch that stand beside each law."""

from collections.abc import Sequence

from kinetics_jax.costs import Deployment
from kinetics_jax.scaling.law.results import Law

RULES = {
    "cheapest": "the cheapest that fits",
    "fewest_chips": "the fewest chips that leave half of the memory to the cache",
    "as_run": "what the records say they ran on",
    "sensitivity": "as asked",
}


def priced_for(law: Law) -> str:
    """One sentence that follows another; empty in cost modes whose weights are free.

    Models that are deployed alike stand together; a batch that differs from sample to sample is the one that
    reads the weights as often.
    """
    if not law.deployments:
        return ""
    alike: dict[str, list[Deployment]] = {}
    for one in law.deployments:
        alike.setdefault(_copy(one), []).append(one)
    parts = [f"{words} ({_models(found)})" for words, found in alike.items()]
    return f" Priced for {RULES[law.deployments[0].rule]}: {'; '.join(parts)}."


def _copy(one: Deployment) -> str:
    chips = f"{one.num_chips} chip{'s' * (one.num_chips != 1)} a copy"
    dtypes = one.serving.weight_dtype, one.serving.kv_dtype
    odd = "" if set(dtypes) == {"bfloat16"} else f", {dtypes[0]} weights, {dtypes[1]} KV"
    return chips + odd


def _models(found: Sequence[Deployment]) -> str:
    named = [f"{one.batch:,.0f} for {one.model}{f', {one.policy}' if one.policy else ''}" for one in found]
    if len(named) > MOST_NAMED:
        low, high = min(one.batch for one in found), max(one.batch for one in found)
        return f"{len(found)} models at a batch of {low:,.0f} to {high:,.0f}"
    return f"batch {', '.join(named)}"


MOST_NAMED = 4
"""Models that are named one by one; of more, the span of their batches is said."""
