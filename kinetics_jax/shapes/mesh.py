"""Which ways of spreading a model over devices split it: what the plan, the engine and the fit table ask.

Axis letters: N query heads · K KV heads · F ffn dim · E experts.
"""

import math

from kinetics_jax.errors import InputError
from kinetics_jax.shapes.model_config import ModelConfig


def misfit(config: ModelConfig, *, model: int = 1, expert: int = 1) -> str:
    """Why a model cannot be split ``model`` ways by tensor parallelism and ``expert`` ways by experts.

    Empty where it can be: N, F and E divide, and a device's query heads read whole KV heads or share one
    with other devices (K divides by ``model``, or ``model`` by K).
    """
    N, K = config.num_query_heads, config.num_kv_heads
    E = config.moe.num_experts if config.moe else 1
    F = math.gcd(
        config.moe.expert_dim if config.moe else 0, config.ffn_dim if config.num_dense_ffn_layers else 0
    )
    if N % model:
        return f"model={model} does not divide its {N} query heads"
    if K % model and model % K:
        return f"model={model} and its {K} KV heads do not divide one another"
    if F % model:
        return f"model={model} does not divide its ffn dim of {F}"
    if E == 1 and expert > 1:
        return f"expert={expert}, but it has no experts; spread sequences with data={expert}"
    return f"expert={expert} does not divide its {E} experts" if E % expert else ""


def check_mesh(config: ModelConfig, *, model: int = 1, expert: int = 1) -> None:
    """Raise ``InputError`` with the reason of ``misfit`` and the ways that there are."""
    reason = misfit(config, model=model, expert=expert)
    if reason:
        ways = [n for n in range(1, config.num_query_heads + 1) if not misfit(config, model=n)]
        known = ", ".join(map(str, ways))
        raise InputError(f"{config.name} cannot be split so: {reason} (model may be {known})")
