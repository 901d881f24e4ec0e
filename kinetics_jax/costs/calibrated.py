"""Seconds of a request on kernels as they were measured, term by term: floors, shares, and their evidence.

A decode step of b sequences on t chips makes the calls of ``_step``; it takes as long however few of them are
one request's, so that a request is charged t ÷ b of every step that it takes part in. What grows with tokens
read (K and V, summaries) is priced from the bytes of the ideal terms, over the share of the bandwidth that
its kernels reach. Nothing overlaps: kernels of one step run one after another.
Symbols: b sequences a step · t chips of a copy · S context · N, K query and KV heads · D, F, E, V as ever.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from kinetics_jax.chips.chip import Chip
from kinetics_jax.chips.efficiency import ANY, Efficiency
from kinetics_jax.costs import efficiency
from kinetics_jax.costs.cost import Steps, Term, Timed
from kinetics_jax.costs.exact import Workload, dense_share
from kinetics_jax.costs.serving import Serving
from kinetics_jax.costs.step_sums import StepSums
from kinetics_jax.shapes import ModelConfig

_ACTIVATION_BYTES = 2.0
_STEP_LAUNCHES = 4
"""Small kernels of a step beside its layers: embedding, last norm, sampling's two."""


class _Kernels(NamedTuple):
    """What calls of one deployment are made of."""

    model: ModelConfig
    chip: Chip
    serving: Serving
    chips: int

    @property
    def dtype(self) -> str:
        """Format of dense matmuls."""
        return self.serving.compute_dtype

    @property
    def expert_dtype(self) -> str:
        """Format of matmuls of a model with experts, whose FP8 checkpoints have a scale a block of 128²."""
        return "fp8_block" if self.model.moe and self.dtype == "fp8" else self.dtype

    def reached(self, op: str, dtype: str = "") -> Efficiency:
        """The chip's constants for a kernel; ``dtype`` where it has formats."""
        return self.chip.reached(op, efficiency.measured_format(dtype) if dtype else ANY)

    def experts(self) -> efficiency.Experts:
        """Routed experts of one layer, each cut over all chips of the copy."""
        assert self.model.moe, "a model with experts"
        moe = self.model.moe
        dims = (self.model.model_dim, moe.expert_dim, moe.experts_per_token, moe.num_experts)
        return efficiency.Experts(*dims, tp=self.chips)

    def matmuls(self) -> list[tuple[int, float, float]]:
        """Matmuls of one step that every decoded token passes: those of the layers, and the output."""
        return [*self.layer_matmuls(), (1, self.model.vocab_size / self.chips, float(self.model.model_dim))]

    def layer_matmuls(self) -> list[tuple[int, float, float]]:
        """Matmuls of all layers that every token passes, on one chip: calls, outputs n, inner dimension k."""
        model, t = self.model, self.chips
        heads, kv = model.num_query_heads / t, max(model.num_kv_heads / t, 1)
        dense = model.num_layers - model.num_moe_layers
        found = [
            (model.num_layers, (heads + 2 * kv) * model.head_dim, model.model_dim),
            (model.num_layers, model.model_dim, heads * model.head_dim),
        ]
        if dense:
            found += [
                (dense, 2 * model.ffn_dim / t, model.model_dim),
                (dense, model.model_dim, model.ffn_dim / t),
            ]
        if model.moe:
            found += [(model.num_moe_layers, model.moe.num_experts, model.model_dim)]
        return [(calls, float(n), float(k)) for calls, n, k in found]

    def small_launches(self) -> float:
        """Norms, rotation and the gate's product of one step: kernels that move activations."""
        model = self.model
        dense = model.num_layers - model.num_moe_layers
        return (3 + model.qk_norm) * model.num_layers + dense + _STEP_LAUNCHES

    def small_bytes(self) -> float:
        """Bytes of activations that these move a token, over all chips; norms run on every chip."""
        model = self.model
        dense = model.num_layers - model.num_moe_layers
        rotated = (model.num_query_heads + model.num_kv_heads) * model.head_dim * (2 + 2 * model.qk_norm)
        elements = model.num_layers * (8 * model.model_dim * self.chips + rotated)
        return _ACTIVATION_BYTES * (elements + dense * 3 * model.ffn_dim)


def calibrated_times(
    work: Workload, terms: Mapping[str, Term], chip: Chip
) -> tuple[dict[str, tuple[Timed, ...]], Steps]:
    """Time of every term of ``exact_terms``, and of ``pointwise`` and ``host`` beside them; and the steps.

    ``terms`` are the ideal ones. A chip that only whole deployments of are known is priced by their factor.

    Raises ``InputError`` where nothing was measured that says what the chip takes.
    """
    batch = np.asarray(work.batch, float)
    sizes, where = _distinct(batch)
    steps = Steps(work.request.decoded / batch, work.num_chips, where)
    if whole := chip.efficiency.get("end_to_end", {}).get(ANY):
        return _whole(work, terms, chip, whole), steps
    kernels = _Kernels(work.request.model, chip, work.serving, work.num_chips)
    found: dict[str, tuple[Timed, ...]] = {name: (one,) for name, one in _step(kernels, sizes).items()}
    for name, timed in (*_reads(work, terms, kernels, steps).items(), *_prefill(work, kernels).items()):
        found[name] = (*found.get(name, ()), *timed)
    return found, steps


@dataclasses.dataclass(frozen=True)
class CountedTerms(Mapping[str, Term]):
    """The ideal terms with their calls, which are counted as a term is asked for."""

    ideal: Mapping[str, Term]
    times: Mapping[str, tuple[Timed, ...]]
    steps: Steps

    def __getitem__(self, name: str) -> Term:
        """The term; one that only takes time (``pointwise``, ``host``) has neither FLOPs nor bytes."""
        term = self.ideal[name] if name in self.ideal else Term()
        parts = self.times[name]
        once = sum(part.calls for part in parts if not part.per_step)
        each = sum(part.calls for part in parts if part.per_step)
        return dataclasses.replace(term, calls=once + each * self.steps.number if parts else 0.0)

    def __iter__(self) -> Iterator[str]:
        return iter(self.times)

    def __len__(self) -> int:
        return len(self.times)


def _whole(
    work: Workload, terms: Mapping[str, Term], chip: Chip, whole: Efficiency
) -> dict[str, tuple[Timed, ...]]:
    """The data sheet's seconds, nothing overlapping, times the factor of whole deployments."""
    peak = chip.peak(work.serving.compute_dtype)
    return {
        name: (
            Timed(
                whole.factor
                * (
                    np.asarray(term.flops) / peak
                    + np.asarray(term.bytes) / chip.hbm_bandwidth
                    + np.asarray(term.wire_bytes) / chip.link_bandwidth
                ),
                whole,
            ),
        )
        for name, term in terms.items()
    }


def _distinct(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The values in ``batch``, and where each element is among them; None where it is one number."""
    if batch.ndim == 0:
        return batch, None
    whole = batch.astype(np.int64)
    if batch.size < 64 or np.any(whole != batch) or whole.max() > 1 << 20:
        sizes, where = np.unique(batch, return_inverse=True)
        return sizes, where.reshape(batch.shape)
    there = np.zeros(int(whole.max()) + 1, bool)
    there[whole] = True
    index = np.cumsum(there) - 1
    return np.flatnonzero(there).astype(float), index[whole]


def _step(kernels: _Kernels, b: np.ndarray) -> dict[str, Timed]:
    """Seconds of the calls of one step of ``b`` sequences, by term, on one chip (they run side by side)."""
    model, chip, t, weights = kernels.model, kernels.chip, kernels.chips, kernels.serving.weight_bytes
    dtype = kernels.expert_dtype
    matmuls = kernels.matmuls()
    found = {
        "linear": Timed(
            sum(
                calls * efficiency.gemm(chip, b, n, k, dtype, weights, warm=False) for calls, n, k in matmuls
            ),
            kernels.reached("gemm", dtype),
            float(sum(calls for calls, _, _ in matmuls)),
            True,
        )
    }
    if model.moe:
        call = efficiency.moe(chip, b, kernels.experts(), dtype, balanced=False, weight_bytes=weights)
        layers = model.num_moe_layers
        found["experts"] = Timed(layers * call, kernels.reached("moe", dtype), float(layers), True)
    attention = kernels.reached("decode_attention", kernels.serving.kv_dtype)
    layers = model.num_layers
    found["attention"] = Timed(layers * attention.floor, attention, float(layers), True)
    small, launches = kernels.reached("pointwise"), kernels.small_launches()
    moved = b * kernels.small_bytes() / t / (small.bandwidth * chip.hbm_bandwidth)
    found["pointwise"] = Timed(launches * small.floor + moved, small, launches, True)
    found["kv_write"] = Timed(layers * small.floor, small, float(layers), True)
    if t > 1:
        reduced = efficiency.all_reduce(chip, t, b * model.model_dim * _ACTIVATION_BYTES)
        found["collectives"] = Timed(2 * layers * reduced, kernels.reached("all_reduce"), 2.0 * layers, True)
    host = kernels.reached("host")
    found["host"] = Timed(host.floor, host, 0.0, True)
    return found


def _reads(
    work: Workload, terms: Mapping[str, Term], kernels: _Kernels, steps: Steps
) -> dict[str, tuple[Timed, ...]]:
    """What grows with the context: reads of K and V, of summaries, and the launches that choose."""
    attention = kernels.reached("decode_attention", kernels.serving.kv_dtype)
    peak = efficiency.peak(kernels.chip, "bfloat16")
    bandwidth = attention.bandwidth * kernels.chip.hbm_bandwidth
    found: dict[str, tuple[Timed, ...]] = {
        name: (
            Timed(
                np.asarray(terms[name].flops) / peak + np.asarray(terms[name].bytes) / bandwidth, attention
            ),
        )
        for name in ("attention", "search", "kv_write")
    }
    request = work.request
    launches = StepSums(request.policy, request, work.serving.share_prefix).launches()
    if launches.ndim or launches:
        layers = request.model.num_layers * (1 - dense_share(work))
        search = kernels.reached("search")
        calls = launches * (request.trials * layers / work.batch)
        seconds = calls * (search.floor * steps.num_chips)
        found["search"] = (*found["search"], Timed(seconds, search, calls))
    return found


def _prefill(work: Workload, kernels: _Kernels) -> dict[str, tuple[Timed, ...]]:
    """The prompt once, on steps that read the weights anyway: FLOPs, its own attention, and its links."""
    tokens = np.asarray(work.prefilled, float)
    model, chip, t, dtype = kernels.model, kernels.chip, kernels.chips, kernels.expert_dtype
    matmuls = kernels.layer_matmuls()
    flops = sum(calls * efficiency.gemm_flop_seconds(chip, 1.0, n, k, dtype) for calls, n, k in matmuls)
    found = [Timed(tokens * flops * t, kernels.reached("gemm", dtype))]
    if model.moe:
        row = efficiency.moe_row_seconds(chip, 1.0, kernels.experts(), dtype, balanced=False)
        found.append(Timed(tokens * model.num_moe_layers * sum(row) * t, kernels.reached("moe", dtype)))
    kv_dtype = kernels.serving.kv_dtype
    heads, kv = model.num_query_heads / t, max(model.num_kv_heads / t, 1)
    call = efficiency.prefill_attention(chip, heads, kv, 1, tokens, kv_dtype)
    there = np.where(tokens > 0, call * model.num_layers * t, 0.0)
    found.append(
        Timed(there, kernels.reached("prefill_attention", kv_dtype), model.num_layers * (tokens > 0))
    )
    small = kernels.reached("pointwise")
    moved = tokens * kernels.small_bytes() / (small.bandwidth * chip.hbm_bandwidth)
    found.append(Timed(moved, small))
    if t == 1:
        return {"prefill": tuple(found)}
    links = kernels.reached("all_reduce")
    sent = 2 * (t - 1) * model.model_dim * _ACTIVATION_BYTES * 2 * model.num_layers * tokens
    wire = Timed(sent / (links.bandwidth * chip.link_bandwidth), links)
    return {"prefill": tuple(found), "collectives": (wire,)}
