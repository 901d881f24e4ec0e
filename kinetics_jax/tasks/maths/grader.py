"""Judges final answers with math-verify, in processes of their own under time and memory limits."""

import importlib.util
from collections.abc import Sequence

from kinetics_jax.errors import InputError
from kinetics_jax.tasks.base import Grade, Pair
from kinetics_jax.tasks.worker_pool import Lost, WorkerPool

FORMS = ("expression", "latex")
"""How a known answer is written: a plain number or LaTeX (MATH-500)."""


class MathGrader:
    """Grades by mathematical equality; see docs/tasks.md for what counts as equal."""

    def __init__(
        self, form: str, *, seconds: float = 10.0, memory_bytes: int = 2 << 30, max_chars: int = 1 << 18
    ) -> None:
        """A grader of known answers written as ``form``.

        Args:
            form: one of ``FORMS``.
            seconds: CPU time of one answer; its process is killed then, and at six times that by the
                clock, so that a busy machine changes no verdict.
            memory_bytes: address space of one process.
            max_chars: only the last so many characters of a text are read.
        """
        if form not in FORMS:
            raise InputError(f"form={form!r} must be one of {', '.join(FORMS)}")
        self._form, self._max_chars = form, max_chars
        self._pool = WorkerPool(
            "kinetics_jax.tasks.maths.worker",
            arguments=[str(seconds), str(memory_bytes)],
            seconds=6 * seconds,
        )

    def grade_many(self, pairs: Sequence[Pair], workers: int) -> list[Grade]:
        """See ``Grader``. Raises InputError where math-verify is not installed."""
        if importlib.util.find_spec("math_verify") is None:
            raise InputError("grading needs math-verify: pip install 'kinetics-jax[tasks]'")
        requests = [
            {"gold": str(problem.answer), "form": self._form, "text": text[-self._max_chars :]}
            for problem, text in pairs
        ]
        replies = self._pool.map(requests, workers)
        return [self._grade(text, reply) for (_, text), reply in zip(pairs, replies, strict=True)]

    def _grade(self, text: str, reply: dict | Lost) -> Grade:
        cut = (
            f" (only the last {self._max_chars} characters were read)" if len(text) > self._max_chars else ""
        )
        if isinstance(reply, Lost):
            return Grade(correct=False, reason=reply.reason + cut)
        return Grade(
            correct=reply["correct"],
            answer=reply["answer"],
            reason=reply["reason"] + cut,
            canonical=reply.get("canonical"),
        )

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()
