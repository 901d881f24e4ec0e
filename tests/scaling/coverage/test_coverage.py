"""A small part of the coverage suite; ``python -m tests.scaling.coverage`` is the whole of it."""

import dataclasses

import numpy as np
import pytest

from kinetics_jax.scaling import mean_interval
from tests.scaling.coverage import measure
from tests.scaling.coverage.populations import DESIGNS

DRAWS = 10


@pytest.fixture(scope="module")
def found():
    """Kinds of three designs, from few draws: an ordinary one, few questions, and accuracies near one."""
    patch = pytest.MonkeyPatch()
    patch.setattr(measure, "MANY", 1_500)
    measure.true_law.cache_clear()
    names = ("topics", "ten questions", "easy")
    designs = [
        dataclasses.replace(DESIGNS[name], questions=min(DESIGNS[name].questions, 60)) for name in names
    ]
    yield dict(zip(names, (measure.coverage(d, DRAWS, resamples=100) for d in designs), strict=True))
    measure.true_law.cache_clear()
    patch.undo()


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("accuracy", 0.9),
        ("most solved", 0.9),
        ("crossover (decades)", 0.9),
        ("exponent of tokens", 0.85),
        ("gain", 0.9),
        ("saving", 0.9),
    ],
)
def test_printed_intervals_cover(found, kind, least):
    """All designs together; two standard deviations of so few draws below what the whole suite shows."""
    rows = [kinds[kind] for kinds in found.values() if kind in kinds]
    covered = np.average([row["covered"] for row in rows], weights=[row["printed"] for row in rows])
    assert covered > least - 2 * np.sqrt(least * (1 - least) / (DRAWS * len(rows)))


def test_no_interval_is_of_zero_width(found):
    assert {kind: row["zero_width"] for kinds in found.values() for kind, row in kinds.items()}.keys() >= {
        "gain"
    }
    assert sum(row["zero_width"] for kinds in found.values() for row in kinds.values()) == 0


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_means_of_a_handful_cover(count):
    """Two texts of as many passages each, one four times as scattered as the other."""
    rng, covered = np.random.default_rng(count), []
    for _ in range(2_000):
        ends = mean_interval([rng.normal(1, 1, count), rng.normal(3, 4, count)])
        covered.append(ends.low <= 2 <= ends.high)
    assert 0.93 < np.mean(covered) < 0.995
