"""The process that runs math-verify: ``python -m kinetics_jax.tasks.maths.worker SECONDS BYTES``.

Reads one JSON line {gold, form, text} at a time and answers {correct, answer, reason}. It may hang or
die on a hostile text; ``worker_pool`` then replaces it.
"""

import faulthandler
import functools
import json
import math
import os
import resource
import sys
import time
from typing import Any

import math_verify

from kinetics_jax.tasks.maths import answers

ROUNDING = 5
"""Decimals to which a decimal number must agree (facts §4.4)."""
SMALL = 1e-3
"""Largest relative difference of two numbers that rounding may call equal."""
MAX_ANSWER_CHARS = 200

_LATEX = math_verify.LatexExtractionConfig(boxed_match_priority=0)
_EXPRESSION = math_verify.ExprExtractionConfig()


def judge(gold: str, form: str, text: str) -> dict[str, Any]:
    """Whether ``text`` ends in the answer ``gold``, written as ``form`` (``latex`` or ``expression``)."""
    part = answers.tidy(answers.final_part(text))
    found = _parse(part)
    if not found and part != text:  # nothing after the reasoning: what stands in it counts
        part = answers.tidy(text)
        found = _parse(part)
    box = answers.last_box(part)
    answer = box if box is not None else next((f for f in found if isinstance(f, str)), None)
    if not found and not box:
        return _verdict(False, answer, "no answer found")
    correct = _equal_by_form(gold, box) if box is not None else None
    if correct is None:
        correct = _equal(gold, form, found)
    return _verdict(correct, answer, f"{'equals' if correct else 'is not'} {gold}")


def _parse(text: str) -> list[Any]:
    return math_verify.parse(text, [_LATEX, _EXPRESSION], parsing_timeout=None)


def _equal_by_form(gold: str, answer: str) -> bool | None:
    """Words and numerals with a base, which math-verify would take for products and plain numbers."""
    if answers.is_text(gold):
        expected, got = answers.in_words(gold), answers.in_words(answer)
        if expected and got:
            return expected == got
    expected_numeral = answers.numeral(gold)
    if expected_numeral:
        got_numeral = answers.numeral(answer)
        if got_numeral:
            return int(*expected_numeral) == int(*got_numeral)
        if answer.strip() == expected_numeral[0]:
            return True
    return None


def _equal(gold: str, form: str, found: list[Any]) -> bool:
    expected = _gold(gold, form)
    for one in expected:
        for other in found:
            if math_verify.verify(
                one,
                other,
                float_rounding=ROUNDING,
                allow_set_relation_comp=True,
                timeout_seconds=None,
            ) and not _rounded_away(one, other):
                return True
    return False


@functools.lru_cache(maxsize=256)
def _gold(gold: str, form: str) -> tuple[Any, ...]:
    """The known answer, parsed; its text where it cannot be."""
    if form == "latex":
        text, configs = answers.tidy(rf"\boxed{{{gold}}}"), [_LATEX]
    else:
        text, configs = answers.tidy_answer(gold), [_EXPRESSION]
    return tuple(math_verify.parse(text, configs, parsing_timeout=None)) or (gold,)


def _rounded_away(one: Any, other: Any) -> bool:
    """Whether two numbers are equal only because both are small against the rounding."""
    if not all(getattr(n, "is_Number", False) and n.is_finite for n in (one, other)):
        return False
    size = max(abs(one), abs(other))
    return bool(abs(one - other) > SMALL * size)


def _verdict(correct: bool, answer: str | None, reason: str) -> dict[str, Any]:
    if answer is not None:
        answer = answer.strip()[:MAX_ANSWER_CHARS].encode("utf-8", "replace").decode()
    reason = " ".join(reason.split())[:MAX_ANSWER_CHARS]
    return {"correct": bool(correct), "answer": answer, "reason": reason}


def main() -> None:
    """Answer lines until standard input ends."""
    seconds, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Replies leave by a descriptor of their own: whatever math-verify prints cannot mix with them.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    judge("1", "latex", r"\boxed{1}")  # builds the parser's tables before the clock runs
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        # The kernel counts CPU time and ends this process even inside C code.
        over = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (over, resource.RLIM_INFINITY))
        # Where the parent is gone, nobody would kill a process that waits for something.
        faulthandler.dump_traceback_later(8 * seconds, exit=True)
        reply = judge(**json.loads(line))
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
