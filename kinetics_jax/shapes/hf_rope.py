"""The rotary embedding that a ``config.json`` asks for: θ, and YaRN or Llama 3's stretch of it.

Transformers 4 writes ``rope_theta`` and ``rope_scaling``, transformers 5 one ``rope_parameters``.
"""

import math
from collections.abc import Mapping
from typing import Any

from kinetics_jax.shapes.hf_fields import ConfigError, Fields, short
from kinetics_jax.shapes.parts import Llama3Rope, Yarn

_DEFAULT_THETA = 10_000.0  # what transformers' own classes assume where the file is silent
_COMMON = frozenset(("rope_type", "type", "rope_theta", "partial_rotary_factor"))
_STRETCH = frozenset(("factor", "original_max_position_embeddings"))
_KNOWN = {
    "default": _COMMON,
    "yarn": _COMMON
    | _STRETCH
    | {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"},
    "llama3": _COMMON | _STRETCH | {"low_freq_factor", "high_freq_factor"},
}
_CHANGE_ANY = frozenset(("mrope_section", "long_factor", "short_factor", "alpha", "truncate"))
"""Parts of other scalings that would change any; what else is unknown is read by no class of ours."""


def read_rope(fields: Fields) -> tuple[dict[str, Any], list[str]]:
    """The fields of ``ModelConfig`` that say how positions are rotated, from a whole ``config.json``.

    Also the parts of the scaling that are passed over, as text. Raises ``ConfigError`` for a scaling that
    is not computed here.
    """
    scaling = _scaling(fields)
    inside = bool(scaling.fields.get("rope_theta"))
    theta = (scaling if inside else fields).number("rope_theta", _DEFAULT_THETA)
    if theta <= 1:
        raise fields.fail("rope_theta", f"({theta}) must be above 1")
    kind = _kind(fields, scaling)
    passed = []
    for name, value in scaling.fields.items():
        if value is None or name in _KNOWN[kind]:
            continue
        if name in _CHANGE_ANY:
            raise scaling.fail(name, f"is not supported for rope_type {kind}")
        passed.append(scaling.label(name))
    if scaling.fields.get("partial_rotary_factor", 1) not in (1, None):
        raise scaling.fail("partial_rotary_factor", "is not supported; whole heads are rotated")
    old_kind = scaling.fields.get("type")
    if old_kind is not None and old_kind != kind:
        passed.append(scaling.label("type"))
    if inside and fields.given("rope_theta") and fields.fields["rope_theta"] != theta:
        passed.append(fields.label("rope_theta"))
    return {
        "rope_theta": theta,
        "yarn": _yarn(fields, scaling) if kind == "yarn" else None,
        "llama3_rope": _llama3(fields, scaling) if kind == "llama3" else None,
    }, passed


def _kind(fields: Fields, scaling: Fields) -> str:
    """The type of scaling, one of those that are known."""
    kind = scaling.fields.get("rope_type", scaling.fields.get("type"))
    if kind is None and scaling.fields.keys() & _STRETCH:
        raise ConfigError(f"{fields.where}: {scaling.prefix[:-1]} stretches positions but has no rope_type")
    kind = kind or "default"
    if not isinstance(kind, str) or kind not in _KNOWN:
        known = ", ".join(_KNOWN)
        raise ConfigError(f"{fields.where}: rope_type={short(kind)} is not supported; only {known} are")
    return kind


def _scaling(fields: Fields) -> Fields:
    """The object that describes the scaling, wherever it is (empty: none)."""
    names = [name for name in ("rope_parameters", "rope_scaling") if fields.fields.get(name)]
    found = []
    for name in names:
        scaling: Any = fields.fields[name]
        if isinstance(scaling, Mapping):
            scaling = scaling.get("full_attention", scaling)  # v5 may nest one entry per layer type
        if not isinstance(scaling, Mapping):
            raise fields.fail(name, "must be an object")
        found.append(scaling)
    if len(found) == 2 and any(found[0][key] != found[1][key] for key in found[0].keys() & found[1].keys()):
        raise fields.fail("rope_scaling", "contradicts rope_parameters")
    merged = {key: value for part in found for key, value in part.items()}
    return Fields(merged, fields.where, f"{names[0]}." if names else "")


def _original_context(fields: Fields, scaling: Fields) -> int:
    """The context that frequencies were trained for; it may stand in either place, or be the whole."""
    name = "original_max_position_embeddings"
    given = [place for place in (scaling, fields) if place.given(name)]
    if len({place.integer(name) for place in given}) > 1:
        raise fields.fail(name, f"contradicts {scaling.label(name)}")
    return given[0].integer(name) if given else fields.integer("max_position_embeddings")


def _yarn(fields: Fields, scaling: Fields) -> Yarn:
    if scaling.fields.get("truncate") not in (None, True):
        raise scaling.fail("truncate", "is not supported")

    def number(name: str, default: float) -> float:
        return scaling.number(name) if scaling.fields.get(name) else default

    original = _original_context(fields, scaling)
    factor = number("factor", fields.integer("max_position_embeddings") / original)
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


def _llama3(fields: Fields, scaling: Fields) -> Llama3Rope:
    return Llama3Rope(
        factor=scaling.number("factor"),
        original_context=_original_context(fields, scaling),
        low_turns=scaling.number("low_freq_factor"),
        high_turns=scaling.number("high_freq_factor"),
    )
