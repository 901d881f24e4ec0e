"""A small part of the falsehood suite; ``python -m tests.scaling.falsehood`` is the whole of it."""

import dataclasses

import numpy as np
import pytest

from kinetics_jax.scaling.traces.comparable import comparable_families
from tests.scaling.falsehood import truth
from tests.scaling.falsehood.judging import Outcome, judge_all, tally
from tests.scaling.falsehood.population import as_family, as_trials, draw
from tests.scaling.falsehood.scenarios import DESIGNS, WORLDS, Design

NAMES = (
    "sparse better throughout",
    "sparse far worse at the dear end",
    "sizes stop at the middle one",
    "two sizes, the larger worse",
    "many equal settings, few samples",
    "temperatures 0.6 and 1, policies",
    "four copies",
)
REPEATS = 3


@pytest.fixture(scope="module")
def outcomes():
    """21 data sets of seven worlds, two of them of tiny size."""
    worlds = {world.name: world for world in WORLDS}
    designs = [Design(world=worlds[name]) for name in NAMES[:-2]]
    designs += [Design(world=worlds[name], questions=60) for name in NAMES[-2:]]
    patch = pytest.MonkeyPatch()
    patch.setattr(truth, "POPULATION", 1500)
    patch.setattr(truth, "DEMANDS", 20)
    yield list(judge_all(designs, REPEATS))
    patch.undo()


def test_hardly_a_verdict_is_false(outcomes):
    """At most one in twenty of all together, plus two standard deviations for so few."""
    wrong = [one for one in outcomes if one.false]
    assert len(wrong) <= 0.05 * len(outcomes) + 2 * np.sqrt(0.05 * len(outcomes)), wrong


def test_what_can_be_decided_is(outcomes):
    for claim, row in tally(outcomes).items():
        if row["decidable at 200 questions"] >= 10:
            assert row["decided"] >= 0.8, (claim, row)


def test_both_words_are_said(outcomes):
    """A machine that never decides would pass the first test."""
    for claim in ("sparse", "sizes", "fair"):
        assert {"holds", "fails"} <= {one.verdict for one in outcomes if one.claim == claim}, claim
    apart = [one for one in outcomes if one.claim == "sparse" and "temperatures" in one.design]
    assert {one.verdict for one in apart} == {"not comparable"}


def test_a_false_verdict_is_one_that_is_not_true():
    one = Outcome("sparse", "d", 0, "holds", ("fails",), None)
    assert one.false
    assert not dataclasses.replace(one, verdict="fails").false
    assert not dataclasses.replace(one, verdict="undecided", true=()).false
    assert dataclasses.replace(one, true=()).false


def test_the_whole_suite_has_five_hundred_data_sets_and_all_kinds():
    assert 8 * len(DESIGNS) >= 500
    assert len({design.name for design in DESIGNS}) == len(DESIGNS)
    sides = [side for world in WORLDS for side in world.sides]
    assert len({side.cap for side in sides}) > 1
    assert len({side.temperature for side in sides}) > 1
    assert len({side.samples for side in sides}) > 1
    assert any(side.stored > 1 for side in sides)


def test_the_population_is_what_the_data_sets_are_drawn_from():
    """Through the table and straight into cells: the same numbers."""
    world = next(world for world in WORLDS if world.compared is None)
    draws = draw(world.sides, 12, world.spread, seed=0)
    (family,), _ = comparable_families(as_trials(draws))
    direct = {cell.label: cell for cell in as_family(draws).cells}
    for cell in family.cells:
        np.testing.assert_array_equal(cell.generated_tokens, direct[cell.label].generated_tokens)
        np.testing.assert_array_equal(cell.correct, direct[cell.label].correct)


@pytest.mark.parametrize(
    ("value", "true", "decidable"),
    [
        ([0.2, 0.1, 0.05], {"holds"}, "holds"),
        ([0.2, 0.0, -0.005], {"holds", "fails"}, None),
        ([0.2, 0.0, -0.02], {"fails"}, None),
        ([0.2, 0.0, -0.1], {"fails"}, "fails"),
    ],
)
def test_the_truth_of_winning_at_every_cost(value, true, decidable):
    curve = truth.Curve(np.array([1.0, 2.0, 3.0]), np.array(value), np.full(3, 0.01))
    assert truth.sparse_truth(curve) == (true, decidable)


@pytest.mark.parametrize(
    ("curves", "true", "decidable"),
    [
        (([-0.1, 0.1, 0.1], [-0.2, -0.1, -0.05]), {"holds"}, "holds"),
        (([-0.1, 0.1, 0.1], [-0.2, -0.1, 0.05]), set(), None),
        (([-0.1, -0.1, -0.1], [-0.2, -0.2, -0.2]), {"fails"}, "fails"),
        (([-0.1, 0.1, -0.1], [-0.2, -0.1, 0.1]), {"fails"}, "fails"),
        (([0.1, 0.1, 0.1], [-0.2, -0.1, -0.1]), set(), None),
    ],
)
def test_the_truth_of_sizes(curves, true, decidable):
    """Rising to a middle size; to the largest, which shows nothing; not at all; and back; one throughout."""
    costs = np.array([1.0, 2.0, 3.0])
    known = tuple(truth.Curve(costs, np.array(value), np.full(3, 0.01)) for value in curves)
    assert truth.sizes_truth(known) == (true, decidable)


@pytest.mark.parametrize(
    ("value", "true", "decidable"),
    [
        (0.2, {"holds"}, "holds"),
        (-0.97, {"holds", "fails"}, None),
        (1.2, {"fails"}, None),
        (3.0, {"fails"}, "fails"),
    ],
)
def test_the_truth_of_fairness(value, true, decidable):
    """Two standard errors of the population's own from the boundary, both words pass."""
    assert truth.bias_truth(value, 0.2, 0.02) == (true, decidable)
