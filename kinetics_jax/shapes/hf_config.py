"""Hugging Face ``config.json`` → ``ModelConfig``, as transformers 4 and transformers 5 write it.

A field that can change the mathematics is read, or held to what is computed (``hf_rules``). What is not
known passes with one warning that lists it.
"""

import pathlib
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kinetics_jax.errors import InputError
from kinetics_jax.shapes.hf_fields import (
    ConfigError,
    ConfigWarning,
    Fields,
    read_json,
    short,
    warn_passed_over,
)
from kinetics_jax.shapes.hf_rope import read_rope
from kinetics_jax.shapes.hf_rules import FAMILIES, HARMLESS, READ, RELATIVES, accepts, held
from kinetics_jax.shapes.parts import MoE

_NORMED = ("qwen3", "qwen3_moe")
_DEFAULT_QWEN3_HEAD_DIM = 128  # what transformers' class assumes where the file is silent
_NOT_LANGUAGE_MODELS = re.compile("For(Sequence|Token)Classification|ForQuestionAnswering|Reward")
_QUANTISED = re.compile(
    r"[-_.](unsloth|bnb|dynamic|fp8|awq|gptq|int[48]|[48]bit|w\d+a\d+|nvfp4|mxfp4|autoround|hqq|exl[23])\b.*",
    re.IGNORECASE,
)


Shape = TypeVar("Shape")


def read(source: Mapping[str, Any] | str | pathlib.Path, make: Callable[..., Shape]) -> Shape:
    """What ``make`` (``ModelConfig``) makes of a config mapping, a ``config.json`` file or its folder.

    A folder's ``generation_config.json`` adds its end-of-text tokens; a broken one is a
    ``ConfigWarning``, and so are fields that are not known. Raises ``ConfigError`` naming the file and
    the field.
    """
    if isinstance(source, Mapping):
        return _Reader(source, "config").read(make)
    path = pathlib.Path(source)
    file = path / "config.json" if path.is_dir() else path
    fields = read_json(file)
    fields.setdefault("_name_or_path", _folder_name(file.parent))
    return _Reader(fields, str(file)).read(make, _generation_stops(file.parent))


def _folder_name(folder: pathlib.Path) -> str:
    """What a checkpoint's folder is called; in the hub's cache, the name of the repository."""
    whole = folder.resolve()
    if whole.parent.name == "snapshots":  # models--org--name/snapshots/revision
        return whole.parent.parent.name.rpartition("--")[2]
    return whole.name


def _generation_stops(folder: pathlib.Path) -> tuple[int, ...]:
    """End-of-text tokens of ``generation_config.json``; none, and a warning, where it is broken."""
    file = folder / "generation_config.json"
    if not file.exists() and not file.is_symlink():
        return ()
    try:
        return Fields(read_json(file), str(file)).tokens("eos_token_id")
    except ConfigError as error:
        warnings.warn(
            f"{error}; it is passed over: stop tokens are those of config.json alone",
            ConfigWarning,
            stacklevel=4,
        )
        return ()


class _Reader(Fields):
    """A whole ``config.json``."""

    def read(self, make: Callable[..., Shape], extra_stops: tuple[int, ...] = ()) -> Shape:
        family = self.fields.get("model_type")
        if not isinstance(family, str) or family not in FAMILIES:
            why = RELATIVES.get(family) if isinstance(family, str) else None
            raise self.fail(
                "model_type", f"is not supported{f' ({why})' if why else ''}; known: {', '.join(FAMILIES)}"
            )
        self.check_quantisation()
        heads = self.integer("num_attention_heads")
        bias = self.boolean("attention_bias") and family != "qwen2"  # whose biases are fixed
        context = self.integer("max_position_embeddings")
        passed = self.check_fields(family, bias)
        try:
            rope, unread = read_rope(self)
            if yarn := rope["yarn"]:
                context = max(context, int(yarn.factor * yarn.original_context))
            context = self.undivided(context)
            self.check_full_attention(family, context)
            found = make(
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
                eos_token_ids=tuple(dict.fromkeys(self.tokens("eos_token_id") + extra_stops)),
                pad_token_id=next(iter(self.tokens("pad_token_id")), None),
            )
        except ConfigError:
            raise
        except InputError as error:
            raise ConfigError(f"{self.where}: {error}") from error
        warn_passed_over(self.where, passed + unread, stacklevel=4)
        return found

    def check_quantisation(self) -> None:
        """Refuse weights that are stored in a quantised form."""
        for field in ("quantization_config", "compression_config"):
            given = self.fields.get(field)
            if not given:
                continue
            method = given.get("quant_method") if isinstance(given, Mapping) else None
            names = (pathlib.PurePath(self.where).parent.name, str(self.fields.get("_name_or_path", "")))
            plain = [_QUANTISED.sub("", pathlib.PurePath(n).name) for n in names if _QUANTISED.search(n)]
            raise ConfigError(
                f"{self.where}: {field} ({short(method) if method else 'no method named'}): quantised "
                "checkpoints of this kind are not supported; take the bfloat16 one it was made from"
                f"{f' ({plain[0][:80]})' if plain and plain[0] else ''}"
            )

    def check_fields(self, family: str, bias: bool) -> list[str]:
        """Refuse what would change the mathematics; the fields that are passed over, as text."""
        normed, passed = family in _NORMED, []
        rules = held(qk_norm=normed, qkv_bias=bias or family == "qwen2", out_bias=bias)
        for field, value in self.fields.items():
            if value is None:
                continue
            if field in rules:
                if not accepts(rules[field], value):
                    raise self.fail(field, f"is not supported; only {rules[field][0]!r} is")
            elif field not in READ and field not in HARMLESS:
                passed.append(self.label(field))
        self.check_rotated_layers()
        if family == "llama" and self.given("sliding_window"):  # a Llama has none, whatever it was made from
            passed.append(self.label("sliding_window"))
        return passed + self.check_class(family)

    def check_class(self, family: str) -> list[str]:
        """Refuse classifiers and reward models; another class, or code of its own, is worth a warning."""
        named = self.fields.get("architectures")
        named = named if isinstance(named, list) else [named] if named else []
        for name in named:
            if isinstance(name, str) and _NOT_LANGUAGE_MODELS.search(name):
                raise self.fail("architectures", "is not a language model: it predicts no next token")
        usual = (FAMILIES[family], FAMILIES[family].replace("ForCausalLM", "Model"))
        passed = [self.label("architectures")] if any(name not in usual for name in named) else []
        code = self.fields.get("auto_map")
        return passed + ([self.label("auto_map")] if code else [])

    def check_rotated_layers(self) -> None:
        """SmolLM3's list has a 1 for each layer with rotary positions."""
        given = self.fields.get("no_rope_layers")
        if given and not (isinstance(given, list) and all(layer == 1 for layer in given)):
            raise self.fail("no_rope_layers", "is not supported; every layer must have rotary positions")

    def check_full_attention(self, family: str, context: int) -> None:
        """Refuse windows that a context of ``context`` tokens does not fit."""
        kinds, layers = self.fields.get("layer_types"), self.integer("num_hidden_layers")
        if kinds is not None and (
            not isinstance(kinds, list) or any(k not in ("full_attention", "attention") for k in kinds)
        ):
            raise self.fail("layer_types", "is not supported; every layer must be full_attention")
        if kinds is not None and len(kinds) != layers:
            raise self.fail("layer_types", "does not have num_hidden_layers entries")
        if not self.given("sliding_window") or not self.boolean("use_sliding_window"):
            return
        first = self.fields.get("max_window_layers", 28)  # Qwen's default
        by_layer = family in ("qwen2", "qwen3") and (
            kinds is not None or (isinstance(first, int) and first >= layers)
        )
        if not by_layer and self.integer("sliding_window") < context:
            raise self.fail("sliding_window", f"with a context of {context} is not supported")

    def undivided(self, context: int) -> int:
        """The longest context whose attention is not cut into chunks (Qwen2.5-1M's)."""
        given = self.fields.get("dual_chunk_attention_config")
        if not given:
            return context
        if not isinstance(given, Mapping):
            raise self.fail("dual_chunk_attention_config", "must be an object")
        chunk = Fields(given, self.where, "dual_chunk_attention_config.")
        size, local = chunk.integer("chunk_size"), chunk.integer("local_size")
        if local >= size:
            raise chunk.fail("local_size", "must be below chunk_size")
        return min(context, size - local)

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

    def moe(self) -> MoE | None:
        """The experts; None where every layer turns out to be dense."""
        names = [n for n in ("num_experts", "num_local_experts") if self.given(n)]
        if not names:
            raise ConfigError(f"{self.where}: num_experts (or num_local_experts) is missing")
        if len({self.integer(name) for name in names}) > 1:
            raise self.fail("num_experts", "differs from num_local_experts")
        layers, every = self.integer("num_hidden_layers"), self.integer("decoder_sparse_step", 1)
        dense = self.dense_layers(layers, every)
        if layers // every == len(dense):
            return None
        return MoE(
            num_experts=self.integer(names[0]),
            experts_per_token=self.integer("num_experts_per_tok"),
            expert_dim=self.integer("moe_intermediate_size"),
            norm_topk_prob=self.boolean("norm_topk_prob"),
            every=every,
            dense_layers=dense,
        )

    def dense_layers(self, layers: int, every: int) -> tuple[int, ...]:
        """Those of ``mlp_only_layers`` that would have experts otherwise, in order."""
        given = self.fields.get("mlp_only_layers")
        given = [] if given is None else given
        whole = isinstance(given, list) and all(type(layer) is int for layer in given)
        if not whole:
            raise self.fail("mlp_only_layers", "must list numbers of layers")
        return tuple(sorted({n for n in given if 0 <= n < layers and (n + 1) % every == 0}))
