import re

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.records import RepetitionRule, ThinkingBudget


def test_published_rule():
    assert RepetitionRule().matches == 15
    assert RepetitionRule(window=64).matches == 2
    assert RepetitionRule(threshold=3).matches == 3
    assert RepetitionRule().kept_tokens(2000) == 2000 - 1 - 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "window=0"),
        ({"block": 0}, "block=0"),
        ({"window": 63}, "at least block=64"),
        ({"threshold": 0}, "threshold=0"),
        ({"window": 1e3}, "window=1000.0"),
        ({"block": True}, "block"),
    ],
)
def test_bad_rules_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        RepetitionRule(**options)


def test_budgets():
    assert ThinkingBudget(end=7).closing == (7,)
    assert ThinkingBudget(end=7).limit == 2**31 - 1
    assert ThinkingBudget(end=7, max_tokens=5, close=[1, 7]).closing == (1, 7)
    ThinkingBudget(end=7, min_tokens=4, wait=(1,), max_waits=1, max_tokens=4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"end": -1}, "end=-1 must be"),
        ({"end": None}, "end=None must be"),
        ({"max_tokens": -1}, "max_tokens=-1"),
        ({"max_tokens": 4, "close": (1, 2)}, "must hold end=7"),
        ({"close": (7,)}, "needs max_tokens"),
        ({"close": 7}, "close=7 must be a tuple"),
        ({"min_tokens": 4}, "wait, max_waits not given"),
        ({"wait": (1,), "max_waits": 1}, "min_tokens not given"),
        ({"min_tokens": 4, "wait": (7,), "max_waits": 1}, "must not hold end=7"),
        ({"min_tokens": 4, "wait": (-1,), "max_waits": 1}, "wait: token=-1"),
        ({"min_tokens": 4, "wait": (1,), "max_waits": 1, "max_tokens": 3}, "at most max_tokens=3"),
    ],
)
def test_bad_budgets_are_refused_in_one_line(options, words):
    with pytest.raises(InputError, match=re.escape(words)) as error:
        ThinkingBudget(**({"end": 7} | options))
    assert "\n" not in str(error.value)
