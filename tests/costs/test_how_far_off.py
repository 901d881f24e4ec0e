"""The one line about prices: how far off, on what, and which constants nobody measured."""

import dataclasses

import pytest

from kinetics_jax.costs import Calibration, chips, price, price_evidence
from kinetics_jax.costs.how_far_off import merged
from kinetics_jax.policies import Dense, SlidingWindow, parse_policy

KNOWN = Calibration(rows=899, error=0.13, bias=-0.02, low=0.8, high=1.3)


def cost(policy, mode="calibrated", **options):
    return price("qwen3-8b", policy, 100, 5000, chip=chips["h100"], mode=mode, **options)


def test_calibrated_prices_name_the_search_where_something_searches():
    dense, window, quest = (cost(p) for p in (Dense(), SlidingWindow(1024), parse_policy("quest(16, 64)")))
    assert "sparse attention's search" not in price_evidence([dense, window]).sentence
    both = price_evidence([dense, quest])
    assert both.sparse
    assert "assumed, not measured: constants of" in both.sentence
    assert "sparse attention's search" in both.sentence.partition("assumed")[2]


def test_a_search_that_was_measured_is_said_to_be():
    found = price_evidence([cost(parse_policy("quest(16, 64)"))])
    measured = dataclasses.replace(
        found, calibration=dataclasses.replace(found.calibration, assumed=("host",))
    )
    assert measured.sentence.endswith("measured: sparse attention's search")


def test_data_sheet_prices_say_what_they_leave_out():
    said = price_evidence([cost(Dense(), "exact", overlap="max")]).sentence
    assert said.startswith("Data-sheet prices on h100")
    assert "overlap max" in said
    assert "no floors" in said


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (KNOWN, "on 899 public deployments this model's time per token was off by 13 %"),
        (dataclasses.replace(KNOWN, rows=0), "held against no measurement"),
    ],
)
def test_how_far_off_is_said_or_that_nobody_knows(known, words):
    found = dataclasses.replace(price_evidence([cost(Dense())]), calibration=known)
    assert words in found.sentence
    assert found.to_data()["rows"] == known.rows


def test_evidence_is_merged_by_mode_and_chip_and_forgets_no_assumption():
    dense, quest = (price_evidence([cost(p)]) for p in (Dense(), parse_policy("quest(16, 64)")))
    ideal = price_evidence([cost(Dense(), "exact")])
    one, other = merged([dense, ideal, quest])
    assert (one.mode, other.mode) == ("calibrated", "exact")
    assert one.sparse
    assert "search" in one.calibration.assumed
    assert next(iter(merged([quest, dense]))).sentence == one.sentence  # whichever comes first
