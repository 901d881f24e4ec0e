"""What the host costs beside the device: ``python -m experiments.benchmarks.engine_overhead``.

A tiny model decodes samples of mixed length in chunks of 64 steps; the time that the engine spends outside
of decode chunks, the caller's left out, is set against the time in them. A small model is the hard case.
"""

import json
import os
import pathlib
import platform
import time

import jax
import numpy as np
from absl import app, flags

from kinetics_jax import models
from kinetics_jax.engine import Engine, Progress
from kinetics_jax.records import SamplingParams
from kinetics_jax.shapes import ModelConfig

_SLOTS = flags.DEFINE_integer("slots", 32, "Samples at once.")
_SAMPLES = flags.DEFINE_integer("samples", 128, "Samples of each of two prompts.")
_TOKENS = flags.DEFINE_integer("max_tokens", 512, "Most tokens of a sample.")
_OUT = flags.DEFINE_string("out", "results/engine_overhead.json", "Where the figures go.")

CONFIG = ModelConfig(
    name="tiny",
    vocab_size=272,
    model_dim=64,
    ffn_dim=128,
    num_layers=3,
    num_query_heads=2,
    num_kv_heads=1,
    head_dim=32,
    tied_embeddings=True,
    max_context=1024,
    eos_token_ids=(7,),
)


def main(_: list[str]) -> None:
    model = models.Transformer.init(CONFIG, jax.random.key(0), dtype="float32").unroll()
    seen: list[Progress] = []
    engine = Engine(model, slots=_SLOTS.value, max_context=1024, observe=seen.append)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(8, 272, 64).tolist() for _ in range(2)]
    sampling = SamplingParams(top_k=0, top_p=1.0)
    for _sample in engine.generate(prompts[:1], n=1, max_tokens=2):  # compiles
        pass
    compiled = engine.compilations
    seen.clear()
    begun = time.perf_counter()
    samples = list(engine.generate(prompts, _SAMPLES.value, max_tokens=_TOKENS.value, sampling=sampling))
    end = seen[-1]
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{jax.devices()[0].platform}, jax {jax.__version__}",
        "load_before": os.getloadavg()[0],
        "samples": len(samples),
        "tokens": end.tokens,
        "chunks": len(seen),
        "wall_seconds": time.perf_counter() - begun,
        "milliseconds_per_chunk": 1e3 * end.decode_seconds / len(seen),
        "host_milliseconds_per_chunk": 1e3 * end.host_seconds / len(seen),
        "host_over_decode": end.host_seconds / end.decode_seconds,
        "compiled_after_warm_up": engine.compilations - compiled,
    }
    path = pathlib.Path(_OUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    print(f"host over decode {figures['host_over_decode']:.2%}, target < 2 %")


if __name__ == "__main__":
    app.run(main)
