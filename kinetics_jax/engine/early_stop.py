"""When a prompt needs no further samples: the caller's word, asked after every sample of it."""

from collections.abc import Callable, Sequence

from kinetics_jax.errors import InputError
from kinetics_jax.records import Sample

Stop = Callable[[int, Sequence[Sample]], bool]
"""(place of the prompt among those given, its samples finished in this call, in order) → no more of it."""


class EarlyStop:
    """Finished samples by prompt, and which prompts are over."""

    def __init__(self, stop: Stop | None, at_once: int | None = None) -> None:
        """Without ``stop`` no prompt is over before all its samples are drawn."""
        self._stop = stop
        self.at_once = at_once
        """Most samples of a prompt that run at the same time; None: no limit."""
        self._finished: dict[int, list[Sample]] = {}
        self._over: set[int] = set()
        self._new: list[int] = []

    def begin(self, number: int) -> bool:
        """Whether a prompt is over before its first sample."""
        return self._stop is not None and self._ask(self._stop, number, [])

    def note(self, number: int, sample: Sample) -> None:
        """A sample of a prompt is finished and in the caller's hands."""
        if self._stop is None:
            return
        finished = self._finished.setdefault(number, [])
        finished.append(sample)
        if number not in self._over and self._ask(self._stop, number, finished):
            self._over.add(number)
            self._new.append(number)

    def newly_over(self) -> list[int]:
        """Prompts that are over since last asked."""
        new, self._new = self._new, []
        return new

    @staticmethod
    def _ask(stop: Stop, number: int, finished: Sequence[Sample]) -> bool:
        answer = stop(number, tuple(finished))
        if not isinstance(answer, bool):
            raise InputError(f"stop(prompt {number}, …) gave {answer!r}; it must say True or False")
        return answer
