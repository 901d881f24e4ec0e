"""Plans without a pilot: what is assumed of arms and contrasts, so that it can be printed."""

import itertools
from collections.abc import Sequence

from kinetics_jax.costs import Chip, price
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.plans.arms import ASSUMED_WITHIN, Arm, Contrast
from kinetics_jax.shapes import presets

ACCURACY = 0.5
PROMPT = 200
TOKENS = 10_000
"""A reasoning model's answer; Qwen3-8B on AIME24 takes 10,754 tokens (docs/paper_facts.md, "Anchors")."""
CORRELATION = {"policies": 0.9, "models": 0.5}
"""Of p(q) over questions: one model under two policies, and two models."""
ASSUMPTIONS = (
    f"half of all samples are right; {ASSUMED_WITHIN:.0%} of a sample's variance is luck, the rest is the "
    "question",
    f"chances of two policies of one model correlate by {CORRELATION['policies']} over questions, those of "
    f"two models by {CORRELATION['models']}",
)


def assumed_arms(
    models: Sequence[str], policies: Sequence[Policy], chip: Chip, tokens: int = TOKENS
) -> list[Arm]:
    """Every model under every policy, as assumed. Raises ``InputError`` for what does not fit the chip."""
    whole = ACCURACY * (1 - ACCURACY)
    return [
        Arm(
            label=f"{presets[model].name} {policy.label}",
            model=presets[model].name,
            policy=policy.label,
            cap=None,
            accuracy=ACCURACY,
            within=ASSUMED_WITHIN * whole,
            seconds=float(price(presets[model], policy, PROMPT, tokens, chip=chip).seconds),
        )
        for model in models
        for policy in policies
    ]


def assumed_contrasts(arms: Sequence[Arm]) -> list[Contrast]:
    """Every pair, or the one arm alone: σ_b² = 2·σ²·(1 − correlation), or σ² of the arm."""
    each = (1 - ASSUMED_WITHIN) * ACCURACY * (1 - ACCURACY)
    if len(arms) == 1:
        return [Contrast((arms[0],), each, assumed=ASSUMPTIONS)]
    found = []
    for first, second in itertools.combinations(arms, 2):
        same = CORRELATION["policies" if first.model == second.model else "models"]
        found.append(Contrast((first, second), 2 * each * (1 - same), assumed=ASSUMPTIONS))
    return found
