"""Qwen3 dense and MoE, Qwen2.5 and Llama decoders in Flax NNX, loaded from Hugging Face checkpoints.

Load, prefill and decode::

    import jax, jax.numpy as jnp
    from kinetics_jax import models

    model = models.load("Qwen/Qwen3-0.6B")
    tokenizer = models.load_tokenizer("Qwen/Qwen3-0.6B")
    prompt = tokenizer.chat([{"role": "user", "content": "What is 7 · 8?"}])
    cache = models.make_cache(model, batch=1, capacity=4096)
    logits, cache = jax.jit(models.prefill)(model, cache, jnp.array([prompt]), jnp.array([len(prompt)]))
    step = jax.jit(models.decode_step, donate_argnums=1)
    for _ in range(100):
        print(tokenizer.decode([token := int(logits[0].argmax())]), end="")
        logits, cache = step(model, cache, jnp.array([token]))
"""

from kinetics_jax.models.checkpoints import CheckpointError, load, restore_orbax, save_hf, save_orbax
from kinetics_jax.models.sharding import Layout, ReplicatedWarning, ShardingRules, lay_out
from kinetics_jax.models.steps import decode_step, make_cache, prefill
from kinetics_jax.models.tokenizers import ByteTokenizer, Tokenizer, decode_all, load_tokenizer
from kinetics_jax.models.transformer import Qwen3, Transformer
from kinetics_jax.models.weights import Weight, count_params, describe

__all__ = [
    "ByteTokenizer",
    "CheckpointError",
    "Layout",
    "Qwen3",
    "ReplicatedWarning",
    "ShardingRules",
    "Tokenizer",
    "Transformer",
    "Weight",
    "count_params",
    "decode_all",
    "decode_step",
    "describe",
    "lay_out",
    "load",
    "load_tokenizer",
    "make_cache",
    "prefill",
    "restore_orbax",
    "save_hf",
    "save_orbax",
]
