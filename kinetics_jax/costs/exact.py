"""The cost of what a serving engine really does, term by term. Sums over steps, nothing in closed form.

A request is a prompt of L_in tokens and N samples of L generated tokens. Prefill runs over the first
L_in − 1 tokens; each decode step t = 0 … L−1 then has a context of L_in + t. Assumptions, each a field
of ``Serving``: samples of one prompt decode together (prompt KV read once), prefill rides on steps whose
weights are read anyway, tensor parallelism by ring all-reduce, activations stay on chip.
Symbols: D = 2·L·K·H KV elements a token · r = N/K query heads a KV head.
"""

import dataclasses

import numpy as np

from kinetics_jax.costs.cost import Term
from kinetics_jax.costs.request import Request
from kinetics_jax.costs.serving import Serving, kv_copies
from kinetics_jax.costs.step_sums import StepSums
from kinetics_jax.policies import Dense

_ACTIVATION_BYTES = 2.0
_SUMMARY_BYTES = 2.0


@dataclasses.dataclass(frozen=True)
class Workload:
    """A request and how it is served."""

    request: Request
    serving: Serving
    num_chips: int
    batch: np.ndarray

    @property
    def prefilled(self) -> np.ndarray:
        """Prompt tokens before the one whose logits give the first generated token."""
        return np.maximum(self.request.prompt - 1, 0) * (1 if self.serving.prefill else 0)

    @property
    def kv_copies(self) -> float:
        """How often each KV head is stored over the chips."""
        return kv_copies(self.request.model, self.num_chips)

    @property
    def kv_element_bytes(self) -> float:
        """Bytes moved per KV element, copies on several chips included."""
        return self.serving.kv_bytes * self.kv_copies


def exact_terms(work: Workload) -> dict[str, Term]:
    """All terms, by name: linear, experts, attention, search, prefill, kv_write, collectives."""
    return {
        "linear": _linear(work),
        "experts": _experts(work),
        "attention": _attention(work),
        "search": _search(work),
        "prefill": _prefill(work),
        "kv_write": Term(bytes=work.request.decoded * work.request.D * work.kv_element_bytes),
        "collectives": _collectives(work),
    }


def _linear(work: Workload) -> Term:
    """Matmuls with weights every token uses; their bytes are read once a step for the whole batch."""
    request, model = work.request, work.request.model
    routed = model.moe.experts_per_token * model.expert_params if model.moe else 0
    params = model.matmul_params - model.num_moe_layers * routed
    read = params * work.serving.weight_bytes / work.batch
    return Term(flops=2 * params * request.decoded, bytes=read * request.decoded)


def _experts(work: Workload) -> Term:
    """Routed experts: k a token to compute, E(1 − (1 − k/E)^b) expected distinct a step to read."""
    request, moe = work.request, work.request.model.moe
    if moe is None:
        return Term()
    distinct = moe.num_experts * (1 - (1 - moe.experts_per_token / moe.num_experts) ** work.batch)
    one_per_layer = request.model.num_moe_layers * request.model.expert_params
    read = distinct * one_per_layer * work.serving.weight_bytes / work.batch
    return Term(
        flops=2 * moe.experts_per_token * one_per_layer * request.decoded, bytes=read * request.decoded
    )


def dense_share(work: Workload) -> float:
    """Share of the layers that are kept dense whatever the policy."""
    layers = work.request.model.num_layers
    return min(work.request.policy.num_dense_layers, layers) / layers


def _attention(work: Workload) -> Term:
    """Scores and values of the tokens that are read: 2·r·D FLOPs and D elements each."""
    request, dense = work.request, dense_share(work)
    flops: np.ndarray | float = 0.0
    elements: np.ndarray | float = 0.0
    for share, policy in ((dense, Dense()), (1 - dense, request.policy)):
        if share:
            sums = StepSums(policy, request, share_prefix=work.serving.share_prefix)
            flops = flops + share * 2 * request.r * request.D * request.trials * sums.reads()
            elements = elements + share * request.D * sums.distinct_reads()
    return Term(flops=flops, bytes=elements * work.kv_element_bytes)


def _search(work: Workload) -> Term:
    """Scoring of key summaries, or of every key for a true top-k; the K side only, D/2 elements."""
    request, sums = work.request, StepSums(work.request.policy, work.request, work.serving.share_prefix)
    share = 1 - dense_share(work)
    if not request.policy.is_oracle:
        read_bytes = sums.distinct_summaries() * _SUMMARY_BYTES * work.kv_copies
        scored = request.trials * sums.summaries()
    elif work.serving.oracle_search:
        every = StepSums(Dense(), request, work.serving.share_prefix)
        # Keys that attention reads anyway are not read twice.
        unread = np.maximum(every.distinct_reads() - sums.distinct_reads(), 0)
        read_bytes = unread * work.kv_element_bytes
        scored = request.trials * (every.reads() - sums.reads())
    else:
        return Term()
    return Term(flops=share * request.r * request.D * scored, bytes=share * request.D / 2 * read_bytes)


def _prefill(work: Workload) -> Term:
    """The prompt once: layer matmuls, causal attention, and its KV written. Weights ride along."""
    request, tokens = work.request, work.prefilled
    layers = request.model.matmul_params - request.model.embedding_params
    pairs = tokens * (tokens + 1) / 2
    return Term(
        flops=2 * layers * tokens + 2 * request.r * request.D * pairs,
        bytes=request.D * tokens * work.kv_element_bytes,
    )


def _collectives(work: Workload) -> Term:
    """Two ring all-reduces of the residual stream a layer and token: 2(t − 1) copies of it sent."""
    model, tokens = work.request.model, work.request.decoded + work.prefilled
    sent = 2 * (work.num_chips - 1) * model.model_dim * _ACTIVATION_BYTES
    return Term(wire_bytes=2 * model.num_layers * sent * tokens)
