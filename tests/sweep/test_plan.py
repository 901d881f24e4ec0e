"""The plan: what it counts, that more costs more, and what it refuses."""

import pytest

from kinetics_jax.spec import InputError
from kinetics_jax.sweep.options import read
from kinetics_jax.sweep.plan import fit_on, make_plan, plan_table
from kinetics_jax.sweep.run import plan_sweep


def experiment(**options):
    given = {"models": "qwen3-8b=x", "tasks": "aime24=nowhere.jsonl", "max_tokens": 8192,
             "trials": 4, "policies": "dense,block_topk(16, 64)"}  # fmt: skip
    return read(given | options)


def test_it_counts_cells_samples_and_tokens(small):
    plans = make_plan(small(), {"gsm8k": small().tasks[0].load()})
    assert [plan.samples for plan in plans] == [12, 12]
    assert [plan.expected_tokens for plan in plans] == [72, 72]
    assert {plan.batch for plan in plans} == {3}


def test_problems_that_are_not_here_are_assumed_and_said_to_be():
    plans = plan_sweep(experiment())
    assert len(plans[0].load.prompts) == 30
    assert "nowhere.jsonl" in plan_table(experiment(), plans)


def test_sparse_is_cheaper_and_more_is_dearer():
    dense, sparse = plan_sweep(experiment())
    assert sparse.most_hours < dense.most_hours
    twice, _ = plan_sweep(experiment(trials=8))
    assert twice.expected_hours > 1.5 * dense.expected_hours
    assert dense.wall_hours == dense.expected_hours / dense.chips


def test_a_chip_without_a_price_has_no_dollars():
    plans = plan_sweep(experiment(chip="tpu7x"))
    assert plans[0].expected_dollars is None
    assert "no public price" in fit_on(experiment(chip="tpu7x"), plans)[0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"models": "qwen3-32b=x", "slices": "qwen3-32b=tpu_v5e"}, "does not fit: 1 × tpu_v5e"),
        ({"slices": "qwen3-8b=tpu_v6e model=4 slots=400"}, "does not fit"),
        (
            {"slices": "qwen3-8b=tpu_v6e", "max_context": 40_960, "max_tokens": 40_000},
            "does not fit",
        ),
        ({"max_tokens": 50_000}, "needs? a context|need a context"),
        ({"models": "gpt-9=x"}, "gpt-9"),
        ({"policies": "per_layer([dense, topk(k=512)])"}, "layers"),
        ({"tasks": "registers_of_nothing"}, "unknown task"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, word):
    with pytest.raises(InputError, match=word) as caught:
        plan_sweep(experiment(**change))
    assert "\n" not in str(caught.value)


def test_int8_weights_make_room():
    one = {"models": "qwen3-14b=x", "slices": "qwen3-14b=tpu_v6e slots=1", "prompt_rows": 1}
    with pytest.raises(InputError, match="does not fit"):
        plan_sweep(experiment(**one))
    assert plan_sweep(experiment(**one, quantize="int8"))[0].batch == 1
