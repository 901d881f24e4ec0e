"""Sentences say what their intervals allow, and no more."""

import dataclasses

import numpy as np
import pytest

from kinetics_jax.scaling.law.choices import main_bands, seconds
from kinetics_jax.scaling.law.sentences import VERIFIER, answers
from kinetics_jax.scaling.law.which_model import which_model
from kinetics_jax.scaling.statistics.intervals import Estimate
from tests.report.conftest import make_law


@pytest.fixture(scope="module")
def law():
    """Two models that change at one cost."""
    made = make_law(models=("qwen3-0.6b", "qwen3-4b"), flavours=("held_out",))
    bands = tuple(dataclasses.replace(band, support=0.95) for band in made.best_frontier.bands)
    assert [band.model for band in bands] == ["qwen3-0.6b", "qwen3-4b"]
    return with_bands(made, bands)


def with_bands(law, bands):
    return dataclasses.replace(
        law, frontiers={"held_out": dataclasses.replace(law.best_frontier, bands=tuple(bands))}
    )


def crossing(law, low, high):
    """The law with an interval of the crossover, in multiples of it."""
    first, second = law.best_frontier.bands
    ends = {"start_low": low * second.start, "start_high": high * second.start}
    return with_bands(law, [first, dataclasses.replace(second, **ends)])


def test_a_crossover_is_named_with_its_interval(law):
    at = law.best_frontier.bands[1].start / law.peak_flops
    ends = f"[{seconds(0.8 * at)}–{seconds(1.5 * at)}]"
    said = which_model(crossing(law, 0.8, 1.5))
    assert said == f"use qwen3-0.6b, above {seconds(at)} {ends} per question qwen3-4b"


def test_within_a_wide_range_nothing_is_said(law):
    at = law.best_frontier.bands[1].start / law.peak_flops
    said = which_model(crossing(law, 0.4, 2.0))
    assert f"between {seconds(0.4 * at)} and {seconds(2 * at)} these traces cannot say" in said
    assert f"above {seconds(2 * at)} per question" in said


def test_a_crossover_that_is_not_determined_has_no_cost(law):
    said = "use qwen3-0.6b, at more cost (from where on, these traces cannot say) qwen3-4b"
    assert which_model(law) == said


@pytest.mark.parametrize(
    ("support", "said"),
    [
        (0.95, "use m"),
        (0.7, "use m (best in 70% of resamples)"),
        (0.4, "use m (unsettled: 40% of resamples)"),
    ],
)
def test_a_model_on_which_resamples_differ_says_so(law, support, said):
    band = dataclasses.replace(law.best_frontier.bands[0], model="m", support=support)
    assert which_model(with_bands(law, [band])) == f"{said} throughout"


def test_joined_bands_keep_the_interval_of_their_beginning(law):
    first, second = crossing(law, 0.5, 1.5).best_frontier.bands
    third = dataclasses.replace(second, start=second.end, end=10 * second.end, start_low=np.nan)
    joined = main_bands([first, second, third])
    assert [band.start_low for band in joined[1:]] == [second.start_low]
    assert joined[1].end == third.end


def test_the_first_answer_says_which_verifier_is_assumed(law):
    first, *others = answers([law, dataclasses.replace(law, source="b")])
    assert VERIFIER in first
    assert not any(VERIFIER in answer for answer in others)
    one_trial = dataclasses.replace(law.best_frontier, trials=np.ones(100))
    assert VERIFIER not in answers([dataclasses.replace(law, frontiers={"held_out": one_trial})])[0]


def test_copies_and_what_was_not_compared_stand_with_the_answer(law):
    doubtful = dataclasses.replace(
        law, warnings=("x repeats y",), not_comparable={"sizes": "temperatures 0 and 0.6"}
    )
    said = answers([doubtful])[0]
    assert "Beware: x repeats y." in said
    assert "Not all sizes could be compared: temperatures 0 and 0.6." in said


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (2.0, 1.2, 2.5, "95 % of what dense solves costs 2.0× less [1.2–2.5]"),
        (0.5, 0.25, 0.8, "95 % of what dense solves costs 2.0× more [1.2–4.0]"),
        (2.0, 0.0, 2.5, "these traces cannot say (2.0× less [0.0–2.5; 0 is never])"),
        (0.0, 0.0, 0.0, "sparse never solves 95 % of what dense does."),
        (0.0, 0.0, 0.8, "sparse never solves 95 % of what dense does, or pays at least 1.2 times for it"),
        (0.0, 0.0, 1.5, "these traces cannot say"),
    ],
)
def test_sparse_costs_less_only_where_its_interval_says_so(law, value, low, high, said):
    sparse = make_law().sparse
    cheaper = Estimate(value=value, unit="× less cost", low=low, high=high)
    told = answers([dataclasses.replace(law, sparse=dataclasses.replace(sparse, cheaper=cheaper))])[1]
    assert said in told
    assert "in the mean over costs, which says nothing of any one cost" in told


@pytest.mark.parametrize(
    ("value", "said"),
    [(3.0, "3 chip-seconds"), (0.012, "0.012 chip-seconds"), (4e-4, "0.4 chip-ms"), (4.1e-5, "41 chip-µs")],
)
def test_costs_are_chip_seconds(value, said):
    assert seconds(value) == said
