"""Claims about costs: the price of a sample, the chip, what is left out, and what fits in memory."""

import numpy as np

from kinetics_jax.costs import chips, feasible_batch, price
from kinetics_jax.costs.laws import parameter_read_eflops
from kinetics_jax.policies import Dense, TopK
from kinetics_jax.published.finding import Finding
from kinetics_jax.published.from_shapes import CONTEXT, INTENSITY, QWEN3
from kinetics_jax.shapes import ModelConfig

_PROMPT = 128


def _top_k(model: ModelConfig, budget: int, length: int) -> float:
    return float(price(model, TopK(budget), _PROMPT, length, chip="b200", mode="reference").eflops)


def notebook_price() -> Finding:
    """A price that the authors' notebooks print; it fixes their constants and the wrong sign."""
    # 32 trials of 344,138 tokens: the mean that it decodes to.
    lengths = np.repeat([10_754, 10_755], [22, 10])
    cost = price("qwen3-8b", TopK(256), 218, lengths, chip="b200", mode="reference")
    exact = price("qwen3-8b", TopK(256), 218, lengths, chip="b200", terms="paper")
    return Finding(
        id="notebook_price",
        claim="Qwen3-8B with top-k of 256 spends 177.78 + 228.41 tera-eFLOPs on a question of AIME24",
        where="scripts",
        unit="tera-eFLOPs",
        published=406.193255,
        ours=float(cost.eflops.mean()) / 1e12,
        tolerance=1e-5,
        note="with the scripts' sign of ½(B − L_in)², which adds what the sum over steps subtracts; with "
        f"that sum {float(exact.eflops.mean()) / 1e12:.3f}",
    )


def intensity() -> Finding:
    """I with one number format for compute and memory."""
    chip = chips.b200
    return Finding(
        id="intensity",
        claim="a B200 does 562.5 FLOP per byte that it reads, of BF16 weights and KV",
        where="§2, Table 1",
        unit="FLOP/byte",
        published=562.5,
        ours=chip.intensity("bfloat16"),
        tolerance=0.5,
        note=f"{chip.paper_intensity:.1f} is FP8's peak over bytes counted in BF16; every attention term "
        "counts double",
    )


def a_second() -> Finding:
    """How long 1e5 tera-eFLOPs take."""
    chip = chips.b200
    return Finding(
        id="a_second",
        claim="10⁵ tera-eFLOPs are 22 s of a B200 at full use",
        where="§2",
        unit="s",
        published=22.0,
        ours=1e17 / chip.paper_peak,
        tolerance=0.5,
        note=f"of its FP8 peak; {1e17 / chip.peak('bfloat16'):.1f} s of its BF16 peak",
    )


def _first_layer(model: ModelConfig) -> float:
    """Percent that a dense first layer adds to top-k of 128 at 32K tokens."""
    dense = float(price(model, Dense(), _PROMPT, CONTEXT, chip="b200", mode="reference").eflops)
    sparse = _top_k(model, 128, CONTEXT)
    return 100 * (dense - sparse) / model.num_layers / sparse


def first_layer() -> Finding:
    """The dense first layer that the engine has and the costs leave out."""
    found = {model.name: _first_layer(model) for model in QWEN3}
    worst = max(found, key=lambda name: found[name])
    return Finding(
        id="first_layer",
        claim="keeping the first layer dense adds at most 3.57 %",
        where="§4, App. D",
        unit="% of the sparse cost (most)",
        published=3.57,
        ours=found[worst],
        tolerance=0.05,
        rule="at most",
        note=f"{worst}, B = 128, 32K tokens; 32B {found['qwen3-32b']:.0f} %. 3.57 % is 1/28 of *dense* "
        "attention, which sparse attention does not pay",
    )


def _weight_reads(model: ModelConfig, length: int) -> tuple[float, float]:
    """Percent that weight reads at the batch that fits 8 H200 add to top-k of 128, and to dense."""
    batch = float(feasible_batch(model, chips.h200, length, num_chips=8))
    read = float(parameter_read_eflops(model, length, batch, intensity=INTENSITY))
    dense = float(price(model, Dense(), _PROMPT, length, chip="b200", mode="reference").eflops)
    return 100 * read / _top_k(model, 128, length), 100 * read / dense


def weight_reads() -> Finding:
    """The reads of the weights that the cost model drops."""
    found = [_weight_reads(model, length) for model in QWEN3 for length in (16_384, CONTEXT)]
    sparse, dense = zip(*found, strict=True)
    return Finding(
        id="weight_reads",
        claim="reading the weights may be left out, since a large batch shares it",
        where="§2, Fig. 3",
        unit="% of the sparse cost (most)",
        published=0.0,
        ours=max(sparse),
        tolerance=10.0,
        rule="at most",
        note=f"{min(sparse):.0f} to {max(sparse):.0f} % of top-k (B = 128) at the batch whose KV fits 8 × "
        f"H200, 16K and 32K tokens; {max(dense):.0f} % of dense at most: sparse attention reads less "
        "and stores as much",
    )


def throughput_batch() -> Finding:
    """Whether the batch of the throughput figure fits."""
    batches = [float(feasible_batch(model, chips.h200, 16_384, num_chips=8)) for model in QWEN3]
    needed = [4096 * 16_384 * model.kv_bytes_per_token() / 1e12 for model in QWEN3]
    return Finding(
        id="throughput_batch",
        claim="8 × H200 decode 4,096 sequences of 16K tokens together",
        where="§5.2, Fig. 10",
        unit="sequences that fit (most)",
        published=4096.0,
        ours=max(batches),
        rule="at least",
        note=f"{min(batches):.0f} (32B) to {max(batches):.0f} (0.6B); the KV of 4,096 takes "
        f"{min(needed):.1f} to {max(needed):.1f} TB of the {8 * chips.h200.hbm_bytes / 1e12:.2f} TB "
        "there are: one layer was timed",
    )


CLAIMS = (notebook_price, intensity, a_second, first_layer, weight_reads, throughput_batch)
