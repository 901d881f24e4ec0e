"""Cells group what is i.i.d.; a study prices and scores them as the paper's algorithms do, one by one."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.costs import price as real_price
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import Dense, TopK
from kinetics_jax.scaling import (
    Cell,
    best_of_n_allocation,
    build_study,
    cost_grid,
    group_cells,
    long_cot_allocation,
    model_curves,
    read_trials,
)
from kinetics_jax.scaling.frontier.halves import for_halves, split_samples
from kinetics_jax.scaling.statistics import pass_at_k

LENGTHS = (2_000, 5_000, 9_000)
TRIALS = (1, 2, 4)


@pytest.fixture
def study_of(price, params):
    return functools.partial(build_study, price=price, trials=TRIALS, lengths=LENGTHS)


def test_cells_part_what_is_not_iid_and_pad_what_is_ragged(tmp_path):
    rows = [
        "model,dataset,problem_id,trial,gen_tokens,correct,max_tokens,temperature,prompt_tokens",
        "m,d,q10,10,5,1,64,0.6,7",
        "m,d,q10,9,4,0,64,0.6,7",
        "m,d,q2,0,3,1,64,0.6,8",
        "m,d,q2,wait0,9,1,64,0.6,8",
        "m,d,q2,0,3,1,32,0.6,8",
        "m,d,q2,1,3,1,64,0,8",
        "m,d,q2,2,3,1,64,0,8",
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    cells = group_cells(read_trials(tmp_path / "t.csv"))
    assert [(c.max_tokens, c.variant, c.temperature) for c in cells] == [
        (32, "", 0.6),
        (64, "", 0.0),
        (64, "", 0.6),
        (64, "wait", 0.6),
    ]
    ragged = cells[2]
    assert ragged.questions == ("q2", "q10")
    assert ragged.samples.tolist() == [1, 2]
    assert ragged.generated_tokens.tolist() == [[3, 3], [4, 5]]  # trial 9 before trial 10
    assert ragged.correct.tolist() == [[True, False], [False, True]]
    assert ragged.accuracy == 0.75
    assert cells[1].samples.tolist() == [2]
    assert cells[1].max_trials == 1  # greedy repeats are copies


def test_settings_follow_the_search(study_of, make_cell):
    cell = make_cell(samples=2, max_tokens=6_000)
    both = {(s.trials, s.length) for s in study_of([cell]).settings}
    assert both == {(1, 2_000), (1, 5_000), (1, None), (2, None)}
    assert len(study_of([cell], search="grid").settings) == 6
    assert {s.trials for s in study_of([cell], search="best_of_n").settings} == {1, 2}
    assert {s.length for s in study_of([cell], search="long_cot").settings} == {2000, 5000, None}


def test_expected_cost_averages_prices_of_cut_traces(study_of, make_cell, price, params):
    cell = make_cell()
    study = study_of([cell], search="grid")
    for c, setting in enumerate(study.settings):
        cut = np.minimum(cell.generated_tokens, setting.length or np.inf)
        each = price(params["4B"], Dense(), 100.0, cut, setting.trials)
        np.testing.assert_allclose(study.cost[:, c], each.mean(axis=1), rtol=1e-14)
        solved = cell.correct & (cell.generated_tokens <= (setting.length or np.inf))
        want = pass_at_k(8, solved.sum(axis=1), setting.trials)
        np.testing.assert_allclose(study.coverage[:, c], want, rtol=1e-14)
        np.testing.assert_allclose(study.tokens[:, c], setting.trials * cut.mean(axis=1), rtol=1e-14)


def test_ragged_cells_score_every_question_by_its_own_samples(study_of, make_cell):
    whole = make_cell(samples=6)
    present = np.ones((8, 6), bool)
    present[3, 4:] = False
    ragged = dataclasses.replace(whole, present=present, correct=whole.correct & present)
    study = study_of([ragged], lengths=())
    assert study.samples == 4
    assert study.trials.tolist() == [1, 2, 4]
    want = pass_at_k(4, whole.correct[3, :4].sum(), [1, 2, 4])
    np.testing.assert_allclose(study.coverage[3], want)


def test_published_expected_costs(reference_rows):
    rows = reference_rows("coverage_and_expected_cost_reference.csv")
    rows = [row for row in rows if row["kind"] == "expected_cost"]
    assert rows
    for row in rows:
        inputs, want = json.loads(row["inputs"]), json.loads(row["outputs"])
        policy = {"dense_cost": Dense()}.get(inputs["fn"])
        if policy is None:
            policy = TopK(inputs["budget"]) if "budget" in inputs else None
        if policy is None:
            continue  # the block form is the cost tests' own
        lengths = np.array([inputs["generation_lengths"]], float)
        cell = Cell(
            "s",
            "qwen3-8b",
            policy,
            "d",
            None,
            "",
            0.6,
            ("q",),
            lengths,
            np.ones_like(lengths, bool),
            np.ones_like(lengths, bool),
            np.array([float(inputs["context_length"])]),
        )

        def priced(*request):
            return real_price(*request, chip="b200", mode="reference").eflops

        study = build_study([cell], priced, trials=(1, inputs["num_trials"]), lengths=())
        at = [s.trials for s in study.settings].index(inputs["num_trials"])
        assert study.cost[0, at] / 1e12 == pytest.approx(sum(want), rel=1e-12)


@st.composite
def simulated(draw):
    return draw(st.integers(0, 10_000)), draw(st.integers(2, 5)), draw(st.integers(4, 6))


@settings(max_examples=25, deadline=None)
@given(simulated(), st.floats(0.0, 1.0))
def test_curves_are_algorithms_1_and_2(make_cell, price, params, drawn, where):
    seed, questions, samples = drawn
    rates = np.random.default_rng(seed).random(questions)
    cells = [
        make_cell(rates=rates, samples=samples, seed=seed + i, policy=policy)
        for i, policy in enumerate([Dense(), TopK(256), TopK(1024)])
    ]

    def cost(policy, task, lengths, trials):
        return price(params["4B"], policy, 100.0, lengths, trials)

    held = {c.policy: list(zip(c.generated_tokens, c.correct, strict=True)) for c in cells}
    build = functools.partial(build_study, cells, price)
    best_of_n = build(trials=TRIALS, search="best_of_n")
    long_cot = build(trials=(1,), lengths=LENGTHS, search="long_cot")
    # A limit that equals a cost to the last bit would ask in which order the mean was summed.
    grid = cost_grid(build(trials=TRIALS, lengths=LENGTHS), 30) * (1 + 1e-9)
    at = int(where * 29)
    got = model_curves(best_of_n, grid)["4B"][at]
    assert got == pytest.approx(best_of_n_allocation(held, TRIALS, cost, grid[at]), abs=1e-12)
    got = model_curves(long_cot, grid)["4B"][at]
    lengths = (*LENGTHS, 32_768)
    assert got == pytest.approx(long_cot_allocation(held, lengths, cost, grid[at]), abs=1e-12)


def test_unlimited_cost_gives_every_question_its_maximum(study_of, make_cell):
    study = study_of([make_cell(seed=i, policy=TopK(2**i)) for i in range(6, 9)])
    curve = model_curves(study, [1.0, study.cost.max()])["4B"]
    assert curve.tolist() == [0.0, pytest.approx(study.coverage.max(axis=1).mean())]


def test_only_questions_that_all_cells_have_take_part(study_of, make_cell):
    more = make_cell("8B", rates=(0.5,) * 10, seed=3)
    study = study_of([make_cell(), more])
    assert study.dropped_questions == 2
    np.testing.assert_allclose(
        study.where(lambda s: s.model == "8B").coverage, study_of([more.restrict(study.questions)]).coverage
    )


def test_halves_share_no_sample_and_keep_ranks_together(study_of, make_cell):
    study = study_of([make_cell(samples=7), make_cell("8B", samples=7), make_cell("32B", samples=4)])
    first, second = split_samples(study, np.random.default_rng(0))
    for a, b, block in zip(first, second, study.cells, strict=True):
        assert not (a & b).any()
        assert ((a | b) == block.samples_qs).all()
        assert (a.sum(axis=1) == block.samples_qs.shape[1] // 2).all()
    np.testing.assert_array_equal(first[0], first[1])
    assert for_halves(study).trials.max() == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trials": (2,)}, "must hold 1"),
        ({"trials": (1, 0)}, "at least 1"),
        ({"lengths": (-1,)}, "at least 1"),
        ({"search": "all"}, "search='all'"),
    ],
)
def test_options_that_mean_nothing_are_refused(study_of, make_cell, change, words):
    with pytest.raises(InputError, match=words):
        study_of([make_cell()], **change)


def test_what_cannot_be_a_study_is_refused(study_of, make_cell, price):
    with pytest.raises(InputError, match="at least one cell"):
        study_of([])
    with pytest.raises(InputError, match="share no question"):
        study_of([make_cell(), make_cell(questions=tuple("abcdefgh"))])
    with pytest.raises(InputError, match="with_prompt_tokens"):
        study_of([make_cell(prompt_tokens=np.full(8, np.nan))])
    with pytest.raises(UnknownNameError, match="unknown model"):
        build_study([make_cell("no-such-model")], functools.partial(real_price, chip="b200"))
    with pytest.raises(InputError, match="not finite"):
        study_of([make_cell()], price=lambda *a: np.nan)
    with pytest.raises(InputError, match='choice="shared"'):
        for_halves(study_of([make_cell(samples=1)]))
    with pytest.raises(InputError, match="no configuration is left"):
        study_of([make_cell()]).where(lambda setting: False)
    with pytest.raises(InputError, match="no question 'zz'"):
        make_cell().restrict(("zz",))


def test_allocation_refuses_uneven_tasks():
    with pytest.raises(InputError, match="same tasks"):
        best_of_n_allocation({}, (1,), lambda *a: np.zeros(1), 1.0)
