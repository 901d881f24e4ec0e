"""The process that runs math-verify: ``python -m kinetics_jax.tasks.maths.worker SECONDS BYTES``.

Reads one JSON line {gold, form, text} at a time and answers {correct, answer, reason}, and {canonical} where
there is an answer to vote for. It may hang or die on a hostile text; ``worker_pool`` then replaces it.
"""

import faulthandler
import functools
import json
import math
import os
import re
import resource
import sys
import time
from typing import Any

import math_verify
import math_verify.grader
import sympy

from kinetics_jax.tasks.maths import answers, canonical, characters, numbers, qualifiers

MAX_ANSWER_CHARS = 200

_LATEX = math_verify.LatexExtractionConfig(boxed_match_priority=0)
_EXPRESSION = math_verify.ExprExtractionConfig()


def judge(gold: str, form: str, text: str) -> dict[str, Any]:
    """Whether ``text`` ends in the answer ``gold``, written as ``form`` (``latex`` or ``expression``)."""
    written = answers.final_part(text)
    part = answers.tidy(written)
    found = _parse(part)
    if not found and written != text:  # nothing after the reasoning: what stands in it counts
        written, part = text, answers.tidy(text)
        found = _parse(part)
    box = answers.last_box(part)
    answer = box if box is not None else next((f for f in found if isinstance(f, str)), None)
    if not found and not box:
        return _verdict(False, answer, "no answer found")
    correct = None
    if box is not None:
        correct = _equal_by_form(gold, box, answers.last_box(characters.fold(written)) or "")
    if correct is None:
        correct = _equal(gold, form, found)
    verdict = _verdict(correct, answer, f"{'equals' if correct else 'is not'} {gold}")
    return verdict | {"canonical": canonical.canonical(verdict["answer"], found)}


def _parse(text: str) -> list[Any]:
    return math_verify.parse(text, [_LATEX, _EXPRESSION], parsing_timeout=None)


def _equal_by_form(gold: str, answer: str, written: str) -> bool | None:
    """Words, numerals with a base, residues: what math-verify takes for products and plain numbers.

    ``answer`` is tidied, ``written`` is how it was written; None where neither form is there.
    """
    if qualifiers.is_wider(written) and not qualifiers.is_wider(gold):
        return False
    residue, other = qualifiers.modulus(gold), qualifiers.modulus(written)
    if residue and other:
        if residue[1] != other[1]:
            return False
        if residue[0] is not None and other[0] is not None and residue[1]:
            return (residue[0] - other[0]) % residue[1] == 0
    choice = answers.choice(gold)
    if choice and answers.choice(written, labelled=True):
        return choice == answers.choice(written, labelled=True)
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
                one, other, float_rounding=numbers.PLACES, allow_set_relation_comp=True, timeout_seconds=None
            ):
                return True
    return False


_PLAIN = re.compile(r"[-+\u2212]?[$€£¥₹]?[\d.,/ ]+%?")
"""A known answer that is a plain number; any other is read as LaTeX, whatever its form."""


@functools.lru_cache(maxsize=256)
def _gold(gold: str, form: str) -> tuple[Any, ...]:
    """The known answer, parsed; its text where it cannot be."""
    if form == "latex" or not _PLAIN.fullmatch(gold):
        text, configs = answers.tidy(rf"\boxed{{{gold}}}"), [_LATEX]
    else:
        text, configs = answers.tidy_answer(answers.tidy(gold)), [_EXPRESSION]
    return tuple(math_verify.parse(text, configs, parsing_timeout=None)) or (gold,)


def _numeric_equal(gold: Any, answer: Any, places: int, precision: int) -> bool:
    """Stands in for ``math_verify.grader.sympy_numeric_eq``; elements of sets and tuples come here too."""
    if all(isinstance(m, sympy.MatrixBase | sympy.MatrixExpr) for m in (gold, answer)):
        return _MATRICES_EQUAL(gold, answer, places, precision)
    shares = numbers.percent(gold), numbers.percent(answer)
    if any(share is not None for share in shares):  # 50 and 50 % are equal
        bare = [s if s is not None else e for s, e in zip(shares, (gold, answer), strict=True)]
        if numbers.same(*bare):
            return True
    equal = numbers.same(gold, answer)
    if equal is None:
        evaluate = math_verify.grader.safe_sympy_doit
        return evaluate(gold) == evaluate(answer)
    return equal


def _symbolic_equal(gold: Any, answer: Any) -> bool:
    """Stands in for ``math_verify.grader.sympy_symbolic_eq``: what values decide needs no algebra."""
    equal = numbers.same(gold, answer)
    return _ALGEBRA_EQUAL(gold, answer) if equal is None else equal


def _symbol_equal(gold: Any, answer: Any) -> bool:
    """Stands in for ``math_verify.grader.sympy_compare_symbols``, which compares names: n = n²/n."""
    return _NAMES_EQUAL(gold, answer) or numbers.same(gold, answer) is True


# math-verify has no hook for its comparisons of numbers and functions; its release is pinned.
_NAMES_EQUAL = math_verify.grader.sympy_compare_symbols
_MATRICES_EQUAL = math_verify.grader.sympy_numeric_eq
_ALGEBRA_EQUAL = math_verify.grader.sympy_symbolic_eq
math_verify.grader.sympy_compare_symbols = _symbol_equal
math_verify.grader.sympy_numeric_eq = _numeric_equal
math_verify.grader.sympy_symbolic_eq = _symbolic_equal


def _verdict(correct: bool, answer: str | None, reason: str) -> dict[str, Any]:
    if answer is not None:
        answer = answer.strip()[:MAX_ANSWER_CHARS].encode("utf-8", "replace").decode()
    reason = " ".join(reason.split())[:MAX_ANSWER_CHARS].encode("utf-8", "replace").decode()
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
