"""``SampleLog``: finished samples on the disk before their slots are used again, and read back to go on.

A log is of one experiment. Its samples say what decided them (``records.provenance``), and samples of other
weights, tokenizer, policy, sampling or prompts are refused, not mixed in.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from kinetics_jax.records.provenance import difference, experiment_of, prompt_of
from kinetics_jax.records.sample import Sample, SampleKey
from kinetics_jax.storage.line_log import LineLog, LogError, PathLike, read_lines

STEM = "samples"


class Finished(set[SampleKey]):
    """Keys of a log's samples, and what made them. ``Engine.generate(done=…)`` looks at both."""

    def __init__(self, folder: PathLike) -> None:
        super().__init__()
        self.folder = os.fspath(folder)
        self._experiments: dict[str, Mapping[str, Any]] = {}
        """What the samples say of their experiment, by its JSON: one, unless they are mixed already."""
        self._prompts: dict[tuple[str, str], dict[str, Any]] = {}
        """What they say of each problem's prompt, by (task, problem id)."""

    def note(self, sample: Sample) -> None:
        """Count a sample in, whatever made it."""
        self.add(sample.key)
        made = experiment_of(sample)
        self._experiments.setdefault(json.dumps(made, sort_keys=True), made)
        prompt = self._prompts.setdefault(sample.key[:2], {})
        prompt |= {name: value for name, value in prompt_of(sample).items() if name not in prompt}

    def check(self, made: Mapping[str, Any], problem: tuple[str, str], prompt: Mapping[str, Any]) -> None:
        """Raise ``LogError`` unless samples made like this belong to those that are here.

        What the samples here do not say is not compared: an earlier version wrote neither digests nor
        filters. Going on with such a log is warned of.

        Args:
          made: as ``records.provenance.experiment``.
          problem: (task, problem id).
          prompt: as ``records.provenance.prompt_of``.
        """
        for there in self._experiments.values():
            if what := difference(there, made):
                raise LogError(
                    f"{self.folder}: holds samples of another experiment: {what}. Name another folder, or "
                    "ask for what they were made with"
                )
        if what := difference(self._prompts.get(problem, {}), prompt):
            what = "are of another prompt" if what.startswith("prompt ") else f"differ: {what}"
            raise LogError(
                f"{self.folder}: its samples of problem {'/'.join(problem)} {what}. Prompts without a name "
                "are numbered as they come: keep their order, name them (records.Problem), or name another "
                "folder"
            )
        untold = any("weights" not in there for there in self._experiments.values())
        if untold and "weights" in made:
            warnings.warn(
                f"{self.folder}: some of its samples do not say which weights, tokenizer and prompts made "
                "them (an earlier version wrote them); they are taken to be these",
                stacklevel=4,
            )


class SampleLog:
    """What ``Engine.generate`` yields, written down as it comes::

        with SampleLog("results/mine") as log:
            for sample in engine.generate(problems, n=8, done=log.done):
                log.append(sample)

    Run it again after any interruption: it goes on where it was, and no finished sample is made twice.
    """

    def __init__(
        self, folder: PathLike, *, process: int = 0, processes: int = 1, guarded: bool = True
    ) -> None:
        """Opens the file of this process in ``folder`` (``samples-00000-of-00001.jsonl``).

        Several processes may share a folder, each with its own number; they must agree beforehand who
        makes which samples. ``guarded=False``: something else, such as a sweep's manifest, sees to it that
        the samples are of one experiment.

        Raises ``LogError`` where another process holds this one's file, the file cannot be written, or
        any file of the folder is damaged elsewhere than at its end.
        """
        self._log = LineLog(folder, STEM, process=process, processes=processes)
        self._guarded = guarded
        self.done = Finished(folder)
        """Keys of the samples that any process had finished when this log was opened, and of its own."""
        try:
            for sample in iterate_samples(folder):
                self.done.note(sample)
        except BaseException:
            self._log.close()
            raise

    def append(self, sample: Sample) -> None:
        """Write a sample; when this returns it is on the disk, whole.

        Raises ``LogError`` where it cannot be written, a sample of that key is there already, or those
        that are there are of another experiment.
        """
        if sample.key in self.done:
            raise LogError(f"{self._log.folder}: sample {sample.key} is there already")
        if self._guarded:
            self.done.check(experiment_of(sample), sample.key[:2], prompt_of(sample))
        self._log.append(sample.to_json())
        self.done.note(sample)

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()

    def __enter__(self) -> "SampleLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def iterate_samples(folder: PathLike) -> Iterator[Sample]:
    """Samples of all processes in the order of their files; one that is there twice comes twice."""
    return read_lines(folder, STEM, Sample.from_json)


def merged_samples(folder: PathLike) -> list[Sample]:
    """Samples of all processes by key. Of two with the same key the first file's is kept.

    Trials are numbers and sort as such. Raises ``LogError`` as ``SampleLog``, and where two samples of one
    key were made by different experiments: ``iterate_samples`` gives both.
    """
    kept: dict[SampleKey, Sample] = {}
    for sample in iterate_samples(folder):
        first = kept.setdefault(sample.key, sample)
        if first is not sample and (what := _made_differently(first, sample)):
            raise LogError(f"{folder}: holds sample {sample.key} of two experiments: {what}")
    return [kept[key] for key in sorted(kept)]


def _made_differently(first: Sample, second: Sample) -> str:
    return difference(experiment_of(first), experiment_of(second)) or difference(
        prompt_of(first), prompt_of(second)
    )


__all__ = ["STEM", "Finished", "LogError", "SampleLog", "iterate_samples", "merged_samples"]
