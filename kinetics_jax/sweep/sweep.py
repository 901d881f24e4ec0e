"""A sweep from beginning to end: plan, decode what is missing, grade, merge, law and report; resumable."""

import contextlib
import dataclasses
import functools
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm

from kinetics_jax.commands.stop_signal import Stopped, StopSignal
from kinetics_jax.errors import InputError
from kinetics_jax.storage import expand, place
from kinetics_jax.storage.line_log import PathLike
from kinetics_jax.sweep import manifest
from kinetics_jax.sweep.directory import SweepDirectory
from kinetics_jax.sweep.distributed import Attendance, any_of_us, meet
from kinetics_jax.sweep.experiment import Cell, Experiment, ModelChoice
from kinetics_jax.sweep.grading import BackgroundGrading, CellGrader, Decode
from kinetics_jax.sweep.model_sources import check_source
from kinetics_jax.sweep.plan import CellPlan, make_plan
from kinetics_jax.sweep.results import grade_missing, write_records, write_report, write_samples
from kinetics_jax.sweep.shares import Share, check_folders, wanted_keys
from kinetics_jax.tasks import Task

Open = Callable[[Experiment, Callable[[Any], None]], Any]
"""(experiment, observe) → ``decode.Opener``."""


_LEAVE_SECONDS = 20.0
"""How long the first process lets the others finish their files once all have been told to stop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How far a run came."""

    done: int
    """Samples on the disk."""
    wanted: int
    """Samples that the experiment asks for."""
    signal: int | None = None
    """The signal that ended it before its time, or None."""
    summary: str = ""
    """What the law says, where a report was made."""

    @property
    def complete(self) -> bool:
        """Whether every sample is there."""
        return self.done == self.wanted


def load_tasks(experiment: Experiment) -> dict[str, Task]:
    """The experiment's tasks. Raises ``InputError`` where problems cannot be read."""
    return {choice.name: choice.load() for choice in experiment.tasks}


def plan_sweep(experiment: Experiment) -> list[CellPlan]:
    """The plan without touching anything: problems that are not here are assumed, and said to be."""
    found: dict[str, Task | str] = {}
    for choice in experiment.tasks:
        try:
            found[choice.name] = choice.load()
        except InputError as error:
            found[choice.name] = str(error)
    return make_plan(experiment, found)


class Sweep:
    """One experiment in one directory."""

    def __init__(
        self,
        experiment: Experiment,
        root: PathLike,
        *,
        share: Share | None = None,
        settings: Mapping[str, Any] | None = None,
        opener: Open | None = None,
        quiet: bool = False,
    ) -> None:
        """Checks everything that can be checked without weights; writes nothing yet.

        Args:
          experiment: what to do.
          root: the directory, or ``gs://bucket/…``.
          share: which of several processes this is.
          settings: written into the law as they are.
          opener: gives engines; ``engines.Engines`` unless given.
          quiet: no progress bars.

        Raises ``InputError`` for whatever cannot be run, as ``make_plan``.
        """
        check_folders(experiment)
        for choice in experiment.models:
            check_source(choice)
        self.root, self.share = expand(root, "root"), share or Share()
        date = manifest.date_of(self.root, experiment.date)
        self.experiment = dataclasses.replace(experiment, date=date)
        self.tasks = load_tasks(experiment)
        self.plan = make_plan(experiment, self.tasks)
        self._settings, self._quiet = dict(settings or {}), quiet
        self._open: Open = opener or _open_engines
        self._opener: Any = None
        self._samples_bar: Any = None
        self._across = False
        """Whether the model at work lies across processes: they must stop after the same chunk."""
        if experiment.grade:
            self._try_graders()

    def run(self) -> Outcome:
        """Decode, grade and report what is missing. After a stop or a crash, run it again.

        Raises ``InputError`` where the directory holds another experiment or another run is in it.
        """
        with StopSignal() as stop, self._directory() as described:
            self.experiment = manifest.pin(self.experiment, described)
            here = Attendance(self.root, self.share)
            try:
                self._decode(stop, here)
            except Stopped:
                # Told here, or on another process that this one decodes with.
                number = stop.received or signal.SIGTERM
                outcome = dataclasses.replace(self._outcome(), signal=number)
                here.through()
                if self.share.leads:  # JAX ends the others' processes with the first one's
                    here.wait_for_all(seconds=_LEAVE_SECONDS)
                return outcome
            if not self.share.leads:
                return self._outcome()
            return self._end(stop, samples=False, anew=False)

    def finish(self, *, regrade: bool = False) -> Outcome:
        """Without decoding: grade what is not graded (all of it with ``regrade``), merge, report."""
        if not (place(self.root) / manifest.FILE).exists():
            raise InputError(f"{self.root}: no sweep is there to merge or grade")
        with StopSignal() as stop, self._directory(decodes=False) as described:
            self.experiment = manifest.pin(self.experiment, described)
            return self._end(stop, samples=True, anew=regrade)

    # How it is done.

    def _directory(self, *, decodes: bool = True) -> SweepDirectory:
        describe = functools.partial(manifest.describe, self.experiment, self.tasks, decodes=decodes)
        return SweepDirectory(self.root, describe, self.share, self._settings)

    def _decode(self, stop: StopSignal, here: Attendance) -> None:
        from kinetics_jax.sweep.decoding import (
            CellStarted,
            ModelSurveyed,
            SampleFinished,
            count_done,
            decode_cells,
        )

        opener = self._opened(stop)
        grading = BackgroundGrading()
        graders: dict[Cell, CellGrader] = {}
        there = count_done(self.root, self.experiment, self.tasks)
        bar = self._samples_bar = self._bar("samples", self._wanted(), there)
        together = {choice.name for choice in self.experiment.models if self._spans(choice)}
        events = decode_cells(
            self.root, self.experiment, self.tasks, opener, share=self.share, together=together
        )
        try:
            with contextlib.closing(events):
                for event in events:
                    match event:
                        case ModelSurveyed(choice):
                            self._across = choice.name in together
                            if self._across:
                                meet(f"decode {choice.name}", self.share)
                        case CellStarted(cell):
                            bar.set_description(cell.label)
                        case SampleFinished(cell, sample):
                            bar.update()
                            if self.experiment.grade:
                                if cell not in graders:
                                    graders[cell] = self._grader(cell)
                                grading.submit(graders[cell], sample)
                    if not self._across:
                        stop.check()
            grading.finish(stop.check)
            here.through()
            if self.share.leads:
                here.wait_for_all(stop.check)
        except BaseException:
            grading.abandon()
            raise
        finally:
            bar.close()
            for grader in graders.values():
                grader.close()

    def _opened(self, stop: StopSignal) -> Any:
        def observe(progress: Any) -> None:
            if self._samples_bar is not None:
                self._samples_bar.set_postfix_str(
                    f"{progress.tokens_per_second:,.0f} tokens/s, {progress.running} running"
                )
            if any_of_us(stop.requested, self.share) if self._across else stop.requested:
                raise Stopped

        if self._opener is None:
            self._opener = self._open(self.experiment, observe)
        return self._opener

    def _spans(self, choice: ModelChoice) -> bool:
        if self.share.processes == 1:
            return False
        from kinetics_jax.sweep.model_sources import spans_processes

        return spans_processes(choice.slice)

    def _end(self, stop: StopSignal, *, samples: bool, anew: bool) -> Outcome:
        outcome = self._outcome()
        if self.experiment.grade:
            with self._bar("grading", outcome.done, 0) as bar:

                def on_sample() -> None:
                    stop.check()
                    bar.update()

                try:
                    grade_missing(
                        self.root, self.experiment, self.tasks, self._decoder, anew=anew, on_sample=on_sample
                    )
                except Stopped:
                    return dataclasses.replace(outcome, signal=stop.received)
            write_records(self.root, self.experiment)
        if samples:
            write_samples(self.root, self.experiment)
        if not self.experiment.report or not outcome.done:
            return outcome
        with self._bar("laws", 0, 0) as bar:

            def on_law(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                with stop.at_once():
                    summary = write_report(
                        self.root,
                        self.experiment,
                        settings=self._settings,
                        on_progress=on_law,
                        jobs=os.cpu_count() or 1,
                    )
            except Stopped:
                return dataclasses.replace(outcome, signal=stop.received)
        return dataclasses.replace(outcome, summary=summary)

    def _outcome(self) -> Outcome:
        from kinetics_jax.sweep.decoding import count_done

        done = count_done(self.root, self.experiment, self.tasks)
        return Outcome(done=done, wanted=self._wanted())

    def _wanted(self) -> int:
        return sum(len(wanted_keys(c, self.tasks[c.task])) for c in self.experiment.cells)

    def _grader(self, cell: Cell) -> CellGrader:
        return CellGrader(
            self.experiment,
            cell,
            self.tasks[cell.task],
            self.root,
            share=self.share,
            decode=lambda: self._decoder(cell),
        )

    def _decoder(self, cell: Cell) -> Decode | None:
        if self._opener is not None:
            tokenizer = self._opener.tokenizer(cell.model)
        else:
            from kinetics_jax.sweep.model_sources import open_tokenizer

            tokenizer = open_tokenizer(cell.model)
        return None if tokenizer is None else tokenizer.decode

    def _try_graders(self) -> None:
        """What grading needs and is not here is said now, not after hours of decoding."""
        for task in self.tasks.values():
            task.grade(task.problems[0], "")

    def _bar(self, what: str, total: int, done: int) -> tqdm:
        hidden = True if self._quiet or not self.share.leads else None  # None: shown to a terminal
        return tqdm(desc=what, total=total or None, initial=done, disable=hidden, dynamic_ncols=True)


def _open_engines(experiment: Experiment, observe: Callable[[Any], None]) -> Any:
    from kinetics_jax.sweep.engines import Engines  # JAX is not needed to merge and grade

    return Engines(experiment, observe)


__all__ = ["Outcome", "Sweep", "load_tasks", "plan_sweep"]
