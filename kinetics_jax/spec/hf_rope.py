"""The rotary embedding that a ``config.json`` asks for: θ, and YaRN or Llama 3's stretch of it.

Transformers 4 writes ``rope_theta`` and ``rope_scaling``, transformers 5 one ``rope_parameters``.
"""

import math
from collections.abc import Mapping
from typing import Any

from kinetics_jax.spec.hf_fields import ConfigError, Fields, short
from kinetics_jax.spec.model_config import Llama3Rope, Yarn

_DEFAULT_THETA = 10_000.0  # what transformers' own classes assume where the file is silent
_COMMON = frozenset(("rope_type", "type", "rope_theta", "partial_rotary_factor"))
_STRETCH = frozenset(("factor", "original_max_position_embeddings"))
_KNOWN = {
    "default": _COMMON,
    "yarn": _COMMON | _STRETCH | {"attention_factor", "beta_fast", "beta_slow", "mscale",
                                  "mscale_all_dim", "truncate"},
    "llama3": _COMMON | _STRETCH | {"low_freq_factor", "high_freq_factor"},
}  # fmt: skip


def read_rope(fields: Fields) -> dict[str, Any]:
    """The fields of ``ModelConfig`` that say how positions are rotated, from a whole ``config.json``.

    Raises ``ConfigError`` for a scaling that is not computed here.
    """
    scaling = _scaling(fields)
    theta = (scaling if scaling.fields.get("rope_theta") else fields).number(
        "rope_theta", _DEFAULT_THETA
    )
    if theta <= 1:
        raise fields.fail("rope_theta", f"({theta}) must be above 1")
    kind = scaling.fields.get("rope_type", scaling.fields.get("type")) or "default"
    if not isinstance(kind, str) or kind not in _KNOWN:
        known = ", ".join(_KNOWN)
        raise ConfigError(
            f"{fields.where}: rope_type={short(kind)} is not supported; only {known} are"
        )
    for name, value in scaling.fields.items():
        held = name == "partial_rotary_factor" and value != 1
        if value is not None and (held or name not in _KNOWN[kind]):
            raise scaling.fail(name, f"is not supported for rope_type {kind}")
    return {
        "rope_theta": theta,
        "yarn": _yarn(fields, scaling) if kind == "yarn" else None,
        "llama3_rope": _llama3(scaling) if kind == "llama3" else None,
    }


def _scaling(fields: Fields) -> Fields:
    """The object that describes the scaling, wherever it is (empty: none)."""
    names = [name for name in ("rope_parameters", "rope_scaling") if fields.fields.get(name)]
    found = [fields.fields[name] for name in names]
    if len(found) == 2 and found[0] != found[1]:
        raise fields.fail("rope_scaling", "contradicts rope_parameters")
    scaling: Any = found[0] if found else {}
    if isinstance(scaling, Mapping):
        scaling = scaling.get("full_attention", scaling)  # v5 may nest one entry per layer type
    if not isinstance(scaling, Mapping):
        raise fields.fail(names[0], "must be an object")
    return Fields(scaling, fields.where, f"{names[0]}." if names else "")


def _yarn(fields: Fields, scaling: Fields) -> Yarn:
    if scaling.fields.get("truncate") not in (None, True):
        raise scaling.fail("truncate", "is not supported")

    def number(name: str, default: float) -> float:
        return scaling.number(name) if scaling.fields.get(name) else default

    context = fields.integer("max_position_embeddings")
    given = scaling.given("original_max_position_embeddings")
    original = scaling.integer("original_max_position_embeddings") if given else context
    factor = number("factor", context / original)
    attention = number("attention_factor", 0.0) or None
    mscale, all_dims = number("mscale", 0.0), number("mscale_all_dim", 0.0)
    if attention is None and mscale and all_dims:
        attention = _magnitude(factor, mscale) / _magnitude(factor, all_dims)
    return Yarn(
        factor=factor,
        original_context=original,
        beta_fast=number("beta_fast", 32.0),
        beta_slow=number("beta_slow", 1.0),
        attention_factor=attention,
    )


def _magnitude(factor: float, mscale: float) -> float:
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _llama3(scaling: Fields) -> Llama3Rope:
    return Llama3Rope(
        factor=scaling.number("factor"),
        original_context=scaling.integer("original_max_position_embeddings"),
        low_turns=scaling.number("low_freq_factor"),
        high_turns=scaling.number("high_freq_factor"),
    )
