"""What follows from shapes alone, before any accuracy is known: Φ, iso-cost contours, weight reads.

Symbols are the paper's: P params · r = N/K · D KV elements a token · I intensity in FLOP/byte.
"""

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.shapes import ModelConfig


def attention_over_weights(
    model: ModelConfig, generated_tokens: np.ndarray | float, *, intensity: float, prompt_tokens: float = 0.0
) -> np.ndarray:
    """Φ = [2·r·L_in·D + (r + I)·D·L_out] / (2P): attention's eFLOPs over the weights' (paper §2).

    As printed, the prompt's memory term 2·I·L_in·D is left out.
    """
    D, r = model.kv_elements_per_token, model.queries_per_kv
    generated = np.asarray(generated_tokens, float)
    return (2 * r * prompt_tokens * D + (r + intensity) * D * generated) / (2 * model.paper_params)


def length_where_attention_is(times: float, model: ModelConfig, *, intensity: float) -> float:
    """Generated tokens at which Φ reaches ``times`` (without a prompt)."""
    if not times > 0:
        raise InputError(f"times={times!r} must be positive")
    return times / float(attention_over_weights(model, 1.0, intensity=intensity))


def iso_flops_length(model: ModelConfig, flops: np.ndarray | float) -> np.ndarray:
    """Tokens that ``flops`` buy when only parameters cost: 2·P·L = const (Fig. 6b)."""
    return np.asarray(flops, float) / (2 * model.paper_params)


def iso_eflops_length(
    model: ModelConfig, eflops: np.ndarray | float, *, intensity: float, attention_only: bool = False
) -> np.ndarray:
    """Tokens L that ``eflops`` buy without a prompt: 2·P·L + (r + I)·D·L² = const.

    ``attention_only`` keeps I·D·L² alone, as Fig. 6c draws it (docs/paper_facts.md, "Cost equations").
    """
    D, r = model.kv_elements_per_token, model.queries_per_kv
    budget = np.asarray(eflops, float)
    if attention_only:
        return np.sqrt(budget / (intensity * D))
    quadratic, linear = (r + intensity) * D, 2 * model.paper_params
    # The stable form of the positive root: no difference of near-equal numbers.
    return 2 * budget / (linear + np.sqrt(linear**2 + 4 * quadratic * budget))


def parameter_read_eflops(
    model: ModelConfig, generated_tokens: np.ndarray | float, batch: np.ndarray | float, *, intensity: float
) -> np.ndarray:
    """I·2·P·L_out/batch: the weight reads the paper drops, at the batch that shares them (BF16)."""
    return intensity * 2 * model.paper_params * np.asarray(generated_tokens, float) / batch
