"""When a prompt needs no further samples: the caller's word, asked after every sample of it."""

from collections.abc import Callable, Sequence

from kinetics_jax.errors import InputError
from kinetics_jax.records import Sample

Stop = Callable[[int, Sequence[Sample]], bool]
"""(place of the prompt among those given, its samples finished in this call, in order) → no more of it."""


class EarlyStop:
    """Finished samples by prompt, and which prompts are over."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._finished: dict[int, list[Sample]] = {}
        self._over: set[int] = set()
        self._new: list[int] = []

    def begin(self, number: int) -> bool:
        """Whether a prompt is over before its first sample."""
        return self._ask(number, [])

    def note(self, number: int, sample: Sample) -> None:
        """A sample of a prompt is finished and in the caller's hands."""
        finished = self._finished.setdefault(number, [])
        finished.append(sample)
        if number not in self._over and self._ask(number, finished):
            self._over.add(number)
            self._new.append(number)

    def newly_over(self) -> list[int]:
        """Prompts that are over since last asked."""
        new, self._new = self._new, []
        return new

    def _ask(self, number: int, finished: Sequence[Sample]) -> bool:
        answer = self._stop(number, tuple(finished))
        if not isinstance(answer, bool):
            raise InputError(f"stop(prompt {number}, …) gave {answer!r}; it must say True or False")
        return answer
