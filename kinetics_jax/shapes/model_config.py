"""The shape of a decoder-only transformer: what models are built from and what costs are counted from.

Covers Qwen3 (dense and MoE), Qwen2.5 and R1-Distill-Qwen, and Llama decoders; others that are near enough to
be priced say what keeps them from being run (``priced_only``). No JAX here.
Dims: D model · F ffn · E experts · L layers · N query heads · K KV heads · G = N/K · H head · V vocabulary.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.shapes import hf_config
from kinetics_jax.shapes.parts import Llama3Rope, MoE, Yarn

_ARRAYS = (
    "vocab_size",
    "model_dim",
    "num_layers",
    "num_query_heads",
    "num_kv_heads",
    "head_dim",
    "tied_embeddings",
    "qk_norm",
    "qkv_bias",
    "total_params",
    "active_params",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Architecture constants of one model. Parameter counts and KV bytes follow from them."""

    name: str
    vocab_size: int
    """V."""
    model_dim: int
    """D (``hidden_size`` in Hugging Face's config.json)."""
    ffn_dim: int
    """F of the dense ffn; unused where every layer has experts."""
    num_layers: int
    """L."""
    num_query_heads: int
    """N."""
    num_kv_heads: int
    """K."""
    head_dim: int
    """H, explicit: N·H need not equal D."""
    tied_embeddings: bool = False
    """Whether the output projection is the embedding table."""
    qk_norm: bool = True
    """RMSNorm over H of every query and key before RoPE (Qwen3; not Qwen2.5, not Llama)."""
    qkv_bias: bool = False
    """Biases on the q, k and v projections (Qwen2.5)."""
    out_bias: bool = False
    """Bias on the attention output projection."""
    rope_theta: float = 1_000_000.0
    yarn: Yarn | None = None
    llama3_rope: Llama3Rope | None = None
    """At most one of the two stretches the rotary embedding."""
    norm_eps: float = 1e-6
    max_context: int = 40_960
    """Longest context, prompt and generation together, in tokens."""
    moe: MoE | None = None
    eos_token_ids: tuple[int, ...] = (151_645, 151_643)
    pad_token_id: int | None = 151_643
    priced_only: str | None = None
    """What of the model is not computed here, in words; None where it runs. Such a shape is for prices:
    making or loading its weights is refused."""
    nominal_params: float | None = None
    """P as the paper's cost scripts have it, where they have it (facts: the 0.6B and 1.7B count the
    tied embedding twice). Used by the ``paper`` and ``reference`` cost modes only."""

    def __post_init__(self) -> None:
        for field in (
            "vocab_size",
            "model_dim",
            "num_layers",
            "num_query_heads",
            "num_kv_heads",
            "head_dim",
            "max_context",
        ):
            if getattr(self, field) < 1:
                raise InputError(f"{self.name}: {field}={getattr(self, field)} must be at least 1")
        if self.num_query_heads % self.num_kv_heads:
            raise InputError(
                f"{self.name}: num_query_heads={self.num_query_heads} is not a multiple of "
                f"num_kv_heads={self.num_kv_heads}"
            )
        if self.yarn and self.llama3_rope:
            raise InputError(f"{self.name}: yarn and llama3_rope exclude each other; give one")
        if self.moe and not all(0 <= n < self.num_layers for n in self.moe.dense_layers):
            raise InputError(f"{self.name}: moe.dense_layers names a layer that is not there")
        if self.moe and self.num_moe_layers < 1:
            raise InputError(f"{self.name}: no layer has experts; moe must be None")

    @classmethod
    def from_hf(cls, source: Mapping[str, Any] | str | pathlib.Path) -> "ModelConfig":
        """The shape described by a Hugging Face ``config.json``: its fields, the file or its folder.

        Raises ``kinetics_jax.shapes.ConfigError`` on anything this library does not compute.
        """
        return hf_config.read(source, cls)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], name: str) -> "ModelConfig":
        """The shape in a stored record: what ``to_dict`` gives, with or without what is by default.

        Raises ``InputError`` for a field that is missing or not known here.
        """
        parts = {"yarn": Yarn, "llama3_rope": Llama3Rope, "moe": MoE}
        try:
            values = {k: parts[k](**_tuples(v)) if k in parts else v for k, v in _tuples(fields).items()}
            return cls(**{**values, "name": name})
        except (TypeError, AttributeError) as error:
            raise InputError(f"{name}: its shape cannot be read ({error})") from None

    def to_dict(self) -> dict[str, Any]:
        """The shape without its name, ready for JSON; what is not given (None) is left out."""
        fields = dataclasses.asdict(self)
        return {key: value for key, value in fields.items() if value is not None and key != "name"}

    def difference(self, other: "ModelConfig") -> str:
        """What of another's arrays, and so of its price, is not as here, in words; empty where nothing is."""
        pairs = ((field, getattr(other, field), getattr(self, field)) for field in _ARRAYS)
        return next((f"{field} is {there}, not {here}" for field, there, here in pairs if there != here), "")

    @property
    def queries_per_kv(self) -> int:
        """G = N/K, the paper's GQA ratio r."""
        return self.num_query_heads // self.num_kv_heads

    @property
    def kv_elements_per_token(self) -> int:
        """Elements of K and V that one token stores over all layers: the paper's D = 2·L·K·H."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim

    def kv_bytes_per_token(self, bytes_per_element: float = 2.0) -> float:
        """Bytes of KV cache that one token takes, over all layers (BF16 unless told)."""
        return self.kv_elements_per_token * bytes_per_element

    def has_experts(self, layer: int) -> bool:
        """Whether the ffn of ``layer`` (from 0) is a mixture of experts."""
        if self.moe is None:
            return False
        return (layer + 1) % self.moe.every == 0 and layer not in self.moe.dense_layers

    @property
    def num_moe_layers(self) -> int:
        """Layers whose ffn is a mixture of experts."""
        if not self.moe:
            return 0
        dense = {n for n in self.moe.dense_layers if (n + 1) % self.moe.every == 0}
        return self.num_layers // self.moe.every - len(dense)

    @property
    def num_dense_ffn_layers(self) -> int:
        """Layers whose ffn is dense."""
        return self.num_layers - self.num_moe_layers

    @property
    def layers_differ(self) -> bool:
        """Whether dense layers stand among layers of experts, so that layers cannot be stacked."""
        return 0 < self.num_moe_layers < self.num_layers

    # Parameters, counted from the shapes. The tests hold every preset against published counts, and
    # kinetics_jax.models against the arrays it really makes.

    @property
    def attention_params_per_layer(self) -> int:
        """Projections, their biases and the q/k norms of one layer."""
        q, kv = self.num_query_heads * self.head_dim, self.num_kv_heads * self.head_dim
        weights = self.model_dim * (q + 2 * kv) + q * self.model_dim
        biases = (q + 2 * kv) * self.qkv_bias + self.model_dim * self.out_bias
        return weights + biases + 2 * self.head_dim * self.qk_norm

    @property
    def expert_params(self) -> int:
        """One expert's gate, up and down projections (0 for a dense model)."""
        return 3 * self.model_dim * self.moe.expert_dim if self.moe else 0

    @property
    def router_params_per_layer(self) -> int:
        """The router's D×E matrix (0 for a dense model)."""
        return self.model_dim * self.moe.num_experts if self.moe else 0

    @property
    def ffn_params_per_layer(self) -> int:
        """All ffn weights that one layer stores, every expert and the router included.

        Where layers differ: of a layer with experts; the others store ``dense_ffn_params``.
        """
        if self.moe:
            return self.moe.num_experts * self.expert_params + self.router_params_per_layer
        return self.dense_ffn_params

    @property
    def active_ffn_params_per_layer(self) -> int:
        """Ffn weights of one layer that one token multiplies with (where layers differ: with experts)."""
        if self.moe:
            return self.moe.experts_per_token * self.expert_params + self.router_params_per_layer
        return self.dense_ffn_params

    @property
    def dense_ffn_params(self) -> int:
        """The gate, up and down projections of one dense layer."""
        return 3 * self.model_dim * self.ffn_dim

    @property
    def embedding_params(self) -> int:
        """The V×D table."""
        return self.vocab_size * self.model_dim

    @property
    def _norm_params(self) -> int:
        return (2 * self.num_layers + 1) * self.model_dim

    @property
    def total_params(self) -> int:
        """Every stored parameter; a tied embedding is counted once."""
        layers = self._in_all_layers(self.ffn_params_per_layer)
        tables = self.embedding_params * (1 if self.tied_embeddings else 2)
        return layers + tables + self._norm_params

    @property
    def active_params(self) -> int:
        """Parameters that one token touches, embedding and output tables included (the MoE's "A")."""
        idle = self.ffn_params_per_layer - self.active_ffn_params_per_layer
        return self.total_params - self.num_moe_layers * idle

    @property
    def matmul_params(self) -> int:
        """Parameters that one decoded token multiplies with: active layers and the output projection.

        The input embedding is a look-up of one row, so an untied model's table is not in it.
        """
        layers = self._in_all_layers(self.active_ffn_params_per_layer)
        return layers + self.embedding_params + self._norm_params

    def _in_all_layers(self, ffn_params: int) -> int:
        """Attention and ffn parameters of all layers, given those of an ffn that is the rule."""
        dense = self.num_dense_ffn_layers if self.moe else 0
        attention = self.num_layers * self.attention_params_per_layer
        return attention + (self.num_layers - dense) * ffn_params + dense * self.dense_ffn_params

    @property
    def paper_params(self) -> float:
        """P of the paper's equations: its own nominal figure where it has one, else active params."""
        return self.nominal_params or float(self.active_params)


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with JSON's lists as the tuples that they were."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
