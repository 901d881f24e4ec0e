"""The paper's cost model three ways: as printed, as its scripts compute it, and summed step by step.

All three share the paper's terms and constants: weights read for free, no prefill, the prompt's KV read
once for N dense trials but N times for N sparse ones, BF16 bytes against an FP8 peak. What differs is
noted where it differs; docs/paper_facts.md, "Discrepancies" lists the effects. Results are in FLOP and byte.
Symbols: P params · D = 2·L·K·H KV elements a token · r = N/K · B budget · BS block size.
"""

import numpy as np

from kinetics_jax.costs.cost import Term
from kinetics_jax.costs.request import Request

Terms = dict[str, Term]


def paper_terms(request: Request, params: float) -> Terms:
    """Equations (1), (2), (8) and (9) as printed: K = B·L_out whatever the prompt, r missing in (9)."""
    budget, size = request.policy.kv_budget, request.policy.search_interval
    twice_prompt, twice_own = 2 * request.prompt * request.generated, request.generated**2
    if budget is None:
        return _terms(request, params, _dense(request, twice_prompt, twice_own))
    attention = _sparse(request, budget * request.generated)
    if size is None:
        return _terms(request, params, attention)
    search = Term(
        flops=request.trials * request.D * (twice_prompt + request.r * twice_own) / (2 * size),
        bytes=request.D * (twice_prompt + request.trials * twice_own) / (2 * size),
    )
    return _terms(request, params, attention, search)


def reference_terms(request: Request, params: float) -> Terms:
    """The released scripts, bug for bug (docs/paper_facts.md, "Released scripts").

    For a budget above the prompt, top-k adds ½(B − L_in)² reads where the sum would subtract them;
    block top-k subtracts, unguarded for short generations, so its bytes can be negative. Search
    floors (2·L_in + L_out)/BS once, not per step.
    """
    budget, size = request.policy.kv_budget, request.policy.search_interval
    if budget is None:
        return paper_terms(request, params)
    excess = 0.5 * np.maximum(0, budget - request.prompt) ** 2
    if size is None:
        return _terms(request, params, _sparse(request, budget * request.generated + excess))
    own = (2 * request.prompt + request.generated) // size
    shared = (2 * request.prompt + request.trials * request.generated) // size
    search = Term(
        flops=request.trials * own * request.generated * request.r * request.D / 2,
        bytes=shared * request.generated * request.D / 2,
    )
    return _terms(request, params, _sparse(request, budget * request.generated - excess), search)


def summed_terms(request: Request, params: float) -> Terms:
    """The same terms summed exactly: Σ min(B, L_in + t) reads and Σ ⌊(L_in + t)/BS⌋ summaries."""
    budget, size = request.policy.kv_budget, request.policy.search_interval
    if budget is None:
        twice_own = request.generated * (request.generated - 1)
        return _terms(request, params, _dense(request, 2 * request.prompt * request.generated, twice_own))
    attention = _sparse(request, _sum_of_minimum(budget, request.prompt, request.generated))
    if size is None:
        return _terms(request, params, attention)
    each = _sum_of_floors(request.context, size) - _sum_of_floors(request.prompt, size)
    own = _sum_of_floors(request.generated, size)
    shared = request.generated * (request.prompt // size) + request.trials * own
    search = Term(flops=request.trials * each * request.r * request.D, bytes=shared * request.D)
    return _terms(request, params, attention, search)


def _terms(request: Request, params: float, attention: Term, search: Term | None = None) -> Terms:
    """All terms by name. Linear is 2·P·N·L_out; its bytes are dropped (paper §2, a large batch)."""
    linear = Term(flops=2 * params * request.trials * request.generated)
    return {"linear": linear, "attention": attention, "search": search or Term()}


def _dense(request: Request, twice_prompt: np.ndarray, twice_own: np.ndarray) -> Term:
    """Eqs. (1), (2) from twice the sums over prompt (2·L_in·L) and own tokens (L² or L(L−1))."""
    return Term(
        flops=request.r * request.D * request.trials * (twice_prompt + twice_own),
        bytes=request.D * (twice_prompt + request.trials * twice_own),
    )


def _sparse(request: Request, reads: np.ndarray) -> Term:
    """Eq. (8) from the tokens read per KV head; each trial reads its own."""
    elements = 2 * request.D * request.trials * reads
    return Term(flops=request.r * elements, bytes=elements)


def _sum_of_minimum(budget: int, prompt: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Σ_{t<steps} min(budget, prompt + t)."""
    growing = np.clip(budget - prompt, 0, steps)
    return growing * prompt + growing * (growing - 1) // 2 + (steps - growing) * budget


def _sum_of_floors(count: np.ndarray, size: int) -> np.ndarray:
    """Σ_{s<count} ⌊s/size⌋."""
    whole, rest = count // size, count % size
    return size * (whole * (whole - 1) // 2) + whole * rest
