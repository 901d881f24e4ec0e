"""``SampleLog``: finished samples on the disk before their slots are used again, and read back to go on."""

from collections.abc import Iterator

from kinetics_jax.engine.line_log import LineLog, LogError, PathLike, read_lines
from kinetics_jax.spec.errors import InputError
from kinetics_jax.spec.sample import Sample, SampleKey

STEM = "samples"


class SampleLog:
    """What ``Engine.generate`` yields, written down as it comes::

        with SampleLog("results/mine") as log:
            for sample in engine.generate(problems, n=8, done=log.done):
                log.append(sample)

    Run it again after any interruption: it goes on where it was, and no finished sample is made twice.
    """

    def __init__(self, folder: PathLike, *, process: int = 0, processes: int = 1) -> None:
        """Opens the file of this process in ``folder`` (``samples-00000-of-00001.jsonl``).

        Several processes may share a folder, each with its own number; they must agree beforehand who
        makes which samples. Raises ``LogError`` where another process holds this one's file, the file
        cannot be written, or any file of the folder is damaged elsewhere than at its end.
        """
        self._log = LineLog(folder, STEM, parse_sample, process=process, processes=processes)
        self.done: set[SampleKey] = set()
        """Keys of the samples that any process had finished when this log was opened, and of its own."""
        try:
            self.done.update(sample.key for sample in iterate_samples(folder))
        except BaseException:
            self._log.close()
            raise

    def append(self, sample: Sample) -> None:
        """Write a sample; when this returns it is on the disk, whole.

        Raises ``LogError`` where it cannot be written, or a sample of that key is there already.
        """
        if sample.key in self.done:
            raise LogError(f"{self._log.folder}: sample {sample.key} is there already")
        self._log.append(sample.to_json())
        self.done.add(sample.key)

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()

    def __enter__(self) -> "SampleLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def iterate_samples(folder: PathLike) -> Iterator[Sample]:
    """Samples of all processes in the order of their files; one that is there twice comes twice."""
    return read_lines(folder, STEM, parse_sample)


def merged_samples(folder: PathLike) -> list[Sample]:
    """Samples of all processes by key. Of two with the same key the first file's is kept.

    Trials are numbers and sort as such. Raises ``LogError`` as ``SampleLog``.
    """
    kept: dict[SampleKey, Sample] = {}
    for sample in iterate_samples(folder):
        kept.setdefault(sample.key, sample)
    return [kept[key] for key in sorted(kept)]


def parse_sample(line: str) -> Sample:
    """As ``Sample.from_json``, with every fault of a line an ``InputError``."""
    try:
        return Sample.from_json(line)
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"not a whole sample ({error})") from None


__all__ = ["STEM", "LogError", "SampleLog", "iterate_samples", "merged_samples", "parse_sample"]
