"""What was computed before the rooms were laid out anew is computed still."""

import json
import math
from pathlib import Path

import pytest

from tests.golden import make


def golden(name):
    return json.loads((Path(__file__).parent / f"{name}.json").read_text())


def assert_same(found, expected, where=""):
    """Equal, but that floats may differ by what another processor's exp and log do: 1e-9."""
    assert type(found) is type(expected), where
    if isinstance(found, dict):
        assert found.keys() == expected.keys(), where
        for key in found:
            assert_same(found[key], expected[key], f"{where}/{key}")
    elif isinstance(found, list):
        assert len(found) == len(expected), where
        for at, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}/{at}")
    elif isinstance(found, float):
        assert math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-300), (where, found, expected)
    else:
        assert found == expected, where


def test_prices_are_the_same_to_the_last_bit():
    assert make.prices() == golden("prices")


def test_samples_are_the_same_to_the_last_token():
    assert make.samples() == golden("samples")


def test_the_law_is_the_same(tmp_path):
    assert_same(make.law(tmp_path), golden("law"))


def test_a_changed_figure_is_seen():
    law = golden("law")
    changed = json.loads(json.dumps(law))
    changed["laws"][0]["num_questions" if "num_questions" in law["laws"][0] else "chip"] = -1
    with pytest.raises(AssertionError):
        assert_same(changed, law)
