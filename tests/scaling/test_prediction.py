"""Settings that were not run are said from those that were; leaving some out shows the error of that."""

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, TopK
from kinetics_jax.scaling.prediction import fit_trend, leave_out, predict
from kinetics_jax.shapes import presets

SIZES = ("qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-14b")


def on_a_line(name):
    """Accuracy of a size whose log odds are −8 + .4·log(parameters)."""
    return 1 / (1 + np.exp(8 - 0.4 * np.log(presets[name].total_params)))


@pytest.fixture(scope="module")
def sizes(make_cell):
    return [
        make_cell(name, [on_a_line(name)] * 200, 16, seed, shape=presets[name])
        for seed, name in enumerate(SIZES)
    ]


def test_a_line_is_found_again():
    x = np.array([1.0, 10.0, 100.0])
    odds = np.exp(-1 + 0.5 * np.log(x))
    trend = fit_trend(x, 1e6 * odds / (1 + odds), [1e6] * 3, 100 * x**0.2)
    assert trend.accuracy_at(30.0) == pytest.approx(1 / (1 + np.exp(1 - 0.5 * np.log(30))), rel=1e-4)
    assert trend.tokens_at(30.0) == pytest.approx(100 * 30**0.2)


def test_a_size_that_lies_on_the_line_is_said_to_a_point(sizes):
    found = leave_out(sizes)
    assert [one.left_out for one in found] == list(SIZES)
    assert [one.inside for one in found] == [False, True, True, False]
    assert max(abs(one.error) for one in found if one.inside) < 2
    assert all(abs(one.accuracy - one.actual) < abs(one.nearest - one.actual) for one in found if one.inside)


def test_a_size_off_the_line_shows_in_the_error(make_cell, sizes):
    odd = make_cell("qwen3-4b", [0.05] * 200, 16, 9, shape=presets["qwen3-4b"])
    found = {one.left_out: one for one in leave_out([sizes[0], sizes[1], odd, sizes[3]])}
    assert found["qwen3-4b"].error > 30


def test_a_size_that_was_never_run(sizes):
    accuracy, tokens, error = predict(sizes, "size", float(presets["qwen3-8b"].total_params))
    assert accuracy == pytest.approx(on_a_line("qwen3-8b"), abs=0.02)
    assert tokens == pytest.approx(np.mean([cell.generated_tokens.mean() for cell in sizes]), rel=0.05)
    assert error < 3


def test_budgets_are_of_one_model_and_one_kind_of_policy(make_cell):
    cells = [
        make_cell("qwen3-4b", [rate] * 100, 8, seed, policy, shape=presets["qwen3-4b"])
        for seed, (policy, rate) in enumerate(
            [(TopK(64), 0.2), (TopK(256), 0.4), (TopK(1024), 0.6), (Dense(), 0.7)]
        )
    ]
    found = leave_out(cells)
    assert {one.axis for one in found} == {"kv_budget"}
    assert len(found) == 3


def test_two_settings_say_nothing_of_a_third(sizes):
    assert leave_out(sizes[:2]) == ()
    with pytest.raises(InputError, match="predicting a size needs 3 settings"):
        predict(sizes[:2], "size", 1e9)


def test_cells_without_a_shape_or_a_budget_are_no_settings(make_cell, sizes):
    """They neither count towards three nor end in anything but one line."""
    with pytest.raises(InputError, match="predicting a size needs 3 settings"):
        predict([*sizes[:2], make_cell("unknown", shape=None)], "size", 1e9)
    budgets = [
        make_cell("qwen3-4b", policy=p, shape=presets["qwen3-4b"]) for p in (TopK(64), TopK(256), Dense())
    ]
    with pytest.raises(InputError, match="predicting a kv_budget needs 3 settings"):
        predict(budgets, "kv_budget", 128)
