"""A thousand fits at once are the same fits as one at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.scaling import fit_power_law
from kinetics_jax.scaling.statistics.batch_fits import fit_power_laws


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.8, 2.5), st.floats(0.01, 1e6), st.floats(0, 0.3), st.integers(0, 999))
def test_rows_equal_the_single_fit(b, a, noise, seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(1, 1e4, 30))
    rows = a * x**b * np.exp(noise * rng.normal(size=(3, 30)))
    rows[1, :10] = np.nan
    amplitude, exponent = fit_power_laws(x, rows)
    for i, row in enumerate(rows):
        known = np.isfinite(row)
        single = fit_power_law(x[known], row[known])
        assert exponent[i] == pytest.approx(single.b, abs=1e-4)
        assert amplitude[i] == pytest.approx(single.a, rel=2e-3)


def test_an_offset_is_taken_off_first():
    x = np.geomspace(1, 100, 20)
    amplitude, exponent = fit_power_laws(x, (3 * x**0.5 - 212)[None], offset=-212)
    assert (amplitude[0], exponent[0]) == (pytest.approx(3), pytest.approx(0.5))


def test_rows_that_determine_no_law_are_nan():
    x = np.arange(1.0, 6.0)
    rows = np.array([[np.nan] * 5, [1, 2, np.nan, np.nan, np.nan], [0.0] * 5])
    assert np.isnan(fit_power_laws(x, rows)).all()


def test_a_row_without_a_law_leaves_the_others_theirs():
    """Up and down: no bracket of the best exponent is found."""
    x = np.array([1.0, 8.029616890351438, 64.4747474058171])
    rows = np.array([3 * x**0.5, [0.1, -0.7, 0.6], 2 * x**0.7])
    amplitude, exponent = fit_power_laws(x, rows)
    assert exponent[[0, 2]] == pytest.approx([0.5, 0.7])
    assert amplitude[[0, 2]] == pytest.approx([3, 2])
    assert np.isnan(exponent[1])
