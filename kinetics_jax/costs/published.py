"""The paper's cost model three ways: as printed, as its scripts compute it, and summed step by step.

All three share the paper's terms and constants: weights read for free, no prefill, the prompt's KV read
once for N dense trials but N times for N sparse ones, BF16 bytes against an FP8 peak. What differs is
noted where it differs; facts §1.4 lists the effects. Arrays broadcast; results are in FLOP and byte.
Symbols: P params · D = 2·L·K·H KV elements a token · r = N/K · B budget · BS block size.
"""

import numpy as np

from kinetics_jax.costs.cost import Term
from kinetics_jax.spec import ModelConfig, Policy

Terms = dict[str, Term]


def _linear(params: float, trials: np.ndarray, generated: np.ndarray) -> Term:
    """2·P·N·L_out FLOPs; the weights' bytes are dropped (paper §2, a large serving batch)."""
    return Term(flops=2 * params * trials * generated)


def _dense(
    model: ModelConfig, twice_prompt: np.ndarray, twice_own: np.ndarray, trials: np.ndarray
) -> Term:
    """Eqs. (1), (2) from twice the sums over prompt (2·L_in·L) and own tokens (L² or L(L−1))."""
    D, r = model.kv_elements_per_token, model.queries_per_kv
    return Term(
        flops=r * D * trials * (twice_prompt + twice_own),
        bytes=D * (twice_prompt + trials * twice_own),
    )


def _sparse(model: ModelConfig, reads: np.ndarray, trials: np.ndarray) -> Term:
    """Eq. (8) from the tokens read per KV head; each trial reads its own."""
    D, r = model.kv_elements_per_token, model.queries_per_kv
    return Term(flops=2 * r * D * trials * reads, bytes=2 * D * trials * reads)


def paper_terms(
    model: ModelConfig,
    policy: Policy,
    params: float,
    prompt: np.ndarray,
    generated: np.ndarray,
    trials: np.ndarray,
) -> Terms:
    """Equations (1), (2), (8) and (9) as printed: K = B·L_out whatever the prompt, r missing in (9)."""
    D, r = model.kv_elements_per_token, model.queries_per_kv
    terms = {"linear": _linear(params, trials, generated), "attention": Term(), "search": Term()}
    if policy.kv_budget is None:
        terms["attention"] = _dense(model, 2 * prompt * generated, generated**2, trials)
        return terms
    terms["attention"] = _sparse(model, policy.kv_budget * generated, trials)
    if policy.search_interval is not None:
        twice_prompt, twice_own = 2 * prompt * generated, generated**2
        terms["search"] = Term(
            flops=trials * D * (twice_prompt + r * twice_own) / (2 * policy.search_interval),
            bytes=D * (twice_prompt + trials * twice_own) / (2 * policy.search_interval),
        )
    return terms


def reference_terms(
    model: ModelConfig,
    policy: Policy,
    params: float,
    prompt: np.ndarray,
    generated: np.ndarray,
    trials: np.ndarray,
) -> Terms:
    """The released scripts, bug for bug (facts §1.3).

    For a budget above the prompt, top-k adds ½(B − L_in)² reads where the sum would subtract them;
    block top-k subtracts, unguarded for short generations, so its bytes can be negative. Search
    floors (2·L_in + L_out)/BS once, not per step.
    """
    D, r = model.kv_elements_per_token, model.queries_per_kv
    terms = {"linear": _linear(params, trials, generated), "attention": Term(), "search": Term()}
    if policy.kv_budget is None:
        terms["attention"] = _dense(model, 2 * prompt * generated, generated**2, trials)
        return terms
    excess = 0.5 * np.maximum(0, policy.kv_budget - prompt) ** 2
    sign = 1 if policy.search_interval is None else -1
    terms["attention"] = _sparse(model, policy.kv_budget * generated + sign * excess, trials)
    if policy.search_interval is not None:
        own = (2 * prompt + generated) // policy.search_interval
        shared = (2 * prompt + trials * generated) // policy.search_interval
        terms["search"] = Term(
            flops=trials * own * generated * r * D / 2, bytes=shared * generated * D / 2
        )
    return terms


def summed_terms(
    model: ModelConfig,
    policy: Policy,
    params: float,
    prompt: np.ndarray,
    generated: np.ndarray,
    trials: np.ndarray,
) -> Terms:
    """The same terms summed exactly: Σ min(B, L_in + t) reads and Σ ⌊(L_in + t)/BS⌋ summaries."""
    D, r = model.kv_elements_per_token, model.queries_per_kv
    own = generated * (generated - 1)
    terms = {"linear": _linear(params, trials, generated), "attention": Term(), "search": Term()}
    if policy.kv_budget is None:
        terms["attention"] = _dense(model, 2 * prompt * generated, own, trials)
        return terms
    terms["attention"] = _sparse(
        model, _sum_of_minimum(policy.kv_budget, prompt, generated), trials
    )
    if policy.search_interval is not None:
        size = policy.search_interval
        each = _sum_of_floors(prompt + generated, size) - _sum_of_floors(prompt, size)
        shared = generated * (prompt // size) + trials * _sum_of_floors(generated, size)
        terms["search"] = Term(flops=trials * each * r * D, bytes=shared * D)
    return terms


def _sum_of_minimum(budget: int, prompt: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Σ_{t<steps} min(budget, prompt + t)."""
    growing = np.clip(budget - prompt, 0, steps)
    return growing * prompt + growing * (growing - 1) // 2 + (steps - growing) * budget


def _sum_of_floors(count: np.ndarray, size: int) -> np.ndarray:
    """Σ_{s<count} ⌊s/size⌋."""
    whole, rest = count // size, count % size
    return size * (whole * (whole - 1) // 2) + whole * rest
