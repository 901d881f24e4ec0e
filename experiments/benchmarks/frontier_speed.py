"""Time the frontier and its bootstrap on a study of the paper's size, against a plain loop.

    python -m experiments.benchmarks.frontier_speed [--json=frontier_speed.json]

The study is simulated: 6 models × 6 policies × 30 questions × 32 trials × 16 lengths. The peer is what a
notebook does: for each cost, question and configuration a comparison, in Python.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import app, flags

from kinetics_jax.costs import price
from kinetics_jax.policies import Dense, TopK
from kinetics_jax.scaling import (
    Cell,
    Study,
    bootstrap_frontier,
    build_study,
    cost_grid,
    fit_optimum,
    held_out_frontier,
    model_curves,
    paper_frontier,
)
from kinetics_jax.scaling.frontier.study import Search

_JSON = flags.DEFINE_string("json", "", "File that the figures are written to; empty for none.")
_SEARCH = flags.DEFINE_enum(
    "search", "both", ["both", "grid"], "Configurations: the paper's two searches, or all N × n."
)
_RESAMPLES = flags.DEFINE_integer("resamples", 1000, "Bootstrap resamples.", lower_bound=1)

MODELS = {"0.6b": 0.1, "1.7b": 0.35, "4b": 0.5, "8b": 0.55, "14b": 0.65, "32b": 0.7}
"""Size → mean solve rate of the simulated traces."""
POLICIES = (Dense(), *(TopK(budget) for budget in (64, 128, 256, 512, 1024)))


def simulated_cells(questions: int = 30, samples: int = 32) -> list[Cell]:
    """One cell a model and policy, with lognormal lengths up to 32K."""
    rng = np.random.default_rng(0)
    shape = (questions, samples)
    hardness = rng.normal(0, 0.3, questions)
    cells = []
    for model, skill in MODELS.items():
        for policy in POLICIES:
            rates = np.clip(skill + hardness, 0.01, 0.99)[:, None]
            lengths = np.clip(rng.lognormal(9.2, 0.6, shape), 200, 32_768).round()
            cells.append(
                Cell(
                    "simulated",
                    f"qwen3-{model}",
                    policy,
                    "aime24",
                    32_768,
                    "",
                    0.6,
                    tuple(map(str, range(questions))),
                    lengths,
                    rng.random(shape) < rates,
                    np.ones(shape, bool),
                    np.full(questions, 128.0),
                )
            )
    return cells


def loop_curves(study: Study, grid: np.ndarray) -> dict[str, list[float]]:
    """The peer: every model's curve by plain loops over costs, questions and configurations."""
    cost, coverage = study.cost.tolist(), study.coverage.tolist()
    curves = {}
    for m, name in enumerate(study.models):
        columns = np.flatnonzero(study.model_index == m).tolist()
        curve = []
        for limit in grid.tolist():
            total = 0.0
            for costs, scores in zip(cost, coverage, strict=True):
                total += max((scores[c] for c in columns if costs[c] <= limit), default=0.0)
            curve.append(total / len(cost))
        curves[name] = curve
    return curves


def seconds(call: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """The fastest of some runs, and what the last one returned."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def main(argv: list[str]) -> None:
    """Run every timing once, print it, write JSON if asked."""
    del argv
    cells = simulated_cells()

    def priced(*request: Any) -> Any:
        return price(*request, chip="b200").eflops

    search: Search = "grid" if _SEARCH.value == "grid" else "both"
    build_s, study = seconds(lambda: build_study(cells, priced, search=search))
    grid = cost_grid(study)
    frontier_s, ours = seconds(lambda: paper_frontier(model_curves(study, grid), grid), repeats=3)
    loop_s, peer = seconds(lambda: paper_frontier(loop_curves(study, grid), grid))
    np.testing.assert_allclose(ours.accuracy, peer.accuracy, atol=1e-12)
    held_out_s, held_out = seconds(lambda: held_out_frontier(study, grid))
    resamples = _RESAMPLES.value
    paper_s, _ = seconds(lambda: bootstrap_frontier(study, grid, resamples=resamples))
    held_s, boot = seconds(lambda: bootstrap_frontier(study, grid, flavour="held_out", resamples=resamples))
    fit_s, _ = seconds(lambda: fit_optimum(boot, "tokens"))
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "configurations": len(study.settings),
        "questions": len(study.questions),
        "costs": len(grid),
        "price_and_score_s": build_s,
        "frontier_s": frontier_s,
        "loop_peer_s": loop_s,
        "loop_over_ours": loop_s / frontier_s,
        "held_out_frontier_20_splits_s": held_out_s,
        "resamples": resamples,
        "bootstrap_paper_s": paper_s,
        "bootstrap_held_out_10_splits_s": held_s,
        "bootstrap_of_one_fit_s": fit_s,
        "largest_optimism_points": 100 * float(np.max(held_out.optimism)),
    }
    for name, value in figures.items():
        print(f"{name:32} {value:.4g}" if isinstance(value, float) else f"{name:32} {value}")
    if _JSON.value:
        with open(_JSON.value, "w", encoding="utf-8") as stream:
            json.dump(figures, stream, indent=2)


if __name__ == "__main__":
    app.run(main)
