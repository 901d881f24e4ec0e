"""Decodes every cell's missing samples, and says what happens as events: each sample once it is written."""

import contextlib
import dataclasses
from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Protocol

from kinetics_jax.engine import Engine
from kinetics_jax.engine.sample_log import SampleLog, iterate_samples
from kinetics_jax.models import Tokenizer
from kinetics_jax.policies import Policy
from kinetics_jax.records import Problem
from kinetics_jax.records.sample import Sample, SampleKey
from kinetics_jax.storage.line_log import PathLike
from kinetics_jax.sweep.engine_contexts import shared_contexts
from kinetics_jax.sweep.experiment import Cell, Experiment, ModelChoice
from kinetics_jax.sweep.shares import Share, cell_folder, keys_of, not_mine, wanted_keys
from kinetics_jax.tasks import Task


@dataclasses.dataclass(frozen=True)
class ModelSurveyed:
    """What of a model is missing is known; nothing is decoded before the next event is asked for.

    Where processes decode it together, they must all be here before they go on.
    """

    model: ModelChoice


@dataclasses.dataclass(frozen=True)
class CellStarted:
    """A cell's first missing sample is decoded next; its engine is there."""

    cell: Cell


@dataclasses.dataclass(frozen=True)
class SampleFinished:
    """A sample is on the disk."""

    cell: Cell
    sample: Sample


Event = ModelSurveyed | CellStarted | SampleFinished


class Opener(Protocol):
    """What the decode loop needs of ``Engines``."""

    def tokenizer(self, choice: ModelChoice) -> Tokenizer | None:
        """See ``Engines``."""
        ...

    def engine(self, choice: ModelChoice, policy: Policy, max_context: int) -> Engine:
        """See ``Engines``."""
        ...

    def max_context(self, choice: ModelChoice, problems: list[Problem], caps: list[int]) -> int:
        """See ``Engines``."""
        ...


def done_keys(root: PathLike, cell: Cell) -> set[SampleKey]:
    """Keys of a cell's samples that are on the disk."""
    return {sample.key for sample in iterate_samples(cell_folder(root, cell))}


def count_done(root: PathLike, experiment: Experiment, tasks: Mapping[str, Task]) -> int:
    """Samples of the experiment that are on the disk."""
    return sum(
        len(done_keys(root, cell) & set(wanted_keys(cell, tasks[cell.task]))) for cell in experiment.cells
    )


def decode_cells(
    root: PathLike,
    experiment: Experiment,
    tasks: Mapping[str, Task],
    opener: Opener,
    *,
    share: Share,
    together: Collection[str] = (),
) -> Generator[Event]:
    """Decode what is missing, model by model. Close it to stop: what is written stays.

    Args:
      root: the sweep's directory.
      experiment: what to decode.
      tasks: its tasks by name.
      opener: gives engines and tokenizers.
      share: which process this is.
      together: models that lie across processes: all of them run the same requests, and each keeps the
        samples that its devices finish.
    """
    for choice in experiment.models:
        cells = [cell for cell in experiment.cells if cell.model == choice]
        part = Share() if choice.name in together else share
        mine = {cell: _missing(root, cell, tasks[cell.task], part) for cell in cells}
        yield ModelSurveyed(choice)
        if not any(mine.values()):
            continue
        contexts = _contexts(experiment, choice, tasks, opener)
        engine, running = None, None
        for cell in _by_engine(cells, contexts):
            if not mine[cell]:
                continue
            wanted = cell.policy, contexts[cell.task]
            if engine is None or running != wanted:
                engine = None  # its cache goes before the next one's comes
                engine, running = opener.engine(choice, *wanted), wanted
            yield CellStarted(cell)
            yield from _decode_cell(root, experiment, cell, tasks[cell.task], engine, mine[cell], share)


def _contexts(
    experiment: Experiment, choice: ModelChoice, tasks: Mapping[str, Task], opener: Opener
) -> dict[str, int]:
    """Task → context of its engine; a function of the experiment, not of what is done."""
    needed = {}
    for name, task in tasks.items():
        caps = [experiment.cap(task)] * len(task.problems)
        needed[name] = opener.max_context(choice, list(task.problems), caps)
    return shared_contexts(choice, needed)


def _by_engine(cells: Sequence[Cell], contexts: Mapping[str, int]) -> list[Cell]:
    """The cells of one model, policy by policy, those that share an engine after one another."""
    policies = list(dict.fromkeys(cell.policy for cell in cells))
    first = list(dict.fromkeys(contexts[cell.task] for cell in cells))
    return sorted(cells, key=lambda c: (policies.index(c.policy), first.index(contexts[c.task])))


def _missing(root: PathLike, cell: Cell, task: Task, share: Share) -> list[SampleKey]:
    """This process's keys of a cell that nobody has finished."""
    done = done_keys(root, cell)
    return [key for key in keys_of(share, wanted_keys(cell, task)) if key not in done]


def _decode_cell(
    root: PathLike,
    experiment: Experiment,
    cell: Cell,
    task: Task,
    engine: Engine,
    missing: list[SampleKey],
    share: Share,
) -> Generator[SampleFinished]:
    with SampleLog(
        cell_folder(root, cell), process=share.process, processes=share.processes, guarded=False
    ) as log:
        skip = not_mine(missing, wanted_keys(cell, task))
        wanted = {problem_id for _, problem_id, _ in missing}
        samples = engine.generate(
            [problem for problem in task.problems if problem.problem_id in wanted],
            n=cell.model.trials,
            sampling=experiment.sampling,
            max_tokens=experiment.cap(task),
            stop_strings=experiment.stop_strings,
            thinking=experiment.thinking,
            system=experiment.system_prompt,
            done=skip,
        )
        with contextlib.closing(samples):  # type: ignore[type-var]  # it is a generator
            for sample in samples:
                named = dataclasses.replace(sample, model=cell.model.name)
                log.append(named)
                yield SampleFinished(cell, named)
