"""The shipped models are what their records say: real Qwen3 checkpoints that solve what is claimed."""

import json

import pytest

from kinetics_jax import models
from kinetics_jax.tasks.registers import VOCABULARY, make_problems, shipped_models
from kinetics_jax.training import SIZES, exact_score


def record(folder):
    return json.loads((folder / "training.json").read_text())


def test_there_are_three_sizes_and_they_are_small():
    shipped = shipped_models()
    assert set(shipped) == set(SIZES)
    files = [file for folder in shipped.values() for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) < 10_000_000
    sizes = [record(folder)["parameters"] for folder in shipped.values()]
    assert len(sizes) >= 3
    assert sizes == sorted(sizes)
    assert {record(folder)["seed"] for folder in shipped.values()} == {0}


@pytest.mark.parametrize("size", SIZES)
def test_each_loads_as_a_model_of_its_size(size):
    model = models.load(shipped_models()[size], dtype="float32")
    config = SIZES[size]
    assert model.config.vocab_size == VOCABULARY
    assert model.config.total_params == config.total_params
    assert model.config.eos_token_ids == config.eos_token_ids
    assert model.config.rope_theta == config.rope_theta


@pytest.mark.slow
def test_scores_on_fresh_problems_agree_with_the_records_and_rise_with_size():
    """Ninety fresh validation problems; the records hold the score on others of that split."""
    problems = make_problems(90, split="validation", seed=77)
    scores = []
    for folder in shipped_models().values():
        model = models.load(folder, dtype="float32")
        got = exact_score(model, problems).pass_at(1)
        claimed = record(folder)["validation"]["exact_pass_at"]["1"]
        assert abs(got - claimed) < 0.15, folder.name  # 3 standard errors of ninety problems
        scores.append(got)
    assert scores == sorted(scores)
