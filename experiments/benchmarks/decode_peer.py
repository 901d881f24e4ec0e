"""What an engine's decode step on a CPU is measured against: transformers' step, and reading memory.

Letters: B sequences · S context · K KV heads · H head dim.
"""

import concurrent.futures
import inspect
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
import transformers

from kinetics_jax.shapes import ModelConfig

CACHES = ("DynamicCache", "StaticCache")


@numba.njit(nogil=True, fastmath=True)
def _sum(numbers: Any) -> Any:
    total = np.float32(0)
    for i in range(numbers.shape[0]):
        total += numbers[i]
    return total


def read_bandwidth(repeats: int = 10) -> dict[int, float]:
    """Bytes a second that 1 … all cores read, each adding up its part of 1 GiB; the best of some runs."""
    numbers = np.ones(1 << 28, np.float32)
    found = {}
    for threads in sorted({1, os.cpu_count() or 1}):
        parts = np.array_split(numbers, threads)
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            took = fastest(lambda: list(pool.map(_sum, parts)), repeats)  # noqa: B023 - called at once
        found[threads] = numbers.nbytes / took.wall
    return found


class Took(NamedTuple):
    """Seconds of a call: by the clock, and of all cores together. Other jobs raise the first far more."""

    wall: float
    cpu: float


def fastest(function: Callable[[], Any], repeats: int) -> Took:
    """The least of each over some calls, after one that does not count."""
    function()
    taken = []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        function()
        taken.append((time.perf_counter() - start, time.process_time() - used))
    return Took(*map(min, zip(*taken, strict=True)))


def transformers_step(config: ModelConfig, B: int, S: int, dtype: str, cache: str, repeats: int) -> Took:
    """A greedy decode step of B sequences that hold S random tokens."""
    shape = transformers.Qwen3Config(
        vocab_size=config.vocab_size,
        hidden_size=config.model_dim,
        intermediate_size=config.ffn_dim,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_query_heads,
        num_key_value_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        tie_word_embeddings=config.tied_embeddings,
        max_position_embeddings=config.max_context,
        attn_implementation="sdpa",
    )
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    model = transformers.Qwen3ForCausalLM(shape).to(kind).eval()
    room = {"max_cache_len": S + repeats + 2} if cache == "StaticCache" else {}
    held = getattr(transformers, cache)(config=shape, **room)
    place = torch.arange(S)
    for layer in range(config.num_layers):
        key, value = (torch.rand(B, config.num_kv_heads, S, config.head_dim, dtype=kind) for _ in "kv")
        held.update(key, value, layer, {"cache_position": place})
    token = torch.zeros(B, 1, dtype=torch.long)
    step = iter(range(S, S + repeats + 2))
    forward = inspect.signature(model.forward).parameters
    name = "cache" if "cache" in forward else "past_key_values"

    def decode() -> Any:
        at = torch.tensor([next(step)])
        logits = model(token, use_cache=True, cache_position=at, **{name: held}).logits
        return logits[:, -1].argmax(-1)

    with torch.inference_mode():
        return fastest(decode, repeats)


def versions() -> str:
    """The peers."""
    return f"transformers {transformers.__version__}, torch {torch.__version__}"
