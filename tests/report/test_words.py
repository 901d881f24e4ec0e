"""Numbers as people read them, names that cannot do harm, and how laws are grouped."""

import math

import pytest

from kinetics_jax.report import words
from kinetics_jax.report.groups import group_laws
from kinetics_jax.scaling.statistics.intervals import Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (4.5, "4.5"),
        (12345.0, "12,345"),
        (3.2e17, "3.2·10¹⁷"),
        (1e13, "10¹³"),
        (2e-9, "2·10⁻⁹"),
        (-91.66, "-91.7"),
        (100.0, "100"),
        (9.999e6, "9,999,000"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "–"),
    ],
)
def test_number(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0761, "76 ms"),
        (1.0, "1 s"),
        (0.99999999, "1 s"),
        (59.0, "59 s"),
        (7200.0, "2 h"),
        (2e-6, "2 µs"),
        (172800.0, "2 d"),
        (math.nan, "–"),
    ],
)
def test_seconds(value, text):
    assert words.seconds(value) == text


def test_params_percent_interval_and_counts():
    assert words.params(14.8e9) == "14.8 B"
    assert words.params(70e6) == "70 M"
    assert words.percent(0.1234) == "12.3 %"
    assert words.percent(math.nan) == "–"
    assert words.interval(Estimate(value=1.0, unit="", low=0.5, high=2.0)) == "0.5 … 2"
    assert words.interval(Estimate(value=1.0, unit="", low=0.5)) == "–"
    assert words.counted(1, "law") == "1 law"
    assert words.counted(1200, "law") == "1,200 laws"


def test_printable_and_shorten():
    assert words.printable("a\x1b[31m\u202e\udcff模") == "a�[31m��模"
    assert words.shorten("abcdef", 4) == "abc…"
    assert words.shorten("abcd", 4) == "abcd"


def test_laws_of_the_same_traces_are_one_group(results_maker, law_maker):
    laws = [
        law_maker(chip="b200"),
        law_maker(chip="b200", projected="quest"),
        law_maker(chip="h100"),
        law_maker(dataset="AIME 24"),
        law_maker(dataset="aime-24"),
        law_maker(dataset="模型", source=""),
    ]
    groups = group_laws(results_maker(laws))
    assert [len(group.rows) for group in groups] == [3, 1, 1, 1]
    assert groups[0].first is laws[0]
    assert [label.endswith("if quest") for label, _ in groups[0].rows] == [False, False, True]
    stems = [group.stem for group in groups]
    assert len(set(stems)) == 4
    assert all(stem.isascii() and "/" not in stem for stem in stems)


def test_held_out_leads_whatever_the_order(law_maker):
    assert law_maker(flavours=("paper", "held_out")).best_frontier.flavour == "held_out"
    assert law_maker(flavours=("paper",)).best_frontier.flavour == "paper"
