"""What a training run says about itself, as data for ``training.json``."""

import dataclasses
from typing import Any

from kinetics_jax.shapes import ModelConfig
from kinetics_jax.tasks.registers import Machine
from kinetics_jax.training.checkpoints import Progress
from kinetics_jax.training.exact import ExactScore

TRIALS = (1, 2, 4, 8, 16)


def about(
    progress: Progress, score: ExactScore, config: ModelConfig, machine: Machine, cpu_seconds: float
) -> dict[str, Any]:
    """Seed, shape, recipe, losses and scores of a run, ready for JSON.

    Args:
        progress: the finished run's.
        score: on validation problems at temperature 1.
        config: the model's shape.
        machine: whose traces were learnt.
        cpu_seconds: CPU time of the last process that trained (less than all if it was resumed).
    """
    return {
        "seed": progress.seed,
        "model": dataclasses.asdict(config),
        "parameters": config.total_params,
        "machine": dataclasses.asdict(machine),
        "recipe": dataclasses.asdict(progress.recipe),
        "steps": progress.step,
        "tokens": progress.tokens,
        "cpu_seconds_of_last_process": round(cpu_seconds, 1),
        "stages": _last_windows(progress),
        "validation": {
            "problems": len(score.probability_b),
            "exact_pass_at": {str(trials): round(score.pass_at(trials), 5) for trials in TRIALS},
            "greedy": round(float(score.greedy_b.mean()), 5),
            "greedy_error_per_token": {k: round(v, 7) for k, v in score.errors.items()},
        },
    }


def _last_windows(progress: Progress) -> list[dict[str, Any]]:
    """The losses at the end of each stage."""
    last = {window["stage"]: window for window in progress.history}
    return [
        {key: round(x, 6) if isinstance(x, float) else x for key, x in window.items()}
        for window in last.values()
    ]
