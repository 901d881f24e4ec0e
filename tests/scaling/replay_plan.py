"""Real traces revealed sample by sample, by the plan and by a uniform grid, to the same interval width.

    python -m tests.scaling.replay_plan [--repeats=200] [--out=FILE.json]

The grid: every arm, all stored trials (three to eight), on a quarter of the questions. The plan: a pilot of
24 of the questions with two samples of each arm, which is counted; from its variances the cheapest design for
the grid's interval; then question by question until the interval is as narrow. The truth is the mean over all
stored samples.

Axes: Q questions · S stored samples.
"""

import argparse
import csv
import dataclasses
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from kinetics_jax.costs import get_chip
from kinetics_jax.policies import Dense
from kinetics_jax.scaling import comparable_families, read_trials
from kinetics_jax.scaling.plans import cheapest_design, pilot_arms, pilot_contrasts
from kinetics_jax.scaling.plans.power import quantiles
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.independent_trials import Cell
from kinetics_jax.shapes import presets

SHARED = Path(__file__).resolve().parents[3] / "shared"
PILOT, PILOT_TRIALS, GRID_SHARE = 24, 2, 0.25
POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Replay:
    """What one comparison took."""

    name: str
    questions: int
    trials: int
    grid_samples: int
    plan_samples: float
    """Mean over repeats."""
    share: float
    """Of the grid's samples."""
    seconds_share: float
    """Of the grid's modelled chip-seconds."""
    width_of_grid: float
    width_of_plan: float
    """Half width of the 95 % interval, mean over repeats, in points."""
    grid_covers: float
    plan_covers: float
    reached: float
    """Share of repeats in which the questions sufficed."""


def pick(cell: Cell, rows: np.ndarray, columns: np.ndarray) -> Cell:
    """The cell on some questions and samples ([Q, S] columns)."""
    part = cell.restrict(tuple(cell.questions[i] for i in rows))
    arrays = ("generated_tokens", "correct", "present")
    return dataclasses.replace(part, **{n: np.take_along_axis(getattr(part, n), columns, 1) for n in arrays})


def half_width(differences: np.ndarray) -> float:
    count = len(differences)
    return float(stats.t.ppf(0.975, count - 1) * np.std(differences, ddof=1) / math.sqrt(count))


def replay(name: str, cells: tuple[Cell, ...], repeats: int, seed: int = 0) -> Replay:
    """Plan and grid on the same stored samples, ``repeats`` times in another order."""
    rng = np.random.default_rng(seed)
    count, trials = len(cells[0].questions), min(cell.max_trials for cell in cells)
    signs = (1.0, -1.0)[: len(cells)]
    truth = sum(s * cell.accuracy for s, cell in zip(signs, cells, strict=True))
    family = Family("", "", cells, ())
    prices = [arm.seconds for arm in pilot_arms(family, get_chip("b200"))[0]]
    grid_questions = max(int(GRID_SHARE * count), PILOT)
    found = defaultdict(list)
    for _ in range(repeats):
        order = rng.permutation(count)
        shuffled = [rng.permuted(np.tile(np.arange(trials), (count, 1)), axis=1) for _ in cells]
        right = [np.take_along_axis(cell.correct, at, 1) for cell, at in zip(cells, shuffled, strict=True)]

        def mean(rows: np.ndarray, sizes: tuple[int, ...], right: Any = right) -> np.ndarray:
            return sum(s * r[rows, :n].mean(1) for s, r, n in zip(signs, right, sizes, strict=True))

        grid = mean(order[:grid_questions], (trials,) * len(cells))
        target = half_width(grid)
        used, width, value, spent = _planned(cells, order, shuffled, mean, target, trials, prices)
        found["samples"].append(used)
        found["seconds"].append(spent)
        found["grid"].append(target)
        found["plan"].append(width)
        found["grid_covers"].append(abs(grid.mean() - truth) <= target)
        found["plan_covers"].append(abs(value - truth) <= width)
        found["reached"].append(width <= target)
    average = {key: float(np.mean(values)) for key, values in found.items()}
    grid_samples = grid_questions * trials * len(cells)
    return Replay(
        name,
        count,
        trials,
        grid_samples,
        average["samples"],
        average["samples"] / grid_samples,
        average["seconds"] / (grid_questions * trials * sum(prices)),
        100 * average["grid"],
        100 * average["plan"],
        average["grid_covers"],
        average["plan_covers"],
        average["reached"],
    )


def _planned(cells, order, shuffled, mean, target, trials, prices):
    """Pilot, design, then questions one by one: (samples, half width, estimate, chip-seconds)."""
    pilot = order[:PILOT]
    parts = tuple(
        pick(cell, pilot, at[pilot][:, :PILOT_TRIALS]) for cell, at in zip(cells, shuffled, strict=True)
    )
    arms, _ = pilot_arms(Family("", "", parts, ()), get_chip("b200"))
    (contrast,) = pilot_contrasts(arms)
    half, seen = quantiles(POWER)
    design = cheapest_design(contrast, target * seen / half, most_questions=len(order), power=POWER)
    wanted = design.trials if design else (trials,) * len(cells)
    sizes = tuple(min(n, trials) for n in wanted)
    first = tuple(max(n, PILOT_TRIALS) for n in sizes)
    values = np.concatenate([mean(pilot, first), mean(order[PILOT:], sizes)])
    stop = next((n for n in range(PILOT, len(order) + 1) if half_width(values[:n]) <= target), len(order))
    new = stop - PILOT
    used = PILOT * sum(first) + new * sum(sizes)
    spent = sum(p * (PILOT * a + new * b) for p, a, b in zip(prices, first, sizes, strict=True))
    return used, half_width(values[:stop]), float(values[:stop].mean()), spent


def stored_cells() -> dict[str, tuple[Cell, ...]]:
    """Every arm and pair of the traces with two trials or more of at least 100 questions."""
    families, _ = comparable_families(
        read_trials([str(SHARED / "data/traces/traces.csv.gz")]).with_prompt_tokens(200)
    )
    found = {}
    for family in families:
        cells = [cell for cell in family.cells if cell.max_trials >= 2 and len(cell.questions) >= 100]
        found |= _alone_and_in_pairs(family.dataset, cells)
    return found | counted_cells()


def counted_cells() -> dict[str, tuple[Cell, ...]]:
    """The counts of correct samples (eight a question) as cells; lengths are the questions' means."""
    rows = defaultdict(dict)
    with open(SHARED / "data/traces/counts.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["n"] == "8" and row["method"].startswith("sampling"):
                rows[row["dataset"], row["model"]][row["problem_id"]] = row
    by_dataset = defaultdict(list)
    for (dataset, model), of in rows.items():
        by_dataset[dataset].append((model, of))
    found = {}
    for dataset, models in by_dataset.items():
        common = tuple(sorted(set.intersection(*(set(of) for _, of in models))))
        if len(common) >= 100:
            cells = [_counted(dataset, model, common, of) for model, of in models if presets.get(model)]
            found |= {
                f"{name} (counts)": value for name, value in _alone_and_in_pairs(dataset, cells).items()
            }
    return found


def _counted(dataset: str, model: str, questions: tuple[str, ...], rows: Any) -> Cell:
    correct = np.arange(8) < np.array([[int(rows[q]["c"])] for q in questions])
    tokens = np.array([[float(rows[q]["total_tokens"] or 8000) / 8] for q in questions])
    prompts = np.full(len(questions), 200.0)
    shape = presets[model]
    return Cell(
        "", model, Dense(), dataset, None, "", 0.6, questions, np.tile(tokens, 8), correct,
        np.ones_like(correct), prompts, shape,
    )  # fmt: skip


def _alone_and_in_pairs(dataset: str, cells: list[Cell]) -> dict[str, tuple[Cell, ...]]:
    found = {f"{dataset}: {c.model} {c.max_tokens or ''}".strip(): (c,) for c in cells}
    for i, one in enumerate(cells):
        for other in cells[i + 1 :]:
            name = f"{dataset}: {one.model} {one.max_tokens or ''} − {other.model} {other.max_tokens or ''}"
            found[" ".join(name.split())] = (one, other)
    return found


def main() -> None:
    """Print a table, and write the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--out", default="")
    given = parser.parse_args()
    rows = [replay(name, cells, given.repeats) for name, cells in stored_cells().items()]
    print("| compared | questions × trials | grid | plan | share | of price | ± | covers | reached |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        cells = (
            r.name,
            f"{r.questions} × {r.trials}",
            f"{r.grid_samples:,}",
            f"{r.plan_samples:,.0f}",
            f"{r.share:.0%}",
            f"{r.seconds_share:.0%}",
            f"{r.width_of_grid:.1f}, {r.width_of_plan:.1f}",
            f"{r.grid_covers:.0%}, {r.plan_covers:.0%}",
            f"{r.reached:.0%}",
        )
        print(f"| {' | '.join(cells)} |")
    grid, plan = sum(r.grid_samples for r in rows), sum(r.plan_samples for r in rows)
    print(f"all together: {plan:,.0f} of {grid:,} samples, {plan / grid:.0%}")
    if given.out:
        Path(given.out).write_text(json.dumps([dataclasses.asdict(r) for r in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
