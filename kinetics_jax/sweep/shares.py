"""Who makes which samples: the (problem, trial) pairs of a cell, shared by processes, less what is done."""

import dataclasses
import re
from collections.abc import Iterable

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy, fields_that_say
from kinetics_jax.records.sample import SampleKey
from kinetics_jax.storage import Place, place
from kinetics_jax.storage.line_log import PathLike
from kinetics_jax.sweep.experiment import Cell, Experiment
from kinetics_jax.tasks import Task


@dataclasses.dataclass(frozen=True)
class Share:
    """Which of ``processes`` this one is."""

    process: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.process < self.processes:
            raise InputError(f"process {self.process} is none of {self.processes}")

    @property
    def leads(self) -> bool:
        """Whether this process does what is done once: manifest, merge, report."""
        return self.process == 0


def wanted_keys(cell: Cell, task: Task) -> list[SampleKey]:
    """Every sample of a cell, problem by problem."""
    return [
        (task.name, problem.problem_id, trial)
        for problem in task.problems
        for trial in range(cell.model.trials)
    ]


def keys_of(share: Share, keys: list[SampleKey]) -> list[SampleKey]:
    """The samples that a process makes: a run of them, so that most problems have one maker.

    It depends on nothing but the list and the numbers, so processes agree without talking.
    """
    start = len(keys) * share.process // share.processes
    end = len(keys) * (share.process + 1) // share.processes
    return keys[start:end]


def slug(text: str) -> str:
    """``text`` as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or "-"


def policy_slug(policy: Policy) -> str:
    """A policy's name and what of it is not by default, such as ``block_topk-16-64-local32``."""
    parts = [policy.name]
    for field in fields_that_say(policy):
        value = getattr(policy, field.name)
        if field.default is dataclasses.MISSING:
            parts.append(str(value))
        elif value != field.default:
            parts.append(f"{field.name}{value}")
    return slug("-".join(parts))


def cell_folder(root: PathLike, cell: Cell) -> Place:
    """Where a cell's samples and grades are."""
    models = place(root) / "cells" / slug(cell.model.name)
    return models / slug(cell.task) / policy_slug(cell.policy)


def check_folders(experiment: Experiment) -> None:
    """Raise ``InputError`` where two cells would have one folder."""
    seen: dict[str, Cell] = {}
    for cell in experiment.cells:
        folder = str(cell_folder("x", cell))
        if other := seen.get(folder):
            raise InputError(f"{cell.label} and {other.label} would share a folder: rename one")
        seen[folder] = cell


def not_mine(mine: Iterable[SampleKey], everything: Iterable[SampleKey]) -> set[SampleKey]:
    """Keys that other processes make."""
    return set(everything) - set(mine)
