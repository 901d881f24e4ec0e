"""Judges programs by running them on the tests of their problem, each run in a sandbox of its own."""

import concurrent.futures
import functools
import signal
from collections.abc import Sequence

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
from kinetics_jax.tasks.base import Grade, Pair
from kinetics_jax.tasks.maths.answers import final_part
from kinetics_jax.tasks.programs.compare import same_output, same_value
from kinetics_jax.tasks.programs.extract import last_program
from kinetics_jax.tasks.programs.sandbox import Limits, Outcome, Sandbox
from kinetics_jax.tasks.programs.stored_tests import Case, StoredTests

MAX_PROGRAM_CHARS = 1 << 18
"""A longer program is not run."""


class CodeGrader:
    """Right means: every test passes. The expected outputs never enter the sandbox."""

    def __init__(self, limits: Limits | None = None, *, unsafe_local_exec: bool = False) -> None:
        """``limits`` of one run; ``unsafe_local_exec`` runs programs without a sandbox."""
        self._limits = limits or Limits()
        self._unsafe_local_exec = unsafe_local_exec

    def grade_many(self, pairs: Sequence[Pair], workers: int) -> list[Grade]:
        """See ``Grader``.

        Raises:
            SandboxError: programs cannot be run safely here.
            InputError: a problem has no tests, or tests that cannot be read.
        """
        for problem, _ in pairs:
            if not isinstance(problem.answer, StoredTests):
                raise InputError(
                    f"{problem.task}/{problem.problem_id} has no tests, so it cannot be graded; "
                    "load the task from the published file, which has them"
                )
        sandbox = Sandbox(self._limits, unsafe_local_exec=self._unsafe_local_exec)
        with concurrent.futures.ThreadPoolExecutor(workers) as threads:
            futures = [threads.submit(self._grade, sandbox, *pair) for pair in pairs]
            try:
                return [future.result() for future in futures]
            finally:
                threads.shutdown(wait=True, cancel_futures=True)

    def _grade(self, sandbox: Sandbox, problem: Problem, text: str) -> Grade:
        source = last_program(final_part(text)) or last_program(text)
        if not source or not source.strip():
            return Grade(correct=False, reason="no program found between ``` lines")
        if len(source) > MAX_PROGRAM_CHARS:
            return Grade(correct=False, reason=f"program longer than {MAX_PROGRAM_CHARS} characters")
        cases = _cases(problem.answer)
        with sandbox.program(source) as folder:
            for number, case in enumerate(cases, 1):
                outcome = sandbox.run(folder, case.input, problem.answer.function)
                wrong = self._why_wrong(outcome, case, problem.answer.function)
                if wrong:
                    reason = f"test {number} of {len(cases)}: {wrong}"
                    return Grade(correct=False, answer=source, reason=reason)
        return Grade(correct=True, answer=source, reason=f"passed {len(cases)} tests")

    def _why_wrong(self, outcome: Outcome, case: Case, function: str | None) -> str | None:
        if outcome.status is None:
            return f"timed out ({self._limits.seconds:g} s of CPU, {self._limits.clock_seconds:g} s in all)"
        if outcome.status:
            return f"{_ending(outcome.status)} {outcome.message[:200]}".strip()
        same = same_output if function is None else same_value
        return None if same(case.output, outcome.output) else "wrong output"


@functools.lru_cache(maxsize=8)
def _cases(tests: StoredTests) -> tuple[Case, ...]:
    cases = tests.cases()
    if not cases:
        raise InputError("a problem has an empty list of tests")
    return cases


def _ending(status: int) -> str:
    number = -status if status < 0 else status - 128  # bubblewrap reports a signal as a shell does
    if number in signal.Signals.__members__.values():
        return f"killed by {signal.Signals(number).name}"
    return f"exit status {status}"
