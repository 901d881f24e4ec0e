"""Peak host memory of loading a checkpoint: ``python -m experiments.benchmarks.load_memory``.

Writes a synthetic checkpoint, loads it in a fresh process, and samples that process's memory. On CPU the
loaded model itself lives in host memory, so its bytes are taken off: what is left is what loading costs.
"""

import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import threading
import time

from absl import app, flags

from kinetics_jax.shapes import ModelConfig, presets

_GIGABYTES = flags.DEFINE_float("gb", 2.0, "Size of the checkpoint.")
_SHARD_MB = flags.DEFINE_integer("shard_mb", 500, "Largest file, in MB.")
_KIND = flags.DEFINE_enum("kind", "dense", ["dense", "moe"], "Shape of the model.")
_QUANTIZE = flags.DEFINE_bool("int8", False, "Load as int8.")
_OUT = flags.DEFINE_string("out", "", "JSON file to write (default: only print).")
_LOAD = flags.DEFINE_string("load", "", "Used by the fresh process: the folder to load.")

_MB = 1e6
_LIMIT_MB = 300


def _config(kind: str, gigabytes: float) -> ModelConfig:
    """A model of about that many GB in BF16, by the number of its layers."""
    base = presets["qwen3-1.7b" if kind == "dense" else "qwen3-30b-a3b"]
    small = dataclasses.replace(base, name=f"synthetic-{kind}", vocab_size=32_000, num_layers=1)
    if small.moe:
        small = dataclasses.replace(small, moe=dataclasses.replace(small.moe, num_experts=32))
    layer = small.attention_params_per_layer + small.ffn_params_per_layer
    layers = max(1, round((gigabytes * 1e9 / 2 - small.embedding_params) / layer))
    return dataclasses.replace(small, num_layers=layers)


def _write(folder: pathlib.Path) -> None:
    import jax

    from kinetics_jax import models

    model = models.Transformer.init(_config(_KIND.value, _GIGABYTES.value), jax.random.key(0), unroll=True)
    models.save_hf(model, folder, max_file_bytes=int(_SHARD_MB.value * _MB))


def _resident() -> int:
    """Bytes of this process in memory, mapped files included."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _measure(folder: str) -> None:
    """Load ``folder`` while a thread watches; print what was seen as JSON."""
    import jax

    from kinetics_jax import models

    jax.block_until_ready(jax.numpy.zeros(8) + 1)
    base, peak, done = _resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, _resident())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    model = jax.block_until_ready(models.load(folder, quantize="int8" if _QUANTIZE.value else None))
    seconds = time.perf_counter() - begun
    done.set()
    watcher.join()
    size = sum(array.nbytes for array in jax.tree.leaves(model))
    print(json.dumps({"base": base, "peak": peak, "model": size, "seconds": seconds}))


def main(_: list[str]) -> None:
    """Write, load in a fresh process, report."""
    if _LOAD.value:
        return _measure(_LOAD.value)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        _write(folder)
        files = [file.stat().st_size for file in folder.glob("*.safetensors")]
        command = [sys.executable, "-m", "experiments.benchmarks.load_memory", f"--load={folder}"]
        command += ["--int8"] if _QUANTIZE.value else []
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    overhead = found["peak"] - found["base"] - found["model"]
    limit = max(files) + _LIMIT_MB * _MB
    report = {
        "machine": f"{os.cpu_count()}-core {platform.machine()} CPU",
        "checkpoint_mb": sum(files) / _MB,
        "largest_file_mb": max(files) / _MB,
        "model_mb": found["model"] / _MB,
        "peak_beyond_model_mb": overhead / _MB,
        "limit_mb": limit / _MB,
        "seconds": found["seconds"],
        "within_limit": overhead <= limit,
    }
    print(json.dumps(report, indent=1))
    if _OUT.value:
        pathlib.Path(_OUT.value).write_text(json.dumps(report, indent=1) + "\n")
    if not report["within_limit"]:
        raise SystemExit("loading took more host memory than its limit")


if __name__ == "__main__":
    app.run(main)
