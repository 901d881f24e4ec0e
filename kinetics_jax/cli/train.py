"""Train a tiny model of the built-in suite: ``kinetics train --size=xs --seed=0``.

Writes OUT/SIZE-seedN/: ``model/`` (safetensors), ``training.json`` (recipe, losses, scores), and
``checkpoint.safetensors``, from which the same command goes on after an interruption.
"""

import json
import pathlib
import time

import jax

from kinetics_jax import models, storage, training
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.models.checkpoints.folders import earlier_model
from kinetics_jax.tasks.registers import Machine, make_problems
from kinetics_jax.training.recipe import RECIPE, SMOKE

flags = Flags()
_SIZE = flags.DEFINE_enum("size", "xs", sorted(training.SIZES), "Which shape to train.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the starting weights and of every batch.", lower_bound=0, upper_bound=2**31 - 1
)
_OUT = flags.DEFINE_string("out", "results/training", "Folder for the run's own folder.")
_PROBLEMS = flags.DEFINE_integer(
    "problems", 240, "Validation problems to score the trained model on.", lower_bound=1
)
_SMOKE = flags.DEFINE_bool(
    "smoke", False, "A run of seconds that shows the loss falling; its model solves nothing."
)


def main(_: list[str]) -> None:
    """Train, score, write, and say where it is."""
    config, recipe = training.SIZES[_SIZE.value], SMOKE if _SMOKE.value else RECIPE
    out = storage.output_folder(
        _OUT.value, "--out", stores="train in a folder here, from which a stopped run goes on"
    )
    folder = pathlib.Path(out) / f"{_SIZE.value}-seed{_SEED.value}"
    storage.output_folder(folder / "model", "--out")  # said now, not after the training
    earlier_model(folder / "model")
    started = time.process_time()
    model, progress = training.train(
        config, recipe, _SEED.value, checkpoint=folder / "checkpoint.safetensors"
    )
    spent = time.process_time() - started
    problems = make_problems(4 if _SMOKE.value else _PROBLEMS.value, split="validation")
    score = training.exact_score(model, problems)
    models.save_hf(model, folder / "model")
    about = training.about(progress, score, config, Machine(), cpu_seconds=spent)
    (folder / "training.json").write_text(json.dumps(about, indent=1) + "\n")
    print(
        f"{config.name}, {config.total_params:,} parameters: solves {score.pass_at(1):.3f} of "
        f"{len(problems)} validation problems with one sample, {score.pass_at(16):.3f} with 16. "
        f"{progress.step} steps, {spent:.0f} s of CPU (jax {jax.__version__}). "
        f"In {folder}"
    )


command = Command(about=__doc__, flags=flags, main=main)
