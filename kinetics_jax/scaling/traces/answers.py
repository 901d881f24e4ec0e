"""Answers as numbers: which samples of a question gave the same one. Axes: Q questions · S samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_ANSWER = -1
"""Of a sample in which the grader found none; it votes for nothing."""


def answer_codes(answer_qs: NDArray[Any], present_qs: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Which of its question's answers each sample gave, numbered by the first sample that gave them, [Q, S].

    Args:
        answer_qs: texts, empty where no answer was found, None where it was not recorded.
        present_qs: which entries are samples; the others come out as ``NO_ANSWER``.

    Returns:
        None where the answer of any sample is not recorded.
    """
    if any(answer is None for answer in answer_qs[present_qs]):
        return None
    codes = np.full(answer_qs.shape, NO_ANSWER, np.int64)
    for q, (row, there) in enumerate(zip(answer_qs, present_qs, strict=True)):
        seen: dict[str, int] = {}
        for s in np.flatnonzero(there):
            if row[s]:
                codes[q, s] = seen.setdefault(row[s], len(seen))
    return codes
