"""The model: Qwen3 dense and MoE, the Qwen2.5 family and Llama decoders, as Flax NNX modules.

Axis letters: B sequences · T tokens · N query heads · K KV heads · H head dim · D model dim · V vocabulary.
Modules are pytrees: pass a model to ``jax.jit`` like an array.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from kinetics_jax.attention import KVCache, WithinChunk
from kinetics_jax.errors import InputError
from kinetics_jax.models import rope
from kinetics_jax.models.described import DescribedModel
from kinetics_jax.models.layers import Embedding, Params, Projection, RMSNorm
from kinetics_jax.models.moe import SparseMoE, SwiGLU
from kinetics_jax.models.sharding import Layout
from kinetics_jax.shapes import ModelConfig

Array = jax.Array
Cache = TypeVar("Cache", bound=KVCache)


class Attention(nnx.Module):
    """Grouped-query attention with RoPE; QK-norm (Qwen3), biases (Qwen2.5) where the config has them."""

    def __init__(self, params: Params, config: ModelConfig, layout: Layout) -> None:
        self.query = Projection(params / "query", "btd,dnh->btnh", layout)
        self.key = Projection(params / "key", "btd,dkh->btkh", layout)
        self.value = Projection(params / "value", "btd,dkh->btkh", layout)
        self.out = Projection(params / "out", "btnh,nhd->btd", layout)
        normed, eps = config.qk_norm, config.norm_eps
        self.query_norm = RMSNorm(params / "query_norm", eps) if normed else None
        self.key_norm = RMSNorm(params / "key_norm", eps) if normed else None
        self.layout = layout

    def __call__(
        self, x_btd: Array, rotary: tuple[Array, Array], cache: Cache, layer: Array | int, counts_b: Array
    ) -> tuple[Array, Cache]:
        """Same shape as ``x_btd``, and the cache with this layer's keys and values in it."""
        query, key, value = self.query(x_btd), self.key(x_btd), self.value(x_btd)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key = rope.rotate(query, *rotary), rope.rotate(key, *rotary)
        copies = self.layout.kv_copies
        query, key, value = (
            self.layout.constrain(x, "batch", None, "heads", None)
            for x in (query, jnp.repeat(key, copies, axis=2), jnp.repeat(value, copies, axis=2))
        )
        mixed, cache = cache.attend(layer, query, key, value, counts_b)
        return self.out(mixed), cache


class Block(nnx.Module):
    """One layer: attention and feed-forward, each after a norm and added to the stream."""

    def __init__(self, params: Params, config: ModelConfig, layout: Layout, *, experts: bool) -> None:
        """``experts``: whether the ffn is a mixture of experts."""
        self.attention_norm = RMSNorm(params / "attention_norm", config.norm_eps)
        self.attention = Attention(params / "attention", config, layout)
        self.ffn_norm = RMSNorm(params / "ffn_norm", config.norm_eps)
        below, moe = params / "ffn", config.moe if experts else None
        self.ffn = SparseMoE(below, moe, layout) if moe else SwiGLU(below, layout)
        self.layout = layout

    def __call__(
        self, x_btd: Array, rotary: tuple[Array, Array], cache: Cache, layer: Array | int, counts_b: Array
    ) -> tuple[Array, Cache]:
        """Same shape as ``x_btd``, and the cache."""
        with jax.named_scope("attention"):
            mixed, cache = self.attention(self.attention_norm(x_btd), rotary, cache, layer, counts_b)
            x_btd = self.layout.constrain(x_btd + mixed, "batch", None, None)
        with jax.named_scope("ffn"):
            x_btd = x_btd + self.ffn(self.ffn_norm(x_btd))
            return self.layout.constrain(x_btd, "batch", None, None), cache


class Transformer(DescribedModel):
    """A decoder-only transformer. ``model(tokens_bt)`` is the full forward pass.

    Build one with ``kinetics_jax.models.load`` or ``Transformer.init``; decode with ``prefill`` and
    ``decode_step``. Layers are stacked and scanned, unless the arrays came unrolled, as they do where
    dense layers stand among layers of experts.
    """

    def __init__(self, config: ModelConfig, arrays: Mapping[str, Any], layout: Layout | None = None) -> None:
        """``arrays`` as ``weights.describe`` lists them: ``jax.Array`` or ``ShapeDtypeStruct``."""
        layout = layout or Layout()
        params = Params(arrays)
        self.config, self.layout = config, layout
        self.unrolled = "layers.attention_norm.weight" not in arrays
        self.dtype = jnp.dtype(arrays["final_norm.weight"].dtype)
        self.embed = Embedding(params / "embed", layout, self.dtype)
        below = params / "layers"
        self.layers: Block | nnx.List[Block] = (
            nnx.List(
                [
                    Block(below / str(n), config, layout, experts=config.has_experts(n))
                    for n in range(config.num_layers)
                ]
            )
            if self.unrolled
            else Block(below, config, layout, experts=config.moe is not None)
        )
        self.final_norm = RMSNorm(params / "final_norm", config.norm_eps)
        self.head = None if config.tied_embeddings else Embedding(params / "head", layout, self.dtype)

    def hidden(self, tokens_bt: Array, cache: Cache, counts_b: Array) -> tuple[Array, Cache]:
        """Normed output x_btd of the last layer for new tokens, and the cache with them in it."""
        x_btd = self.embed.look_up(tokens_bt)
        position_bt = cache.lengths_b[:, None] + jnp.arange(tokens_bt.shape[1])
        rotary = rope.angles(self.config, position_bt)
        if isinstance(self.layers, nnx.List):
            for layer, block in enumerate(self.layers):
                x_btd, cache = block(x_btd, rotary, cache, layer, counts_b)
        else:

            def step(carry: tuple, below: tuple) -> tuple:
                layer, block = below
                return block(carry[0], rotary, carry[1], layer, counts_b), None

            numbered = (jnp.arange(self.config.num_layers), self.layers)
            (x_btd, cache), _ = lax.scan(step, (x_btd, cache), numbered)
        return self.final_norm(x_btd), cache.advance(counts_b)

    def logits(self, x_btd: Array) -> Array:
        """Logits_btv (float32) of normed hidden vectors."""
        with jax.named_scope("logits"):
            return (self.embed if self.head is None else self.head).logits(x_btd)

    def __call__(self, tokens_bt: Array | np.ndarray | Sequence[Sequence[int]]) -> Array:
        """Logits_btv (float32) of whole sequences, each token seeing those before it.

        Raises ``InputError`` where the tokens are not a B×T array of integers below V.
        """
        return _forward(self, check_tokens(self.config, tokens_bt))


Qwen3 = Transformer
"""The family that the paper uses, and the name by which its readers look for it."""


@jax.jit
def _forward(model: Transformer, tokens_bt: Array) -> Array:
    B, T = tokens_bt.shape
    nothing = WithinChunk(jnp.zeros(B, jnp.int32))
    return model.logits(model.hidden(tokens_bt, nothing, jnp.full(B, T))[0])


def check_tokens(config: ModelConfig, tokens_bt: object) -> Array:
    """Tokens as int32, checked where their values are known (not under ``jit``)."""
    tokens = tokens_bt if isinstance(tokens_bt, jax.Array) else np.asarray(tokens_bt)
    if tokens.ndim != 2 or tokens.size == 0 or not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise InputError(f"tokens must be a B×T array of integers; got {tokens.dtype}{tokens.shape}")
    if isinstance(tokens, np.ndarray) and not (0 <= tokens.min() <= tokens.max() < config.vocab_size):
        raise InputError(
            f"token ids must be in 0…{config.vocab_size - 1} ({config.name}'s vocabulary); "
            f"got {tokens.min()}…{tokens.max()}"
        )
    return jnp.asarray(tokens, jnp.int32)
