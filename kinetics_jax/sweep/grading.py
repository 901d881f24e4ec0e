"""Grades samples while others are decoded, and again whenever asked: grades follow from stored samples.

A cell's folder holds ``grades-….jsonl`` beside its samples: one ``spec.SampleRecord`` a line for each cap.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem, SampleRecord
from kinetics_jax.records.sample import Sample
from kinetics_jax.storage import place
from kinetics_jax.storage.line_log import LineLog, PathLike, read_lines
from kinetics_jax.sweep.experiment import Cell, Experiment
from kinetics_jax.sweep.shares import Share, cell_folder
from kinetics_jax.sweep.shorter_caps import cut
from kinetics_jax.tasks import Task

STEM = "grades"
BATCH = 64
"""Samples that are graded together."""
GradeKey = tuple[str, str, int, int | None]
"""(task, problem id, trial, cap)."""
Decode = Callable[[Sequence[int]], str]


def grade_key(record: SampleRecord) -> GradeKey:
    """What makes it this grade and no other of its cell."""
    return record.task, record.problem_id, record.trial, record.max_tokens


def read_grades(folder: PathLike) -> dict[GradeKey, SampleRecord]:
    """Every grade of a cell; of two with the same key the first file's."""
    found: dict[GradeKey, SampleRecord] = {}
    for record in read_lines(folder, STEM, SampleRecord.from_json):
        found.setdefault(grade_key(record), record)
    return found


def forget_grades(folder: PathLike) -> None:
    """Delete a cell's grades, so that all of it is graded again."""
    root = place(folder)
    for file in root.glob(f"{STEM}-*.jsonl") if root.exists() else ():
        file.unlink()


class CellGrader:
    """Grades the samples of one cell and writes the grades down."""

    def __init__(
        self,
        experiment: Experiment,
        cell: Cell,
        task: Task,
        root: PathLike,
        *,
        share: Share | None = None,
        decode: Callable[[], Decode | None],
    ) -> None:
        """``decode`` gives the function from ids to text when one is needed; it may be slow."""
        share = share or Share()
        self._task, self._name = task, experiment.name
        self._problems = {problem.problem_id: problem for problem in task.problems}
        self._cap, self._shorter = experiment.cap(task), experiment.shorter(task)
        self._model, self._decode = cell.model.name, decode
        self._workers = experiment.grading_processes or max(1, (os.cpu_count() or 1) // 2)
        folder = cell_folder(root, cell)
        self._log = LineLog(folder, STEM, process=share.process, processes=share.processes)
        self.done = set(read_grades(folder))

    def grade(self, samples: Sequence[Sample]) -> None:
        """Grade what is not graded yet of these samples, at every cap, and write it down."""
        todo = [
            short
            for sample in samples
            for short in self._at_every_cap(sample)
            if (short.task, short.problem_id, short.trial, short.max_tokens) not in self.done
        ]
        # A sample that ends before a cap reads the same there: it is judged once.
        texts = {(s.problem_id, s.trial, s.generated_tokens): s for s in todo}
        pairs = [(self._problem(sample), self._written(sample)) for sample in texts.values()]
        verdicts = self._task.grade_many(pairs, self._workers) if pairs else []
        by_text = dict(zip(texts, verdicts, strict=True))
        for sample in todo:
            verdict = by_text[sample.problem_id, sample.trial, sample.generated_tokens]
            record = sample.graded(self._name, verdict.correct, answer=verdict.vote, reason=verdict.reason)
            self._log.append(record.to_json())
            self.done.add(grade_key(record))

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()

    def _at_every_cap(self, sample: Sample) -> Iterable[Sample]:
        yield sample
        for length in self._shorter:
            decode = self._decode() if sample.generated_tokens >= length else None
            yield cut(sample, length, decode)

    def _problem(self, sample: Sample) -> Problem:
        problem = self._problems.get(sample.problem_id)
        if problem is None:
            raise InputError(
                f"{sample.task}: a stored sample is of problem {sample.problem_id!r}, which is none"
            )
        return problem

    def _written(self, sample: Sample) -> str:
        if sample.text is not None:
            return sample.text
        decode = self._decode()
        if decode is None:
            raise InputError(f"{self._model} has no tokenizer, so its answers cannot be read")
        return decode(sample.tokens)


class BackgroundGrading:
    """A thread that grades what it is given; the thread that decodes never waits for it."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[CellGrader, Sample] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._dropping = False
        self._thread = threading.Thread(target=self._run, name="grading", daemon=True)
        self._thread.start()

    def submit(self, grader: CellGrader, sample: Sample) -> None:
        """Queue a sample. Raises what an earlier one's grading raised."""
        self._check()
        self._queue.put((grader, sample))

    def finish(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait until all is graded; ``check`` is called meanwhile and may raise.

        Raises what grading raised.
        """
        self._queue.put(None)
        while self._thread.is_alive():
            check()
            self._thread.join(0.2)
        self._check()

    def abandon(self) -> None:
        """Stop after the samples at hand: the rest is graded when the sweep goes on."""
        self._dropping = True
        self._queue.put(None)
        self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        open_ended = True
        while open_ended:
            batch = [self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            open_ended = None not in batch
            if self._dropping or self._error is not None:
                continue
            by_grader: dict[int, tuple[CellGrader, list[Sample]]] = {}
            for entry in batch:
                if entry is not None:
                    by_grader.setdefault(id(entry[0]), (entry[0], []))[1].append(entry[1])
            try:
                for grader, samples in by_grader.values():
                    grader.grade(samples)
            except Exception as error:  # noqa: BLE001 - raised again in the thread that decodes
                self._error = error
