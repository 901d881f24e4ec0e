"""The cost of what a serving engine really does, term by term. Sums over steps, nothing in closed form.

A question is a prompt of L_in tokens and N samples of L generated tokens. Prefill runs over the first
L_in − 1 tokens; each decode step t = 0 … L−1 then has a context of L_in + t. Assumptions, each a field
of ``Serving``: samples of one prompt decode together (prompt KV read once), prefill rides on steps whose
weights are read anyway, tensor parallelism by ring all-reduce, activations stay on chip.
Symbols: D = 2·L·K·H KV elements a token · r = N/K query heads a KV head.
"""

import dataclasses

import numpy as np

from kinetics_jax.costs.chip import Chip
from kinetics_jax.costs.cost import Term
from kinetics_jax.costs.serving import Serving, kv_copies
from kinetics_jax.costs.step_sums import StepSums
from kinetics_jax.spec import Dense, ModelConfig, Policy

_ACTIVATION_BYTES = 2.0
_SUMMARY_BYTES = 2.0


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is priced: integer arrays that broadcast together, and the deployment."""

    model: ModelConfig
    policy: Policy
    prompt: np.ndarray
    generated: np.ndarray
    trials: np.ndarray
    serving: Serving
    chip: Chip
    num_chips: int
    batch: np.ndarray

    @property
    def decoded(self) -> np.ndarray:
        """Tokens decoded over all samples."""
        return self.trials * self.generated

    @property
    def prefilled(self) -> np.ndarray:
        """Prompt tokens before the one whose logits give the first generated token."""
        return np.maximum(self.prompt - 1, 0) * (1 if self.serving.prefill else 0)

    @property
    def kv_element_bytes(self) -> float:
        """Bytes moved per KV element, copies on several chips included."""
        return self.serving.kv_bytes * kv_copies(self.model, self.num_chips)


def exact_terms(work: Workload) -> dict[str, Term]:
    """All terms, by name: linear, experts, attention, search, prefill, kv_write, collectives."""
    return {
        "linear": _linear(work),
        "experts": _experts(work),
        "attention": _attention(work),
        "search": _search(work),
        "prefill": _prefill(work),
        "kv_write": Term(
            bytes=work.decoded * work.model.kv_elements_per_token * work.kv_element_bytes
        ),
        "collectives": _collectives(work),
    }


def _linear(work: Workload) -> Term:
    """Matmuls with weights every token uses; their bytes are read once a step for the whole batch."""
    model = work.model
    routed = model.moe.experts_per_token * model.expert_params if model.moe else 0
    params = model.matmul_params - model.num_layers * routed
    read = params * work.serving.weight_bytes / work.batch
    return Term(flops=2 * params * work.decoded, bytes=read * work.decoded)


def _experts(work: Workload) -> Term:
    """Routed experts: k a token to compute, E(1 − (1 − k/E)^b) expected distinct a step to read."""
    moe, model = work.model.moe, work.model
    if moe is None:
        return Term()
    distinct = moe.num_experts * (1 - (1 - moe.experts_per_token / moe.num_experts) ** work.batch)
    per_layer = model.num_layers * model.expert_params
    read = distinct * per_layer * work.serving.weight_bytes / work.batch
    return Term(
        flops=2 * moe.experts_per_token * per_layer * work.decoded, bytes=read * work.decoded
    )


def _split_layers(work: Workload) -> tuple[float, float]:
    """Shares of the layers that are kept dense and that follow the policy."""
    dense = min(work.policy.num_dense_layers, work.model.num_layers) / work.model.num_layers
    return dense, 1 - dense


def _attention(work: Workload) -> Term:
    """Scores and values of the tokens that are read: 2·r·D FLOPs and D elements each."""
    D, r = work.model.kv_elements_per_token, work.model.queries_per_kv
    flops: np.ndarray | float = 0.0
    elements: np.ndarray | float = 0.0
    for share, policy in zip(_split_layers(work), (Dense(), work.policy), strict=True):
        if share:
            sums = StepSums(policy, work.prompt, work.generated)
            each = sums.reads()
            if work.serving.share_prefix:
                read = sums.distinct_reads(work.trials)
            else:
                read = work.trials * each
            flops = flops + share * 2 * r * D * work.trials * each
            elements = elements + share * D * read
    return Term(flops=flops, bytes=elements * work.kv_element_bytes)


def _search(work: Workload) -> Term:
    """Scoring of key summaries (K side only: D/2 elements each), or of every key for a true top-k."""
    D, r = work.model.kv_elements_per_token, work.model.queries_per_kv
    share = _split_layers(work)[1]
    sums = StepSums(work.policy, work.prompt, work.generated)
    if work.policy.is_oracle:
        if not work.serving.oracle_search:
            return Term()
        # Keys that attention reads anyway are not read twice.
        context = StepSums(Dense(), work.prompt, work.generated)
        scored = work.trials * (context.reads() - sums.reads())
        if work.serving.share_prefix:
            distinct = context.distinct_reads(work.trials) - sums.distinct_reads(work.trials)
        else:
            distinct = scored
        return Term(
            flops=share * r * D * scored,
            bytes=share * D / 2 * np.maximum(distinct, 0) * work.kv_element_bytes,
        )
    scored = work.trials * sums.summaries()
    distinct = sums.distinct_summaries(work.trials) if work.serving.share_prefix else scored
    copies = kv_copies(work.model, work.num_chips)
    return Term(
        flops=share * r * D * scored, bytes=share * D / 2 * distinct * _SUMMARY_BYTES * copies
    )


def _prefill(work: Workload) -> Term:
    """The prompt once: layer matmuls, causal attention, and its KV written. Weights ride along."""
    model, tokens = work.model, work.prefilled
    D, r = model.kv_elements_per_token, model.queries_per_kv
    layers = model.matmul_params - model.embedding_params
    pairs = tokens * (tokens + 1) / 2
    return Term(
        flops=2 * layers * tokens + 2 * r * D * pairs, bytes=D * tokens * work.kv_element_bytes
    )


def _collectives(work: Workload) -> Term:
    """Two ring all-reduces of the residual stream a layer and token: 2(t − 1) copies of D sent."""
    if work.num_chips == 1:
        return Term()
    tokens = work.decoded + work.prefilled
    each = 2 * (work.num_chips - 1) * work.model.model_dim * _ACTIVATION_BYTES
    return Term(wire_bytes=2 * work.model.num_layers * each * tokens)
