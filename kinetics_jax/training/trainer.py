"""The training loop: batches by step number, gates, checkpoints. Stopped anywhere, it goes on the same.

Axis letters: D model dim · V vocabulary.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from optax.contrib import MuonDimensionNumbers, muon

from kinetics_jax.errors import KineticsError
from kinetics_jax.models import Transformer
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.tasks.registers import Machine
from kinetics_jax.training.checkpoints import Progress, restore, store
from kinetics_jax.training.losses import batch_loss, start_heads
from kinetics_jax.training.recipe import Recipe, Stage
from kinetics_jax.training.rows import Rows, TracePool, look_up_rows
from kinetics_jax.training.start import start_model

Array = jax.Array
Log = Callable[[str], None]


class TrainingFailedError(KineticsError):
    """A gate that must open stayed shut; the run is counted as failed, not shipped."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Learner:
    """All that a step changes."""

    model: Transformer
    heads_2dv: Array
    """The scaffold's heads; idle once the warm-up is over."""
    optimizer: Any


def train(
    config: ModelConfig,
    recipe: Recipe,
    seed: int,
    *,
    checkpoint: pathlib.Path | None = None,
    machine: Machine | None = None,
    log: Log = print,
) -> tuple[Transformer, Progress]:
    """A trained float32 model, and the record of its training.

    Args:
        config: shape, such as one of ``SIZES``.
        recipe: stages and rows.
        seed: of the starting weights and of every batch.
        checkpoint: file that holds the state at the last window; where it is there, training goes
            on from it and ends in the same model. None keeps nothing.
        machine: whose traces are learnt; None: the suite's.
        log: takes a line per window.

    Raises:
        TrainingFailedError: a gate that must open did not.
        InputError: a checkpoint of another size, seed or recipe; a shape that cannot be trained.
    """
    machine = machine or Machine()
    transform = _transform(recipe)
    model = start_model(config, seed)
    heads = start_heads(jax.random.key(seed), config.model_dim, config.vocab_size)
    learner = Learner(model, heads, transform.init((model, heads)))
    progress = Progress(seed=seed, recipe=recipe, model=config.name)
    if checkpoint is not None and checkpoint.exists():
        learner, progress = restore(checkpoint, learner, progress)
        log(f"{config.name} seed {seed}: goes on from step {progress.step} of {checkpoint}")
    step = _jit_step(transform)
    batches = _Batches(recipe, seed, machine)
    while progress.stage < len(recipe.stages):
        stage = recipe.stages[progress.stage]
        seen = []
        for _ in range(recipe.window):
            rate = _learning_rate(recipe, stage, progress)
            batch = batches.make(stage, progress.step)
            learner, parts = step(learner, batch, rate, stage.scaffold)
            seen.append(parts)
            progress = progress.after_step(sum(rows.token_bt.size for rows in batch.values()))
        losses = _means(seen)
        progress = _look(progress, stage, losses)
        log(f"{config.name} seed {seed} {stage.name} step {progress.step}: {_text(losses)}")
        if checkpoint is not None:
            store(checkpoint, learner, progress)
    return learner.model, progress


def _look(progress: Progress, stage: Stage, losses: dict[str, float]) -> Progress:
    """Progress after a window: recorded, and moved to the next stage where this one is over."""
    progress = progress.record(stage.name, losses)
    over = progress.step_in_stage >= stage.steps
    opened = bool(stage.gate) and all(losses[name] < nats for name, nats in stage.gate)
    if over and stage.must_pass and not opened:
        shut = ", ".join(f"{name}={losses[name]:.3f} (gate {nats})" for name, nats in stage.gate)
        raise TrainingFailedError(
            f"{progress.model} seed {progress.seed}: stage {stage.name} ended after "
            f"{stage.steps} steps with its gate shut: {shut}"
        )
    return progress.next_stage() if over or opened else progress


def _means(seen: list[dict[str, Array]]) -> dict[str, float]:
    """Mean of each part over the steps that had it; parts that none had are left out."""
    names = sorted(set().union(*seen))
    table = {name: np.array([float(p[name]) for p in seen if name in p]) for name in names}
    return {name: float(np.nanmean(x)) for name, x in table.items() if not np.isnan(x).all()}


def _learning_rate(recipe: Recipe, stage: Stage, progress: Progress) -> np.float32:
    first, last = stage.learning_rate
    rate = first + (last - first) * progress.step_in_stage / stage.steps
    return np.float32(rate * min(1.0, (progress.step + 1) / recipe.ramp_steps))


def _text(losses: dict[str, float]) -> str:
    return " ".join(f"{name}={nats:.4f}" for name, nats in losses.items())


class _Batches:
    """The batch of every step, from the seed and the step's number alone."""

    def __init__(self, recipe: Recipe, seed: int, machine: Machine) -> None:
        self._recipe, self._seed, self._machine = recipe, seed, machine
        self._pool: tuple[int, TracePool] | None = None

    def make(self, stage: Stage, step: int) -> dict[str, Rows]:
        draw = np.random.default_rng([self._seed, 1, step])
        recipe, pool = self._recipe, self._pool_of(step)
        makers = {
            "look_up": lambda: look_up_rows(draw, *recipe.look_up),
            "short": lambda: pool.short(draw, *recipe.short),
            "rounds": lambda: pool.rounds(draw, *recipe.rounds),
            "long": lambda: pool.long(draw, *recipe.long),
            "full": lambda: pool.long(draw, *recipe.full),
        }
        return {name: makers[name]() for name, every in stage.rows if step % every == 0}

    def _pool_of(self, step: int) -> TracePool:
        size, steps, served = self._recipe.pool
        number = step // served
        if self._pool is None or self._pool[0] != number:
            draw = np.random.default_rng([self._seed, 2, number])
            self._pool = (number, TracePool(draw, self._machine, size, steps))
        return self._pool[1]


def _transform(recipe: Recipe) -> optax.GradientTransformation:
    """Clipped Muon for matrices, Adam for the rest, at learning rate 1: the step scales the updates."""
    return optax.chain(
        optax.clip_by_global_norm(recipe.clip_norm),
        muon(1.0, adam_learning_rate=recipe.adam_share, muon_weight_dimension_numbers=_matrix_axes),
    )


def _matrix_axes(params: Any) -> Any:
    """Which axes of each weight are its matrix's input and output, for Muon; None: not a matrix."""

    def of(keys: tuple, array: Array) -> MuonDimensionNumbers | None:
        path = jax.tree_util.keystr(keys)
        if path.startswith("[1]"):
            return MuonDimensionNumbers(1, 2)  # the scaffold's heads, one matrix each
        if array.ndim == 3:
            into_heads = ".out" not in path
            return MuonDimensionNumbers(0, (1, 2)) if into_heads else MuonDimensionNumbers((0, 1), 2)
        return MuonDimensionNumbers(0, 1) if array.ndim == 2 else None

    return jax.tree_util.tree_map_with_path(of, params)


@functools.cache
def _jit_step(transform: optax.GradientTransformation) -> Callable:
    @functools.partial(jax.jit, static_argnums=3, donate_argnums=0)
    def step(
        learner: Learner, batch: dict[str, Rows], rate: Array, scaffold: bool
    ) -> tuple[Learner, dict[str, Array]]:
        params = (learner.model, learner.heads_2dv)

        def loss(params: tuple[Transformer, Array]) -> tuple[Array, dict[str, Array]]:
            return batch_loss(*params, batch, scaffold)

        gradient, parts = jax.grad(loss, has_aux=True)(params)
        updates, optimizer = transform.update(gradient, learner.optimizer, params)
        updates = jax.tree.map(lambda u: u * rate, updates)
        model, heads = optax.apply_updates(params, updates)
        return Learner(model, heads, optimizer), parts

    return step
