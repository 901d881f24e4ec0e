"""Exact verification of a trace: every token must be the machine's, and it must have halted."""

from collections.abc import Sequence

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
from kinetics_jax.records.provenance import tokens_digest
from kinetics_jax.tasks.base import Grade
from kinetics_jax.tasks.registers.machine import TOKENS_PER_STEP
from kinetics_jax.tasks.registers.symbols import END, HALT, VOCABULARY, read_text, write_text


def grade(problem: Problem, written: str | Sequence[int]) -> Grade:
    """Correct where ``written`` is the problem's trace to the last token, ``halt``.

    Guessing does not pay: a trace of n steps is right with probability about M⁻ⁿ. Tokens from the
    first ``end`` on are not looked at.

    Args:
        problem: one of ``make_problems``.
        written: generated token ids, or the text that ``write_text`` makes of them.
    """
    if isinstance(written, str):
        try:
            written = read_text(written)
        except InputError as error:
            return Grade(correct=False, reason=str(error))
    tokens = [int(token) for token in written]
    if END in tokens:
        tokens = tokens[: tokens.index(END)]
    answer = write_text(tokens[-1:]) if tokens and 0 <= tokens[-1] < VOCABULARY else None
    # A machine's answer is its whole trace: one that did not halt has none.
    halted = bool(tokens) and tokens[-1] == HALT
    trace = f"{len(tokens)} tokens {tokens_digest(tokens)}" if halted else ""

    def read(correct: bool, reason: str) -> Grade:
        return Grade(correct=correct, answer=answer, reason=reason, canonical=trace)

    wanted = problem.answer
    wrong = next((i for i, (a, b) in enumerate(zip(tokens, wanted, strict=False)) if a != b), None)
    if wrong is not None:
        where, what = divmod(wrong, TOKENS_PER_STEP)
        kind = ("read address", "value read", "write address", "value written")[what]
        return read(False, f"step {where + 1}: wrong {kind}")
    if len(tokens) < len(wanted):
        done = len(tokens) // TOKENS_PER_STEP
        return read(False, f"right so far, but ends after {done} steps")
    if len(tokens) > len(wanted):
        return read(False, "goes on after halt")
    assert tokens[-1] == HALT
    return read(True, f"all {len(tokens) // TOKENS_PER_STEP} steps")
