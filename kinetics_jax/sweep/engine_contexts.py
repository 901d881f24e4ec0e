"""The context of the engine that each task is decoded with: one rule for the plan and for the run. No JAX."""

from collections.abc import Mapping

from kinetics_jax.shapes import ModelConfig
from kinetics_jax.sweep.experiment import ModelChoice

CONTEXT_STEP = 64
"""Contexts are rounded up to this many tokens."""
_NEAR = 0.75
"""A task joins an engine whose context it fills to this share: less is lost than a compilation takes."""


def rounded_up(tokens: int, config: ModelConfig) -> int:
    """``tokens`` rounded up to ``CONTEXT_STEP``, as far as the model's own context allows."""
    rounded = -(-tokens // CONTEXT_STEP) * CONTEXT_STEP
    return max(tokens, min(rounded, config.max_context))


def shared_contexts(choice: ModelChoice, needed: Mapping[str, int]) -> dict[str, int]:
    """Task → context of its engine, from the context that its longest prompt and its cap need.

    How many samples run at once is what the memory holds of *full* contexts, so a short task beside a long
    one gets an engine of its own. Tasks of nearly one length share one, and so do all tasks where
    the number of slots is given: a shorter context would make room for nothing.
    """
    contexts: dict[str, int] = {}
    for task in sorted(needed, key=lambda name: needed[name], reverse=True):
        at_hand = min(contexts.values(), default=needed[task])
        near = choice.slice.slots is not None or needed[task] >= _NEAR * at_hand
        contexts[task] = at_hand if near else needed[task]
    return {task: contexts[task] for task in needed}
