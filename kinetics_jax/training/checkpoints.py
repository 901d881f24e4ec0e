"""The state of a training run as one safetensors file, replaced whole or not at all."""

import dataclasses
import json
import os
import pathlib
from typing import Any, Self, TypeVar

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kinetics_jax.errors import InputError
from kinetics_jax.training.recipe import Recipe

Tree = TypeVar("Tree")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is and what its losses were."""

    seed: int
    recipe: Recipe
    model: str
    stage: int = 0
    """Index of the stage that the next step belongs to; the number of stages once done."""
    step: int = 0
    step_in_stage: int = 0
    tokens: int = 0
    """Tokens of all rows so far."""
    history: tuple[dict[str, Any], ...] = ()
    """A window's ``stage``, ``step`` and mean losses in nats."""

    def after_step(self, tokens: int) -> Self:
        """One step on."""
        return dataclasses.replace(
            self, step=self.step + 1, step_in_stage=self.step_in_stage + 1, tokens=self.tokens + tokens
        )

    def record(self, stage: str, losses: dict[str, float]) -> Self:
        """With a window's losses in the history."""
        window = {"stage": stage, "step": self.step, **losses}
        return dataclasses.replace(self, history=(*self.history, window))

    def next_stage(self) -> Self:
        """At the start of the next stage."""
        return dataclasses.replace(self, stage=self.stage + 1, step_in_stage=0)

    def to_json(self) -> str:
        """All of it, readable by ``restore`` and by a person."""
        return json.dumps(dataclasses.asdict(self))


def store(file: pathlib.Path, state: Any, progress: Progress) -> None:
    """Replace ``file`` by this state."""
    leaves = {f"{i:04}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    save_file(leaves, unfinished, metadata={"progress": progress.to_json()})
    os.replace(unfinished, file)


def restore(file: pathlib.Path, like: Tree, fresh: Progress) -> tuple[Tree, Progress]:
    """The state and progress in ``file``.

    Args:
        file: what ``store`` wrote.
        like: a state of the same run, for its structure.
        fresh: the run's progress at step 0.

    Raises:
        InputError: the file is not a checkpoint, or one of another size, seed or recipe.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            fields = json.loads((opened.metadata() or {})["progress"])
            arrays = [opened.get_tensor(key) for key in sorted(opened.keys())]
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{file}: not a training checkpoint ({error!r}); delete it") from error
    wanted = json.loads(fresh.to_json())
    other = [name for name in ("model", "seed", "recipe") if fields.get(name) != wanted[name]]
    leaves, structure = jax.tree.flatten(like)
    if not other and [a.shape for a in arrays] != [leaf.shape for leaf in leaves]:
        other = ["shape"]
    if other:
        raise InputError(f"{file}: of another {' and '.join(other)}; choose another folder or delete it")
    history = tuple(fields["history"])
    kept = {name: fields[name] for name in ("stage", "step", "step_in_stage", "tokens")}
    state = jax.tree.unflatten(structure, [jax.numpy.asarray(array) for array in arrays])
    return state, dataclasses.replace(fresh, history=history, **kept)
