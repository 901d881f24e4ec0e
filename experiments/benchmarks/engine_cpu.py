"""The engine's decode step on this CPU against transformers', and against reading the bytes it must read.

    python -m experiments.benchmarks.engine_cpu --out results/engine_cpu.json

Qwen3-0.6B cut to 4 layers (so that 8 long contexts fit the memory), random weights, 8 samples, every layer
under the policy. Contexts are not prefilled: the pool is filled with random numbers and its pages are dealt
in no order. The engine's step draws a token with the published filters; the peer's takes the largest logit.
Both run in bfloat16 and float32, and each side's faster one counts.
Letters: B sequences · S context · P pages of a sequence · H head dim.
"""

import dataclasses
import gc
import json
import os
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

import pallas_kernels as pk
from experiments.benchmarks import decode_peer
from kinetics_jax.engine import Engine
from kinetics_jax.engine.device import Device
from kinetics_jax.engine.sampler.sampling import SamplerState
from kinetics_jax.engine.setup import make_device
from kinetics_jax.models import Transformer
from kinetics_jax.policies import BlockTopK, Dense, Policy
from kinetics_jax.records import SamplingParams
from kinetics_jax.shapes import presets

CONFIG = dataclasses.replace(presets["qwen3-0.6b"], num_layers=4)
POLICIES: dict[str, Policy] = {
    "dense": Dense(),
    "block top-k, budget 1024": BlockTopK(block_size=64, top_blocks=16, dense_layers=0),
}
TARGETS = {  # (policy, S) → times as fast as the peer; policy → times the reading of the bytes
    ("dense", 8192): 4,
    ("dense", 32_768): 10,
    ("block top-k, budget 1024", 8192): 10,
    ("block top-k, budget 1024", 32_768): 60,
    "dense": 2,
    "block top-k, budget 1024": 2.5,
}
DTYPES = ("bfloat16", "float32")

_CONTEXTS = flags.DEFINE_list("contexts", ["2048", "8192", "32768"], "Tokens a sequence holds.")
_SLOTS = flags.DEFINE_integer("samples", 8, "Sequences that decode at once.")
_STEPS = flags.DEFINE_integer("steps", 8, "Decode steps of a chunk.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed chunks, and timed steps of the peer.")
_PEER = flags.DEFINE_bool("peer", True, "Whether to run transformers too.")
_OUT = flags.DEFINE_string("out", "results/engine_cpu.json", "Where the figures go.")


def filled_device(policy: Policy, S: int, dtype: str) -> tuple[Engine, Device]:
    """An engine whose slots all hold S random tokens, on pages in no order."""
    model = Transformer.init(CONFIG, jax.random.key(0), dtype=dtype, unroll=True)
    B, room = _SLOTS.value, _STEPS.value * (_REPEATS.value + 2)
    engine = Engine(
        model, policy=policy, slots=B, max_context=S + room, prompt_rows=1, chunk_steps=_STEPS.value
    )
    device = make_device(engine.model, engine.policy, engine.config)
    state = device.state
    table = np.random.default_rng(0).permutation(device.plan.pool_pages - 1)[: B * device.pages] + 1
    rows = SamplerState.of([SamplingParams()] * B, np.arange(2 * B, dtype=np.uint32).reshape(B, 2))
    slots = dataclasses.replace(
        state.slots,
        page_table_bp=jnp.asarray(table.reshape(B, device.pages), jnp.int32),
        lengths_b=jnp.full(B, S, jnp.int32),
        prompt_len_b=jnp.full(B, S, jnp.int32),
        active_b=jnp.ones(B, bool),
        max_tokens_b=jnp.full(B, 10 * room, jnp.int32),
        hidden_bd=jnp.ones_like(state.slots.hidden_bd),
        sampler=jax.tree.map(jnp.asarray, rows),
    )
    summaries = None if state.summaries is None else _scramble(state.summaries)
    device._state = dataclasses.replace(
        state, kv_pages=_scramble(state.kv_pages), summaries=summaries, slots=slots
    )
    return engine, device


@jax.jit
def _hash(number: jax.Array) -> jax.Array:
    """−1 … 1 in no order: as good as random here, and made without room for a second array."""
    bits = number * jnp.uint32(2_654_435_761)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(2_246_822_519)
    return (bits ^ (bits >> 13)).astype(jnp.float32) * jnp.float32(2**-31) - 1


def _scramble(array: jax.Array) -> jax.Array:
    def fill(old: jax.Array) -> jax.Array:
        numbers = _hash(jax.lax.iota(jnp.uint32, old.size))
        return pk.narrow(numbers.reshape(old.shape), old.dtype)

    return jax.jit(fill, donate_argnums=0)(array)


def bytes_of_step(engine: Engine, S: int) -> dict[str, float]:
    """What a step must read: every weight once, the keys and values that the policy keeps, the summaries."""
    B, config = _SLOTS.value, CONFIG
    size = {"bfloat16": 2, "float32": 4}[engine.model.dtype.name]
    each = B * config.num_layers * config.num_kv_heads * config.head_dim * size
    length = np.array([S + 1])
    return {
        "weights": float(sum(array.nbytes for array in engine.model.arrays().values())),
        "keys and values": 2.0 * each * float(engine.policy.kv_reads(length)[0]),
        "summaries": float(each * engine.policy.summary_reads(length)[0]),
    }


def measure_engine(policy: Policy, S: int, dtype: str, bandwidth: float) -> dict[str, Any]:
    """One decode step of the engine."""
    engine, device = filled_device(policy, S, dtype)
    took = decode_peer.fastest(lambda: device.decode(_STEPS.value), _REPEATS.value)
    must = bytes_of_step(engine, S)
    floor = sum(must.values()) / bandwidth
    return {
        "milliseconds": 1e3 * took.wall / _STEPS.value,
        "cpu_milliseconds": 1e3 * took.cpu / _STEPS.value,
        "bytes": must,
        "milliseconds to read them": 1e3 * floor,
        "times the reading": took.wall / _STEPS.value / floor,
    }


def measure_peer(S: int, dtype: str, cache: str) -> dict[str, Any]:
    """One decode step of transformers, or why there is none."""
    each = 2 * CONFIG.num_kv_heads * CONFIG.head_dim * {"bfloat16": 2, "float32": 4}[dtype]
    need = 2.2 * _SLOTS.value * S * CONFIG.num_layers * each  # with the copies that it makes
    if need > _available():
        return {"skipped": f"needs {need / 1e9:.0f} GB, {_available() / 1e9:.0f} are free"}
    took = decode_peer.transformers_step(CONFIG, _SLOTS.value, S, dtype, cache, _REPEATS.value)
    return {"milliseconds": 1e3 * took.wall, "cpu_milliseconds": 1e3 * took.cpu}


def _available() -> int:
    words = pathlib.Path("/proc/meminfo").read_text().split()
    return 1024 * int(words[words.index("MemAvailable:") + 1])


def machine() -> str:
    """What this ran on."""
    chip = jax.devices()[0].device_kind
    return f"{os.cpu_count()} cores, {platform.machine()}, {chip}, jax {jax.__version__}"


def main(_: Sequence[str]) -> None:
    """Measure every context, print the ratios, write JSON."""
    bandwidth = max(decode_peer.read_bandwidth().values())
    print(f"measured here: {machine()}; {decode_peer.versions()}; load {os.getloadavg()[0]:.1f}")
    print(f"reads {bandwidth / 1e9:.1f} GB/s; Qwen3-0.6B of 4 layers, {_SLOTS.value} samples")
    results = []
    for S in map(int, _CONTEXTS.value):
        result: dict[str, Any] = {"S": S, "load": os.getloadavg()[0], "engine": {}, "peer": {}}
        for name, policy in POLICIES.items():
            result["engine"][name] = {d: measure_engine(policy, S, d, bandwidth) for d in DTYPES}
            gc.collect()
        for dtype in DTYPES if _PEER.value else ():
            for cache in decode_peer.CACHES:
                result["peer"][f"{cache}, {dtype}"] = measure_peer(S, dtype, cache)
                gc.collect()
        results.append(_compare(result))
    path = pathlib.Path(_OUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "peer": decode_peer.versions(), "bandwidth": bandwidth}
    path.write_text(json.dumps({**report, "results": results}, indent=1) + "\n", "utf-8")
    print(f"written to {path}")


def _compare(result: dict[str, Any]) -> dict[str, Any]:
    """The ratios of one context, printed and added to it."""
    S, peers = result["S"], result["peer"]
    print(f"S={S}, load {result['load']:.1f}")
    for name, took in peers.items():
        print(
            f"  transformers, {name:23s} {took.get('milliseconds', float('nan')):9.2f} ms"
            f"  {took.get('skipped', '')}"
        )
    fastest = {  # of the cache that its generate makes by default, which targets are for, and of any
        label: min(
            (
                took["milliseconds"]
                for name, took in peers.items()
                if name.startswith(cache) and "milliseconds" in took
            ),
            default=None,
        )
        for label, cache in (("default cache", "DynamicCache"), ("fastest cache", ""))
    }
    for policy, by_dtype in result["engine"].items():
        for dtype, took in by_dtype.items():
            print(
                f"  {policy:26s} {dtype:9s} {took['milliseconds']:9.2f} ms"
                f" = {took['times the reading']:.2f}× reading its bytes"
            )
        best = min(by_dtype.values(), key=lambda took: took["milliseconds"])
        result[f"{policy}: times the reading"] = best["times the reading"]
        print(f"    times the reading: {best['times the reading']:.2f}, target {TARGETS[policy]}")
        target = TARGETS.get((policy, S), "none")
        for label, milliseconds in fastest.items():
            if milliseconds is not None:
                ratio = milliseconds / best["milliseconds"]
                result[f"{policy}: times as fast as its {label}"] = ratio
                wanted = f", target {target}" if label == "default cache" else ""
                print(f"    {ratio:.1f}× transformers with its {label}{wanted}")
    return result


if __name__ == "__main__":
    app.run(main)
