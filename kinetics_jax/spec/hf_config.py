"""Hugging Face ``config.json`` ↔ ``ModelConfig``, as transformers 4 and transformers 5 write it.

Every field of the file is either read, or known not to touch the forward pass, or held to the one
value that this library computes. Anything else is an error: a field that changes the mathematics is
never skipped.
"""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from kinetics_jax.spec.errors import InputError
from kinetics_jax.spec.model_config import ModelConfig, MoE, Yarn


class ConfigError(InputError):
    """A ``config.json`` that is malformed, or describes a model this library does not compute."""


_FAMILIES = ("qwen2", "qwen3", "qwen3_moe")

# What transformers' own classes assume where the file is silent.
_DEFAULT_THETA = 10_000.0
_DEFAULT_QWEN3_HEAD_DIM = 128

_IGNORED = frozenset((
    "_attn_implementation", "_attn_implementation_autoset", "_name_or_path", "architectures",
    "attention_dropout", "auto_map", "bos_token_id", "dtype", "id2label", "initializer_range",
    "label2id", "max_window_layers", "name_or_path", "output_attentions",
    "output_hidden_states", "output_router_logits", "problem_type", "return_dict",
    "router_aux_loss_coef", "torch_dtype", "transformers_version", "use_cache",
    "use_return_dict",
))  # fmt: skip
_READ = frozenset((
    "eos_token_id", "head_dim", "hidden_size", "intermediate_size", "layer_types",
    "max_position_embeddings", "model_type", "moe_intermediate_size", "norm_topk_prob",
    "num_attention_heads", "num_experts", "num_experts_per_tok", "num_hidden_layers",
    "num_key_value_heads", "num_local_experts", "pad_token_id", "rms_norm_eps",
    "rope_parameters", "rope_scaling", "rope_theta", "sliding_window", "tie_word_embeddings",
    "use_sliding_window", "vocab_size", "attention_bias",
))  # fmt: skip
# Fields with one accepted value each: the only behaviour that is implemented.
_HELD: dict[str, Any] = {
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "decoder_sparse_step": 1,
    "hidden_act": "silu",
    "is_encoder_decoder": False,
    "mlp_bias": False,
    "mlp_only_layers": [],
    "partial_rotary_factor": 1.0,
    "pretraining_tp": 1,
    "pruned_heads": {},
}
_YARN_FIELDS = frozenset((
    "rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings",
    "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate",
    "partial_rotary_factor",
))  # fmt: skip
_LARGEST_INT = 2**31 - 1


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The JSON object in ``path``; ``ConfigError`` where it is missing, malformed or not an object."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        found = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds a {type(found).__name__}, not a JSON object")
    return found


def from_hf(source: Mapping[str, Any] | str | pathlib.Path) -> ModelConfig:
    """The ``ModelConfig`` of a config mapping, a ``config.json`` file or the folder that holds one.

    A folder's ``generation_config.json`` adds its end-of-text tokens. Raises ``ConfigError`` naming
    the file and the field.
    """
    if isinstance(source, Mapping):
        return _Reader(source, "config").model_config()
    path = pathlib.Path(source)
    file = path / "config.json" if path.is_dir() else path
    fields = read_json(file)
    fields.setdefault("_name_or_path", file.resolve().parent.name)
    generation = file.with_name("generation_config.json")
    stops = read_json(generation).get("eos_token_id") if generation.is_file() else None
    return _Reader(fields, str(file)).model_config(extra_stops=stops)


class _Reader:
    """Typed access to the fields of one config, each failure naming the field and where it is."""

    def __init__(self, fields: Mapping[str, Any], where: str) -> None:
        self.fields, self.where = fields, where

    def fail(self, field: str, problem: str) -> ConfigError:
        return ConfigError(f"{self.where}: {field}={_short(self.fields.get(field))} {problem}")

    def integer(self, field: str, default: int | None = None) -> int:
        value = self.fields.get(field, default)
        if value is None:
            raise ConfigError(f"{self.where}: {field} is missing")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _LARGEST_INT:
            raise self.fail(field, f"must be an integer in 1…{_LARGEST_INT}")
        return value

    def number(self, field: str, default: float | None = None) -> float:
        value = self.fields.get(field)
        value = default if value is None else value
        if value is None:
            raise ConfigError(f"{self.where}: {field} is missing")
        return self.checked_number(field, value)

    def checked_number(self, field: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ConfigError(f"{self.where}: {field}={_short(value)} must be a number")
        if not (abs(value) < 1e30 and value > 0):
            raise ConfigError(f"{self.where}: {field}={_short(value)} must be positive and finite")
        return float(value)

    def boolean(self, field: str, default: bool = False) -> bool:
        value = self.fields.get(field)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.fail(field, "must be true or false")
        return value

    def model_config(self, extra_stops: Any = None) -> ModelConfig:
        family = self.fields.get("model_type")
        if family not in _FAMILIES:
            raise self.fail("model_type", f"is not supported; known: {', '.join(_FAMILIES)}")
        self.check_fields()
        self.check_full_attention()
        heads = self.integer("num_attention_heads")
        bias = self.boolean("attention_bias")
        if family == "qwen2" and bias:
            raise self.fail("attention_bias", "has no meaning for qwen2 (its q, k, v are biased)")
        yarn, theta = self.rope()
        context = self.integer("max_position_embeddings")
        if yarn:
            context = max(context, int(yarn.factor * yarn.original_context))
        try:
            return ModelConfig(
                name=str(self.fields.get("_name_or_path") or family),
                vocab_size=self.integer("vocab_size"),
                model_dim=self.integer("hidden_size"),
                ffn_dim=self.integer("intermediate_size"),
                num_layers=self.integer("num_hidden_layers"),
                num_query_heads=heads,
                num_kv_heads=self.kv_heads(heads),
                head_dim=self.head_dim(family, heads),
                tied_embeddings=self.boolean("tie_word_embeddings"),
                qk_norm=family != "qwen2",
                qkv_bias=bias or family == "qwen2",
                out_bias=bias,
                rope_theta=theta,
                yarn=yarn,
                norm_eps=self.number("rms_norm_eps", 1e-6),
                max_context=context,
                moe=self.moe() if family == "qwen3_moe" else None,
                eos_token_ids=self.tokens("eos_token_id", extra_stops),
                pad_token_id=next(iter(self.tokens("pad_token_id")), None),
            )
        except ConfigError:
            raise
        except InputError as error:
            raise ConfigError(f"{self.where}: {error}") from error

    def check_fields(self) -> None:
        for field, value in self.fields.items():
            if field in _IGNORED or field in _READ or value is None:
                continue
            if field not in _HELD:
                raise self.fail(field, "is not a known field, and might change the mathematics "
                                       "(remove it if it does not)")  # fmt: skip
            if value != _HELD[field] or isinstance(value, bool) != isinstance(_HELD[field], bool):
                raise self.fail(field, f"is not supported; only {_HELD[field]!r} is")

    def check_full_attention(self) -> None:
        kinds = self.fields.get("layer_types")
        if kinds is not None and (
            not isinstance(kinds, list) or any(k != "full_attention" for k in kinds)
        ):
            raise self.fail("layer_types", "is not supported; every layer must be full_attention")
        if kinds is not None and len(kinds) != self.integer("num_hidden_layers"):
            raise self.fail("layer_types", "does not have num_hidden_layers entries")
        window = self.fields.get("sliding_window")
        if self.boolean("use_sliding_window") and window is not None:
            raise self.fail("sliding_window", "with use_sliding_window is not supported")

    def kv_heads(self, heads: int) -> int:
        if "num_key_value_heads" in self.fields and self.fields["num_key_value_heads"] is None:
            return heads
        return self.integer("num_key_value_heads")

    def head_dim(self, family: str, heads: int) -> int:
        """H; where the file is silent, what transformers' class for the family assumes."""
        if family == "qwen3" and "head_dim" not in self.fields:
            return _DEFAULT_QWEN3_HEAD_DIM
        explicit = self.fields.get("head_dim") is not None
        head_dim = self.integer("head_dim") if explicit else self.integer("hidden_size") // heads
        if head_dim < 2 or head_dim % 2:
            raise self.fail("head_dim", f"gives a head of {head_dim}; RoPE needs an even one")
        return head_dim

    def moe(self) -> MoE:
        names = [n for n in ("num_experts", "num_local_experts") if self.fields.get(n) is not None]
        if not names:
            raise ConfigError(f"{self.where}: num_experts (or num_local_experts) is missing")
        if len({self.integer(name) for name in names}) > 1:
            raise self.fail("num_experts", "differs from num_local_experts")
        return MoE(
            num_experts=self.integer(names[0]),
            experts_per_token=self.integer("num_experts_per_tok"),
            expert_dim=self.integer("moe_intermediate_size"),
            norm_topk_prob=self.boolean("norm_topk_prob"),
        )

    def tokens(self, field: str, extra: Any = None) -> tuple[int, ...]:
        """Token ids given as one integer, a list or nothing, in the order first seen."""
        found: list[int] = []
        for given in (self.fields.get(field), extra):
            for token in given if isinstance(given, list) else [given]:
                if token is None:
                    continue
                if not isinstance(token, int) or isinstance(token, bool) or token < -1:
                    raise ConfigError(f"{self.where}: {field}={_short(given)} must be token ids")
                if token >= 0 and token not in found:  # -1 is an old way to say "none"
                    found.append(token)
        return tuple(found)

    def rope(self) -> tuple[Yarn | None, float]:
        """YaRN (or None) and θ, from ``rope_parameters`` (v5) or ``rope_theta``/``rope_scaling``."""
        given = [self.fields.get(name) for name in ("rope_parameters", "rope_scaling")]
        scalings = [each for each in given if each]
        if len(scalings) == 2 and scalings[0] != scalings[1]:
            raise self.fail("rope_scaling", "contradicts rope_parameters")
        scaling = scalings[0] if scalings else {}
        if not isinstance(scaling, Mapping):
            raise ConfigError(f"{self.where}: rope_parameters={_short(scaling)} must be an object")
        scaling = scaling.get("full_attention", scaling)  # v5 may nest one entry per layer type
        if not isinstance(scaling, Mapping):
            raise ConfigError(f"{self.where}: rope_parameters={_short(scaling)} must be an object")
        theta = scaling.get("rope_theta") or self.number("rope_theta", _DEFAULT_THETA)
        theta = self.checked_number("rope_theta", theta)
        if theta <= 1:
            raise ConfigError(f"{self.where}: rope_theta={theta} must be above 1")
        kind = scaling.get("rope_type", scaling.get("type")) or "default"
        allowed = _YARN_FIELDS if kind == "yarn" else {"rope_type", "type", "rope_theta"}
        if kind not in ("default", "yarn"):
            raise ConfigError(f"{self.where}: rope_type={_short(kind)} is not supported; "
                              "only default and yarn are")  # fmt: skip
        for field, value in scaling.items():
            harmless = value is None or (field == "partial_rotary_factor" and value == 1)
            if not harmless and (field not in allowed or field == "partial_rotary_factor"):
                raise ConfigError(f"{self.where}: rope_parameters.{_short(field)}={_short(value)} "
                                  f"is not supported for rope_type {kind}")  # fmt: skip
        return (self.yarn(scaling) if kind == "yarn" else None), theta

    def yarn(self, scaling: Mapping[str, Any]) -> Yarn:
        if scaling.get("truncate") not in (None, True):
            raise ConfigError(f"{self.where}: rope_parameters.truncate=false is not supported")

        def number(field: str, default: float) -> float:
            value = scaling.get(field)
            return self.checked_number(f"rope_parameters.{field}", value) if value else default

        original = scaling.get("original_max_position_embeddings")
        original = self.integer("max_position_embeddings") if original is None else original
        if not isinstance(original, int) or isinstance(original, bool) or original < 1:
            raise ConfigError(f"{self.where}: rope_parameters.original_max_position_embeddings="
                              f"{_short(original)} must be a positive integer")  # fmt: skip
        factor = number("factor", self.integer("max_position_embeddings") / original)
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


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
