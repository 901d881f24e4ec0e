"""Hugging Face ``config.json`` ↔ ``ModelConfig``, as transformers 4 and transformers 5 write it.

Every field of the file is either read, or known not to touch the forward pass, or held to the one
value that this library computes. Anything else is an error: a field that changes the mathematics is
never skipped.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from kinetics_jax.spec.errors import InputError
from kinetics_jax.spec.hf_fields import ConfigError, Fields, read_json, short
from kinetics_jax.spec.hf_rope import read_rope
from kinetics_jax.spec.model_config import ModelConfig, MoE

_FAMILIES = ("llama", "qwen2", "qwen3", "qwen3_moe")
_NORMED = ("qwen3", "qwen3_moe")
_DEFAULT_QWEN3_HEAD_DIM = 128  # what transformers' class assumes where the file is silent

_IGNORED = frozenset((
    "_attn_implementation", "_attn_implementation_autoset", "_name_or_path", "architectures",
    "attention_dropout", "auto_map", "bos_token_id", "dtype", "id2label", "initializer_range",
    "is_llama_config", "label2id", "max_window_layers", "name_or_path", "output_attentions",
    "output_hidden_states", "output_router_logits", "problem_type", "return_dict",
    "router_aux_loss_coef", "torch_dtype", "transformers.js_config", "transformers_version",
    "use_cache", "use_return_dict",
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
    "rope_interleaved": False,
}


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


class _Reader(Fields):
    """A whole ``config.json``."""

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
        context = self.integer("max_position_embeddings")
        try:
            rope = read_rope(self)
            if yarn := rope["yarn"]:
                context = max(context, int(yarn.factor * yarn.original_context))
            return ModelConfig(
                name=str(self.fields.get("_name_or_path") or family),
                vocab_size=self.integer("vocab_size"),
                model_dim=self.integer("hidden_size"),
                ffn_dim=self.integer("intermediate_size"),
                num_layers=self.integer("num_hidden_layers"),
                num_query_heads=heads,
                num_kv_heads=self.kv_heads(family, heads),
                head_dim=self.head_dim(family, heads),
                tied_embeddings=self.boolean("tie_word_embeddings"),
                qk_norm=family in _NORMED,
                qkv_bias=bias or family == "qwen2",
                out_bias=bias,
                **rope,
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

    def kv_heads(self, family: str, heads: int) -> int:
        """K; a null is one per query head, and so is silence of a Llama."""
        silent = "num_key_value_heads" not in self.fields
        if not self.given("num_key_value_heads") and (family == "llama" or not silent):
            return heads
        return self.integer("num_key_value_heads")

    def head_dim(self, family: str, heads: int) -> int:
        """H; where the file is silent, what transformers' class for the family assumes."""
        if family == "qwen3" and "head_dim" not in self.fields:
            return _DEFAULT_QWEN3_HEAD_DIM
        explicit = self.given("head_dim")
        head_dim = self.integer("head_dim") if explicit else self.integer("hidden_size") // heads
        if head_dim < 2 or head_dim % 2:
            raise self.fail("head_dim", f"gives a head of {head_dim}; RoPE needs an even one")
        return head_dim

    def moe(self) -> MoE:
        names = [n for n in ("num_experts", "num_local_experts") if self.given(n)]
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
                    raise ConfigError(f"{self.where}: {field}={short(given)} must be token ids")
                if token >= 0 and token not in found:  # -1 is an old way to say "none"
                    found.append(token)
        return tuple(found)
