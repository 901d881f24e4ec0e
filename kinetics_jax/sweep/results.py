"""From what a sweep's cells hold to one file of samples, one of graded records, law and report."""

import functools
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kinetics_jax.engine.sample_log import iterate_samples, merged_samples
from kinetics_jax.report import summary_table, write_results
from kinetics_jax.scaling import read_trials, write_csv
from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.storage import Place, place
from kinetics_jax.storage.line_log import PathLike, is_object_store
from kinetics_jax.sweep.experiment import Cell, Experiment
from kinetics_jax.sweep.grading import CellGrader, Decode, forget_grades, read_grades
from kinetics_jax.sweep.manifest import write_whole
from kinetics_jax.sweep.shares import cell_folder
from kinetics_jax.tasks import Task

RECORDS = "records.jsonl"
SAMPLES = "samples.jsonl"
REPORT = "report"


def grade_missing(
    root: PathLike,
    experiment: Experiment,
    tasks: Mapping[str, Task],
    decoder: Callable[[Cell], Decode | None],
    *,
    anew: bool = False,
    on_sample: Callable[[], None] = lambda: None,
) -> None:
    """Grade the stored samples that have no grade yet; with ``anew`` all of them."""
    for cell in experiment.cells:
        folder = cell_folder(root, cell)
        if not folder.exists():
            continue
        if anew:
            forget_grades(folder)
        grader = CellGrader(experiment, cell, tasks[cell.task], root, decode=functools.partial(decoder, cell))
        try:
            for batch in _batches(iterate_samples(folder)):
                grader.grade(batch)
                for _ in batch:
                    on_sample()
        finally:
            grader.close()


def _batches(samples: Iterator, size: int = 64) -> Iterator[list]:
    batch: list = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch


def write_records(root: PathLike, experiment: Experiment) -> Place:
    """All grades as one file, sorted by cell, cap, problem and trial."""
    lines = []
    for cell in experiment.cells:
        found = read_grades(cell_folder(root, cell))
        order = sorted(found, key=lambda key: (-(key[3] or 0), key[0], key[1], key[2]))
        lines += [found[key].to_json() + "\n" for key in order]
    path = place(root) / RECORDS
    write_whole(path, "".join(lines))
    return path


def write_samples(root: PathLike, experiment: Experiment) -> Place:
    """All samples as one file, sorted by cell, problem and trial, each once."""
    path = place(root) / SAMPLES
    write_whole(
        path,
        "".join(
            sample.to_json() + "\n"
            for cell in experiment.cells
            for sample in merged_samples(cell_folder(root, cell))
        ),
    )
    return path


def write_report(
    root: PathLike,
    experiment: Experiment,
    *,
    settings: Mapping[str, Any],
    jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Law, figures and report of ``records.jsonl`` in ``report/``; returns the summary to print.

    Args:
      root: the sweep's directory.
      experiment: whose chips and rules of the law are used.
      settings: written into the law as they are.
      jobs: processes.
      on_progress: called with (laws found, laws in all).

    Raises ``InputError`` where the records are too few for any law.
    """
    if is_object_store(root):
        return _report_elsewhere(root, experiment, settings, jobs, on_progress)
    trials = read_trials(os.path.join(os.fspath(root), RECORDS))
    results = find_results(
        trials,
        experiment.priced_chips,
        experiment.law,
        min_questions=experiment.min_questions,
        jobs=jobs,
        on_progress=on_progress,
        settings=settings,
    )
    extra = {"trials.csv": functools.partial(write_csv, trials)}
    write_results(results, os.path.join(os.fspath(root), REPORT), extra_files=extra)
    return summary_table(results)


def _report_elsewhere(
    root: PathLike,
    experiment: Experiment,
    settings: Mapping[str, Any],
    jobs: int,
    on_progress: Callable[[int, int], None],
) -> str:
    """The report of a sweep on an object store: made on this machine's disk, then copied."""
    with tempfile.TemporaryDirectory() as here:
        (pathlib.Path(here) / RECORDS).write_bytes((place(root) / RECORDS).read_bytes())
        summary = write_report(here, experiment, settings=settings, jobs=jobs, on_progress=on_progress)
        source, target = pathlib.Path(here) / REPORT, place(root) / REPORT
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return summary
