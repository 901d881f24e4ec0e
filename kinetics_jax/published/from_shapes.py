"""Claims that follow from the shapes of the models alone: KV bytes, Φ, iso-cost contours, experts."""

import numpy as np

from kinetics_jax.costs import chips
from kinetics_jax.costs.laws import (
    attention_over_weights,
    iso_eflops_length,
    iso_flops_length,
    length_where_attention_is,
)
from kinetics_jax.published.finding import Finding
from kinetics_jax.scaling import fit_power_law
from kinetics_jax.shapes import ModelConfig, presets

CONTEXT = 32_768
INTENSITY = chips.b200.paper_intensity
"""I of the paper, FLOP/byte."""
QWEN3 = tuple(presets[f"qwen3-{size}"] for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b"))
QWEN25 = tuple(presets[f"qwen2.5-{size}"] for size in ("0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b"))
TABLE_2 = {
    "qwen3-1.7b": 3.5,
    "qwen3-8b": 4.5,
    "qwen3-14b": 6,
    "qwen3-32b": 8,
    "r1-distill-qwen-1.5b": 0.875,
    "r1-distill-qwen-7b": 1.75,
    "r1-distill-qwen-14b": 6,
    "r1-distill-qwen-32b": 8,
}
"""GB of KV at 32K tokens as printed; Qwen3-14B's is wrong."""


def kv_gib(model: ModelConfig) -> float:
    """GiB of KV that one sequence of 32K tokens stores in BF16."""
    return model.kv_bytes_per_token() * CONTEXT / 2**30


def kv_of_14b() -> Finding:
    """Table 2's wrong row."""
    model = presets["qwen3-14b"]
    return Finding(
        id="kv_of_14b",
        claim="Qwen3-14B stores 6 GB of KV for 32K tokens",
        where="Table 2",
        unit="GiB",
        published=TABLE_2["qwen3-14b"],
        ours=kv_gib(model),
        tolerance=0.05,
        note=f"{model.num_layers} layers of {model.num_kv_heads} KV heads; 6.0 is Qwen2.5-14B with its 48 "
        "layers",
    )


def kv_of_the_others() -> Finding:
    """Table 2's other rows, and the 3.5 GB of §2."""
    others = [name for name in TABLE_2 if name != "qwen3-14b"]
    right = sum(abs(kv_gib(presets[name]) - TABLE_2[name]) < 0.01 for name in others)
    small = QWEN3[0]
    return Finding(
        id="kv_of_the_others",
        claim="the other seven rows of KV per 32K tokens",
        where="Table 2",
        unit="rows right",
        published=len(others),
        ours=right,
        note=f"in GiB; 0.6B, of which §2 says 3.5 GB beside 1.2 GB of weights: {kv_gib(small):.2f} GiB "
        f"beside {small.total_params * 2 / 1e9:.2f} GB",
    )


def _kv_trend(id: str, family: str, models: tuple[ModelConfig, ...], published: float, where: str) -> Finding:
    """KV per doubling of parameters, by a power law through the models of a family."""
    sizes, kv = zip(*((model.paper_params, model.kv_bytes_per_token()) for model in models), strict=True)
    return Finding(
        id=id,
        claim=f"doubling a {family} model's parameters grows its KV {published} times",
        where=where,
        unit="× per doubling",
        published=published,
        ours=fit_power_law(sizes, kv).per_doubling,
        tolerance=0.015,
        note="least squares without logarithms, as the paper fits; with logarithms "
        f"{fit_power_law(sizes, kv, space='log').per_doubling:.3f}",
    )


def kv_trend_qwen3() -> Finding:
    """KV per doubling of parameters, Qwen3."""
    return _kv_trend("kv_trend_qwen3", "Qwen3", QWEN3, 1.18, "§2, Fig. 2")


def kv_trend_qwen25() -> Finding:
    """KV per doubling of parameters, Qwen2.5."""
    return _kv_trend("kv_trend_qwen25", "Qwen2.5", QWEN25, 1.46, "§2")


def kv_jump_of_r1() -> Finding:
    """The step of KV in the DeepSeek distillations."""
    small, large = presets["r1-distill-qwen-7b"], presets["r1-distill-qwen-14b"]
    return Finding(
        id="kv_jump_of_r1",
        claim="from 7B to 14B the DeepSeek distillations' KV jumps about 3.4 times",
        where="App. B.2",
        unit="×",
        published=3.4,
        ours=kv_gib(large) / kv_gib(small),
        tolerance=0.05,
        note=f"{kv_gib(small):.2f} to {kv_gib(large):.2f} GiB at 32K tokens",
    )


def attention_over_the_weights() -> Finding:
    """Φ beyond 4,096 tokens."""
    at = {m.name: attention_over_weights(m, np.array([4096, CONTEXT]), intensity=INTENSITY) for m in QWEN3}
    least = min(at, key=lambda name: at[name][0])
    most = max(float(phi[1]) for phi in at.values())
    long = {m.name: length_where_attention_is(10, m, intensity=INTENSITY) for m in QWEN3}
    return Finding(
        id="attention_over_the_weights",
        claim="beyond 4,096 tokens attention costs 10 to 1,000 times the weights",
        where="§2, Fig. 2a",
        unit="× at 4,096 tokens (least)",
        published=10.0,
        ours=float(at[least][0]),
        tolerance=0.5,
        rule="at least",
        note=f"14B {at['qwen3-14b'][0]:.1f}, 32B {at['qwen3-32b'][0]:.1f}; tenfold from "
        f"{long['qwen3-14b']:,.0f} and {long['qwen3-32b']:,.0f} tokens; at 32,768 never above "
        f"{most:,.0f} (0.6B); all half of that with one precision for FLOPs and bytes",
    )


def iso_flops() -> Finding:
    """What a FLOP budget buys of two models."""
    small, large = presets["qwen3-4b"], presets["qwen3-14b"]
    tokens = float(iso_flops_length(small, 2 * large.paper_params * 8192)) / 1024
    return Finding(
        id="iso_flops",
        claim="by FLOPs alone, 14B with 8K tokens costs as much as 4B with 24K",
        where="§3, Fig. 6b",
        unit="K tokens of 4B",
        published=24.0,
        ours=tokens,
        tolerance=1.2,
        note="8K times the ratio of parameters, 14.77 to 4.02 billion (28K for 14 to 4)",
    )


def iso_eflops() -> Finding:
    """What an eFLOPs budget buys of two models, by the contours of Fig. 6c."""
    small, large = presets["qwen3-4b"], presets["qwen3-14b"]
    spent = INTENSITY * large.kv_elements_per_token * 8192**2
    tokens = float(iso_eflops_length(small, spent, intensity=INTENSITY, attention_only=True)) / 1024
    as_printed = tokens * np.sqrt(TABLE_2["qwen3-14b"] / kv_gib(large))
    both = 2 * large.paper_params * 8192
    both += (large.queries_per_kv + INTENSITY) * large.kv_elements_per_token * 8192**2
    full = float(iso_eflops_length(small, both, intensity=INTENSITY)) / 1024
    return Finding(
        id="iso_eflops",
        claim="by eFLOPs, 14B with 8K tokens costs as much as 4B with 9K",
        where="§3, Fig. 6c",
        unit="K tokens of 4B",
        published=9.0,
        ours=tokens,
        tolerance=0.3,
        note=f"{as_printed:.1f}K with Table 2's wrong {TABLE_2['qwen3-14b']:g} GB; {full:.1f}K with the "
        "weights' and compute terms of eq. 4",
    )


def iso_contours() -> Finding:
    """The contour of 2e16 eFLOPs: where Fig. 6c draws each model."""
    drawn = {"0.6b": 25_000, "1.7b": 25_000, "4b": 22_000, "8b": 22_000, "14b": 19_000, "32b": 16_460}
    found = {
        size: float(
            iso_eflops_length(presets[f"qwen3-{size}"], 2e16, intensity=INTENSITY, attention_only=True)
        )
        for size in drawn
    }
    others = max(abs(found[size] / drawn[size] - 1) for size in drawn if size != "14b")
    return Finding(
        id="iso_contours",
        claim="the contour of 2·10¹⁶ eFLOPs passes 14B at 19,000 tokens",
        where="Fig. 6c",
        unit="tokens",
        published=drawn["14b"],
        ours=found["14b"],
        tolerance=200.0,
        note=f"drawn with the 14B's wrong 6 GB; the other five are within {others:.1%}. The contours are "
        "I·D·L² alone",
    )


def experts() -> Finding:
    """How much linear work a mixture of experts saves."""
    moe = presets["qwen3-30b-a3b"]
    active = moe.paper_params
    return Finding(
        id="experts",
        claim="mixtures of experts cut the linear layers' FLOPs 10 to 20 times",
        where="related work",
        unit="× (Qwen3-30B-A3B)",
        published=10.0,
        ours=moe.total_params / active,
        rule="at least",
        tolerance=0.1,
        note=f"{moe.total_params / 1e9:.1f} billion parameters, {active / 1e9:.2f} active; the only such "
        "model of the paper",
    )


CLAIMS = (
    kv_of_14b,
    kv_of_the_others,
    kv_trend_qwen3,
    kv_trend_qwen25,
    kv_jump_of_r1,
    attention_over_the_weights,
    iso_flops,
    iso_eflops,
    iso_contours,
    experts,
)
