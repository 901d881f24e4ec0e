"""One step of the sampler and the stop rules on this machine, by path, against a sampler with a sort.

    python -m experiments.benchmarks.sampler_cpu --out sampler_cpu.json

A time is the fastest of some calls of one jitted step, dispatch included. The peer sorts the vocabulary,
masks and calls ``jax.random.categorical``: the same distribution. Letters: B slots · V vocabulary.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from kinetics_jax.engine.sampler import repetition, thinking
from kinetics_jax.engine.sampler.sampling import SamplerState, sample_tokens
from kinetics_jax.engine.sampler.threefry import sample_keys
from kinetics_jax.records import RepetitionRule, SamplingParams, ThinkingBudget

_SHAPES = flags.DEFINE_list("shapes", ["8x151936", "32x272"], "Batch x vocabulary, one run each.")
_REPEATS = flags.DEFINE_integer("repeats", 15, "Timed calls of each function; the fastest counts.")
_OUT = flags.DEFINE_string("out", "", "Write the results here as JSON; nothing if empty.")

PUBLISHED = SamplingParams()
PATHS = {
    "published filters": (PUBLISHED, False),
    "greedy": (SamplingParams(temperature=0.0), False),
    "top-p alone, peaked": (SamplingParams(top_k=0), True),
    "no filter": (SamplingParams(top_k=0, top_p=1.0), False),
    "top-p alone, flat": (SamplingParams(top_k=0), False),
    "top-k 1000 and top-p, flat": (SamplingParams(top_k=1000), False),
}


def textbook_step(logits_bv: jax.Array, params: SamplingParams, key: jax.Array) -> jax.Array:
    """Sort, mask, draw, as one would write it first; one set of parameters for all rows."""
    order_bv = jnp.argsort(-logits_bv, axis=-1)
    sorted_bv = jnp.take_along_axis(logits_bv, order_bv, axis=-1) / params.temperature
    if params.top_k:
        sorted_bv = jnp.where(jnp.arange(logits_bv.shape[1]) < params.top_k, sorted_bv, -jnp.inf)
    before_bv = jnp.cumsum(jax.nn.softmax(sorted_bv), axis=-1) - jax.nn.softmax(sorted_bv)
    drawn_b = jax.random.categorical(key, jnp.where(before_bv <= params.top_p, sorted_bv, -jnp.inf))
    return jnp.take_along_axis(order_bv, drawn_b[:, None], axis=-1)[:, 0]


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """The fastest of some calls, after one to compile."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(_REPEATS.value):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - start)
    return min(taken)


def measure(B: int, V: int) -> dict[str, Any]:
    """Times of one shape in milliseconds, and the ratio to the peer."""
    flat = np.random.default_rng(0).normal(size=(B, V)).astype(np.float32) * 2
    peaked = flat.copy()
    peaked[:, :5] += 20
    keys = sample_keys(0, ["a problem"] * B, range(B))
    count_b = jnp.full(B, 2000, jnp.int32)
    times = {}
    for name, (params, is_peaked) in PATHS.items():
        state = jax.tree.map(jnp.asarray, SamplerState.of([params] * B, keys))
        logits = jnp.asarray(peaked if is_peaked else flat)
        times[name] = seconds(jax.jit(sample_tokens), logits, state, count_b)
    textbook = jax.jit(lambda logits, key: textbook_step(logits, PUBLISHED, key))
    peer = seconds(textbook, jnp.asarray(flat), jax.random.key(0))
    active_b = jnp.ones(B, bool)
    loops = seconds(
        jax.jit(repetition.update), repetition.init(RepetitionRule(), B), count_b, count_b, count_b, active_b
    )
    budget = ThinkingBudget(end=7, max_tokens=30_000, close=(1, 7))
    thoughts = seconds(jax.jit(thinking.override), thinking.rows([budget] * B), count_b, count_b)
    times |= {"repetition rule": loops, "thinking budget": thoughts, "textbook, published": peer}
    return {
        "B": B,
        "V": V,
        "milliseconds": {name: 1e3 * taken for name, taken in times.items()},
        "textbook / ours": peer / times["published filters"],
    }


def machine() -> str:
    """What this ran on."""
    chip = jax.devices()[0].device_kind
    return f"{os.cpu_count()} cores, {platform.machine()}, {chip}, jax {jax.__version__}"


def main(_: Sequence[str]) -> None:
    """Measure every shape, print a table, write JSON."""
    print(f"measured here: {machine()}")
    results = []
    for shape in _SHAPES.value:
        B, V = map(int, shape.split("x"))
        result = measure(B, V)
        results.append(result)
        print(f"B={B} V={V}: textbook / ours = {result['textbook / ours']:.1f}")
        for name, taken in result["milliseconds"].items():
            print(f"  {name:28s} {taken:9.3f} ms")
    if _OUT.value:
        with open(_OUT.value, "w") as file:
            json.dump({"machine": machine(), "results": results}, file, indent=1)
        print(f"written to {_OUT.value}")


if __name__ == "__main__":
    app.run(main)
