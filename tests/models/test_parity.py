"""The same checkpoint gives the logits that transformers gives, on checkpoints it wrote itself."""

import jax
import numpy as np
import pytest

from kinetics_jax import models

pytest.importorskip("torch", reason="the oracle is transformers on torch; golden files stand in")
pytest.importorskip("transformers", reason="the oracle is transformers; golden files stand in")
from tests.models import oracle


def _tokens(length: int, rows: int = 2) -> np.ndarray:
    return np.random.default_rng(length).integers(0, 96, (rows, length))


def _divergence(reference: np.ndarray, ours: np.ndarray) -> float:
    """Mean KL(reference ‖ ours) in nats per token."""
    p, q = jax.nn.log_softmax(reference), jax.nn.log_softmax(ours)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def _check_float32(variant: str, length: int, tmp_path, rows: int = 2, **options) -> None:
    reference = oracle.logits(oracle.write(variant, tmp_path, **options), _tokens(length, rows))
    model = models.load(tmp_path, dtype="float32", unroll=bool(options))
    found = np.asarray(model(_tokens(length, rows)))
    assert found.shape == reference.shape
    assert np.abs(found - reference).max() <= 1e-4 * np.abs(reference).max()


_QUICK = [v for v in oracle.VARIANTS if not v.endswith(("-raw", "2-tied", "scaled", "wide-head"))]


@pytest.mark.parametrize("variant", _QUICK)
def test_float32_logits(variant, tmp_path):
    _check_float32(variant, 70, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 70, 300, 2000])
@pytest.mark.parametrize("variant", oracle.VARIANTS)
def test_float32_logits_of_long_prompts(variant, length, tmp_path):
    _check_float32(variant, length, tmp_path, rows=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_float32_logits_of_odd_shapes(seed, tmp_path):
    draw = np.random.default_rng(seed)
    kv_heads, ratio = int(draw.integers(1, 5)), int(draw.integers(1, 9))
    shape = {
        "vocab_size": int(draw.integers(96, 200)),
        "hidden_size": int(draw.integers(8, 40)) * 2,
        "intermediate_size": int(draw.integers(3, 99)),
        "num_hidden_layers": int(draw.integers(1, 4)),
        "num_attention_heads": kv_heads * ratio,
        "num_key_value_heads": kv_heads,
        "head_dim": int(draw.integers(2, 20)) * 2,
        "tie_word_embeddings": bool(draw.integers(2)),
        "rms_norm_eps": float(draw.choice([1e-6, 1e-5])),
    }
    variant = ["yarn", "moe-2of4", "moe-2of4-raw"][seed % 3]
    if "moe" in variant:
        experts = int(draw.integers(3, 20))
        shape |= {
            "num_experts": experts,
            "moe_intermediate_size": int(draw.integers(3, 30)),
            "num_experts_per_tok": int(draw.integers(1, experts + 1)),
        }
    _check_float32(variant, int(draw.integers(2, 90)), tmp_path, seed=seed, **shape)


@pytest.mark.parametrize(("variant", "limit"), [("ratio2-tied", 0.015), ("moe-2of4", 0.02)])
def test_bfloat16_divergence(variant, limit, tmp_path):
    _check_bfloat16(variant, limit, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("variant", oracle.VARIANTS)
def test_bfloat16_divergence_of_every_variant(variant, tmp_path):
    _check_bfloat16(variant, 0.02 if "moe" in variant else 0.015, tmp_path)


def _check_bfloat16(variant: str, limit: float, tmp_path) -> None:
    torch = pytest.importorskip("torch")
    oracle.write(variant, tmp_path, initializer_range=0.08)
    reference = oracle.read(variant, tmp_path, torch.bfloat16)
    tokens = _tokens(120)
    found = models.load(tmp_path)(tokens)
    assert _divergence(oracle.logits(reference, tokens), np.asarray(found)) <= limit
