"""Fits recover laws that are known, reproduce the published exponents, and say when they cannot."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.errors import InputError
from kinetics_jax.scaling import (
    extrapolation_error,
    fit_beta_binomial,
    fit_exponentiated_power_law,
    fit_power_law,
)
from kinetics_jax.scaling.statistics import pass_at_k
from kinetics_jax.shapes import presets

X = np.geomspace(100, 10_000, 40)


@pytest.fixture
def figure_7(reference_rows):
    rows = reference_rows("fig7_tokens_and_kv_budget_vs_cost_raster.csv")

    def panel(name):
        points = [(float(r["tera_eflops"]), float(r["value"])) for r in rows if name in r["panel"]]
        if not points:
            pytest.skip(f"the published points of the {name} panel are not here")
        return np.array(points).T

    return panel


def test_published_token_law(figure_7):
    law = fit_power_law(*figure_7("optimal_generated_tokens"))
    assert law.a == pytest.approx(91.68, rel=0.01)
    assert law.b == pytest.approx(0.80, abs=0.005)
    assert law.per_doubling == pytest.approx(1.74, abs=0.005)
    assert law.identifiable
    in_logs = fit_power_law(*figure_7("optimal_generated_tokens"), space="log")
    assert (in_logs.a, in_logs.b) == (pytest.approx(189.9, rel=1e-3), pytest.approx(0.707, abs=5e-4))


def test_published_kv_budget_law(figure_7):
    law = fit_power_law(*figure_7("kv_budget"), offset=-212)
    assert law.a == pytest.approx(81.77, rel=0.01)
    assert law.b == pytest.approx(0.25, abs=0.005)
    assert law.c == -212


@pytest.mark.parametrize(
    ("names", "linear", "log"),
    [(("qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-8b", "qwen3-14b", "qwen3-32b"), 1.189, 1.150)],
)
def test_published_kv_trend(names, linear, log):
    """docs/paper_facts.md, "Frontier and fits": KV bytes per doubling of nominal parameters."""
    sizes = [presets[name].paper_params for name in names]
    kv = [presets[name].kv_bytes_per_token() for name in names]
    assert fit_power_law(sizes, kv).per_doubling == pytest.approx(linear, abs=0.002)
    assert fit_power_law(sizes, kv, space="log").per_doubling == pytest.approx(log, abs=0.002)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.01, 1e4),
    st.floats(-1.5, 2.0).filter(lambda b: abs(b) > 0.05),
    st.floats(-50, 50),
    st.sampled_from(["linear", "log"]),
)
def test_recovers_an_exact_law_with_a_known_offset(a, b, c, space):
    law = fit_power_law(X, a * X**b, space=space)
    assert (law.a, law.b) == (pytest.approx(a, rel=1e-5), pytest.approx(b, abs=1e-6))
    assert law.per_doubling == 2**law.b
    shifted = fit_power_law(X, a * X**b + c, offset=c)
    # Where c dwarfs the power law, its digits are lost before the fit sees them.
    if a * X.min() ** b > 1e-3 * abs(c) and a * X.max() ** b > 1e-3 * abs(c):
        assert shifted.b == pytest.approx(b, abs=1e-5)


@pytest.mark.parametrize("space", ["linear", "log"])
def test_recovers_a_free_offset(space):
    law = fit_power_law(X, 3 * X**0.6 + 40, offset="free", space=space)
    assert (law.a, law.b, law.c) == (
        pytest.approx(3, rel=1e-4),
        pytest.approx(0.6, abs=1e-5),
        pytest.approx(40, rel=1e-3),
    )
    assert law.identifiable
    np.testing.assert_allclose(law.predict(X), 3 * X**0.6 + 40, rtol=1e-6)


def test_a_known_offset_is_the_same_as_a_shift():
    y = 5 * X**0.4 * np.random.default_rng(0).lognormal(0, 0.1, X.size)
    plain, shifted = fit_power_law(X, y), fit_power_law(X, y - 30, offset=-30)
    assert (plain.a, plain.b) == (pytest.approx(shifted.a, rel=1e-6), pytest.approx(shifted.b))


def test_linear_space_is_least_squares():
    y = 5 * X**0.4 + np.random.default_rng(1).normal(0, 5, X.size)
    law = fit_power_law(X, y)

    def loss(a, b):
        return np.sum((a * X**b - y) ** 2)

    best = loss(law.a, law.b)
    for a, b in [(1.001, 0), (0.999, 0), (1, 0.001), (1, -0.001)]:
        assert loss(law.a * a, law.b + b) > best
    assert law.rms == pytest.approx(np.sqrt(best / X.size))


def test_standard_error_covers_independent_noise():
    rng = np.random.default_rng(2)
    laws = [fit_power_law(X, 5 * X**0.4 + rng.normal(0, 5, X.size)) for _ in range(200)]
    spread = np.std([law.b for law in laws])
    assert np.mean([law.b_error for law in laws]) == pytest.approx(spread, rel=0.2)


def test_a_free_offset_on_a_stepped_budget_says_that_it_is_not_determined():
    """docs/paper_facts.md, "Frontier and fits": a free offset lets the published fit degenerate."""
    steps = 2.0 ** np.round(np.log2(np.clip(81.77 * X**0.25 - 212, 64, 512)))
    law = fit_power_law(X, steps, offset="free")
    assert not law.identifiable
    assert "offset" in law.note
    assert fit_power_law(X, steps, offset=-212).identifiable


def test_constant_points_with_a_free_offset_are_not_determined():
    assert not fit_power_law(X, np.full(X.size, 7.0), offset="free").identifiable


@pytest.mark.parametrize(
    ("x", "y", "how", "words"),
    [
        ([1.0], [1.0], {}, "1 distinct x cannot determine 2"),
        ([2.0, 2.0], [1.0, 2.0], {}, "1 distinct x"),
        ([1.0, 2.0], [1.0, 2.0], {"offset": "free"}, "cannot determine 3"),
        ([1.0, np.nan], [1.0, 2.0], {}, "finite"),
        ([0.0, 1.0], [1.0, 2.0], {}, "positive"),
        ([1.0, 2.0], [1.0], {}, "equally many"),
        ([1.0, 2.0], [1.0, 0.0], {"space": "log"}, "exceed the offset"),
        ([1.0, 2.0], [1.0, 2.0], {"space": "cubic"}, "space='cubic'"),
        ([1.0, 2.0], [1.0, 2.0], {"offset": "none"}, "offset='none'"),
        ([1.0, 2.0], [1.0, 2.0], {"offset": np.inf}, "offset=inf"),
    ],
)
def test_refuses_what_cannot_be_fitted(x, y, how, words):
    with pytest.raises(InputError, match=words):
        fit_power_law(x, y, **how)


@pytest.mark.parametrize("of", ["success", "failure"])
def test_exponentiated_power_law_is_recovered(of):
    k = np.array([1, 2, 4, 8, 16, 32.0])
    share = np.exp(-2.5 * k**-0.4) if of == "success" else 1 - np.exp(-0.2 * k**0.5)
    law = fit_exponentiated_power_law([*k, 1e9], [*share, 1.0], of=of)
    want = (2.5, 0.4) if of == "success" else (0.2, 0.5)
    assert (law.a, law.b) == (pytest.approx(want[0]), pytest.approx(want[1]))
    assert law.used == 6
    np.testing.assert_allclose(law.predict(k), share)


def test_exponentiated_power_law_refuses():
    with pytest.raises(InputError, match="fewer than two points"):
        fit_exponentiated_power_law([1, 2, 3], [0, 1, 0.5])
    with pytest.raises(InputError, match=r"shares in 0…1"):
        fit_exponentiated_power_law([1, 2], [0.5, 1.5])
    with pytest.raises(InputError, match="of='both'"):
        fit_exponentiated_power_law([1, 2], [0.5, 0.6], of="both")


def test_extensions_of_pass_at_k_on_real_counts(shared):
    """Pythia-12B on MATH, 10³ or more samples a problem: seen at 32 trials, asked about 128."""
    with gzip.open(shared / "data" / "traces" / "monkeys_counts.csv.gz", "rt") as stream:
        rows = [
            row
            for row in csv.DictReader(stream)
            if (row["dataset"], row["model"]) == ("math", "Pythia_12B_300B")
        ]
    n, c = (np.array([int(row[name]) for row in rows]) for name in "nc")
    truth = pass_at_k(n, c, 128).mean()
    seen = np.random.default_rng(0).hypergeometric(c, n - c, 32)
    assert fit_beta_binomial(32, seen).pass_at_k(128) == pytest.approx(truth, rel=0.15)
    # The law holds of the tail only: at k = 1 the curve of a weak model still bends.
    k = np.array([8, 16, 32])
    law = fit_exponentiated_power_law(k, [pass_at_k(n, c, i).mean() for i in k])
    assert law.predict(128) == pytest.approx(truth, rel=0.15)


def test_extrapolation_error_is_zero_for_the_true_law_and_beats_standing_still():
    found = extrapolation_error(X[::-1], (3 * X**0.5)[::-1])
    assert found.relative_rms < 1e-6
    assert found.boundary == X[23]
    assert found.baseline_rms > 0.3
    wrong = extrapolation_error(X, np.minimum(3 * X**0.5, 90.0))
    assert wrong.worst > wrong.relative_rms > wrong.baseline_rms


@pytest.mark.parametrize(
    ("x", "y", "share", "words"),
    [(X, X, 1.0, "leaves too few"), (X, X, 0.01, "leaves too few"), (X, X * 0, 0.5, "y = 0")],
)
def test_extrapolation_refuses(x, y, share, words):
    with pytest.raises(InputError, match=words):
        extrapolation_error(x, y, train_share=share)
