"""Verdicts from bounds on the claim itself: holds, fails, undecided, not comparable, untested.

"Not significant" is never "holds": what is to be equal must be shown to be equal within a margin, and what
is to be so at every cost must be shown at every cost. A statement about several families or cells has bounds
that are widened for their number (Bonferroni), so that all of its verdicts together are false in one run of
twenty at most; that families share questions does no harm to this rule.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Verdict = Literal["holds", "fails", "mixed", "undecided", "not comparable", "untested"]

MARGIN = 1.0
"""Points of accuracy that count as no difference: tables of accuracy are read to a point, and 200 questions
can just tell one."""

_TOLD_FIRST = ("fails", "holds", "undecided", "not comparable")


class Judged(NamedTuple):
    """A claim on one family (or model, or cell) alone."""

    where: str
    verdict: Verdict
    why: str


def equivalence(low: float, high: float, least: float, most: float) -> Verdict:
    """Whether a quantity lies in a range, from its interval (two one-sided tests).

    Args:
      low: end of the interval.
      high: the other end.
      least: end of the range that the claim allows.
      most: the other end.
    """
    if least <= low and high <= most:
        return "holds"
    return "fails" if high < least or low > most else "undecided"


def summary(judged: Sequence[Judged]) -> Verdict:
    """One word for all: what holds everywhere holds; ``mixed`` where it surely holds and surely fails.

    A claim that fails somewhere and surely holds nowhere fails: it is of all of them. What could not be
    compared is the word only where nothing could.
    """
    found = {one.verdict for one in judged} - {"untested"}
    compared = found - {"not comparable"}
    if not compared:
        return "not comparable" if found else "untested"
    if {"holds", "fails"} <= compared:
        return "mixed"
    if "fails" in compared:
        return "fails"
    return "holds" if compared == {"holds"} else "undecided"


def told(judged: Sequence[Judged], most: int = 3) -> str:
    """How many hold, fail or are undecided, then what each says, as far as there is room."""
    counted = ", ".join(
        f"{word} in {count}" for word in _TOLD_FIRST if (count := sum(one.verdict == word for one in judged))
    )
    order = sorted(judged, key=lambda one: _TOLD_FIRST.index(one.verdict))
    lines = "; ".join(f"{one.where}: {one.why}" for one in order[:most])
    more = f"; and {len(judged) - most} more" if len(judged) > most else ""
    return lines if len(judged) == 1 else f"{counted} of {len(judged)} ({lines}{more})"
