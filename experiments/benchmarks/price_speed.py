"""Time calibrated prices against ideal ones, in one run: ``python -m experiments.benchmarks.price_speed``.

6 models × 6 policies × 30 questions × 32 trials × 16 lengths, one call of ``price`` a model and policy,
batches as they fit. The peer is mode ``exact`` of the same requests, before each run of ``calibrated``.
"""

import json
import os
import platform
import time

import numpy as np
from absl import app, flags

from kinetics_jax.costs import price
from kinetics_jax.policies import BlockTopK, Dense, Quest

_JSON = flags.DEFINE_string("json", "", "File that the figures are written to; empty for none.")
_REPEATS = flags.DEFINE_integer("repeats", 15, "Runs of either mode.", lower_bound=1)
_CHIP = flags.DEFINE_string("chip", "b200", "Chip to price on.")

MODELS = tuple(f"qwen3-{size}" for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b"))
POLICIES = (Dense(), *(BlockTopK(16, blocks) for blocks in (16, 32, 64, 128)), Quest(16, 64))


def seconds_of(mode: str) -> float:
    """Seconds that all prices of one mode take."""
    rng = np.random.default_rng(0)
    generated = rng.integers(100, 30_000, (30, 32, 16))
    prompts = rng.integers(50, 500, (30, 1, 1))
    start = time.perf_counter()
    for model in MODELS:
        for policy in POLICIES:
            _ = price(model, policy, prompts, generated, 4, chip=_CHIP.value, mode=mode).seconds
    return time.perf_counter() - start


def main(_: list[str]) -> None:
    """Run both in turn, and print medians and the median ratio."""
    for mode in ("exact", "calibrated"):
        seconds_of(mode)  # tables that later runs share
    runs = np.array([[seconds_of(mode) for mode in ("exact", "calibrated")] for _ in range(_REPEATS.value)])
    figures = {
        "exact_ms": 1e3 * float(np.median(runs[:, 0])),
        "calibrated_ms": 1e3 * float(np.median(runs[:, 1])),
        "ratio": float(np.median(runs[:, 1] / runs[:, 0])),
        "prices": len(MODELS) * len(POLICIES) * 30 * 32 * 16,
        "host": f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}",
    }
    print(json.dumps(figures, indent=1))
    if _JSON.value:
        with open(_JSON.value, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    app.run(main)
