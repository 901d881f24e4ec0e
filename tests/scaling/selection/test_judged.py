"""A study judged by somebody else: same configurations and halves, other accuracies, costs on top."""

import functools

import numpy as np
import pytest

from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.scaling import (
    Majority,
    Perfect,
    Roc,
    build_study,
    cost_grid,
    held_out_frontier,
    judged_study,
    parse_verifiers,
)
from kinetics_jax.scaling.selection.majority import majority_accuracy


@pytest.fixture
def study_of(price):
    return functools.partial(
        build_study, price=price, trials=(1, 2, 4), lengths=(2_000, 9_000), search="grid"
    )


@pytest.fixture
def answered(make_cell):
    """Right samples say 0; wrong ones one of 1, 2, 3, and some nothing."""

    def make(seed=0, questions=12, samples=8, **fields):
        rates = np.random.default_rng(seed).uniform(0.1, 0.9, questions)
        cell = make_cell(rates=rates, samples=samples, seed=seed, **fields)
        wrong = np.random.default_rng(seed + 1).choice([-1, 1, 2, 3], cell.correct.shape)
        return make_cell(
            rates=rates, samples=samples, seed=seed, answers=np.where(cell.correct, 0, wrong), **fields
        )

    return make


def test_the_ends_of_the_roc_are_pass_at_n_and_a_guess(study_of, answered):
    cell = answered()
    study = study_of([cell])
    sure = judged_study(study, [cell], Roc(true_positive=1.0, false_positive=0.0))
    np.testing.assert_allclose(sure.coverage, study.coverage)
    np.testing.assert_allclose(judged_study(study, [cell], Perfect()).coverage, study.coverage)
    blind = judged_study(study, [cell], Roc(true_positive=0.3, false_positive=0.3))
    for c, setting in enumerate(study.settings):
        one = next(i for i, s in enumerate(study.settings) if s.trials == 1 and s.length == setting.length)
        np.testing.assert_allclose(blind.coverage[:, c], study.coverage[:, one])


def test_a_vote_is_of_the_samples_that_end_before_the_cut(study_of, answered):
    cell = answered()
    study = study_of([cell])
    voted = judged_study(study, [cell], Majority())
    for c, setting in enumerate(study.settings):
        ended = cell.generated_tokens <= (setting.length or np.inf)
        for q in range(len(cell.questions)):
            answers = np.where(ended[q], cell.answers[q], -1)
            expected = majority_accuracy(answers, cell.correct[q] & ended[q], setting.trials)
            assert voted.coverage[q, c] == pytest.approx(expected)


def test_costs_come_on_top_and_a_vote_is_free(study_of, answered):
    cell = answered()
    study = study_of([cell])
    np.testing.assert_allclose(judged_study(study, [cell], Majority()).cost, study.cost)
    twice = judged_study(study, [cell], Roc(cost=1.0, true_positive=0.9, false_positive=0.1))
    np.testing.assert_allclose(twice.cost, 2 * study.cost)
    read = judged_study(
        study,
        [cell],
        Roc(reader="small", true_positive=0.9, false_positive=0.1),
        lambda name, tokens: tokens * (1.0 if name == "small" else np.nan),
    )
    each = np.minimum(
        cell.generated_tokens[:, None, :],
        [[np.inf if s.length is None else s.length] for s in study.settings],
    )
    expected = study.trials * (cell.prompt_tokens[:, None] + each.mean(axis=2))
    np.testing.assert_allclose(read.cost - study.cost, expected)


def test_no_verifier_beats_the_perfect_one_and_choices_are_held_out_alike(study_of, answered):
    cells = [answered(seed=3, questions=40), answered(seed=4, questions=40, model="8B")]
    study = study_of(cells)
    grid = cost_grid(study, 40)
    perfect = held_out_frontier(study, grid, choice="shared", splits=5)
    for verifier in (Majority(), Roc(true_positive=0.9, false_positive=0.2)):
        judged = judged_study(study, cells, verifier)
        assert (judged.coverage <= study.coverage + 1e-12).all()
        for choice in ("question", "shared"):
            found = held_out_frontier(judged, grid, choice=choice, splits=5)
            assert found.accuracy[-1] < perfect.accuracy[-1]


def test_answers_that_are_not_there_or_do_not_decide_are_said(study_of, answered, make_cell):
    silent = make_cell()
    with pytest.raises(InputError, match=r"no majority vote: .* does not record the answer of every sample"):
        judged_study(study_of([silent]), [silent], Majority())
    same = make_cell(answers=np.zeros((8, 8), int))  # all say halt; some are right
    with pytest.raises(InputError, match="right and wrong for one answer"):
        judged_study(study_of([same]), [same], Majority())
    cell = answered()
    with pytest.raises(InputError, match="give those it was built of"):
        judged_study(study_of([cell]), [cell, cell], Majority())
    with pytest.raises(InputError, match="no price for reading with small"):
        judged_study(study_of([cell]), [cell], Roc(reader="small", true_positive=1, false_positive=0))


def test_verifiers_are_read_and_written_as_text():
    whole = parse_verifiers(
        ["perfect", "majority", "roc(0.9, 0.1, cost=0.05)", " roc(1,0,reader=qwen3-1.7b)"]
    )
    assert [v.label for v in whole] == [
        "perfect",
        "majority",
        "roc(0.9,0.1,cost=0.05)",
        "roc(1,0,reader=qwen3-1.7b)",
    ]
    assert parse_verifiers(v.label for v in whole) == whole
    assert [v.needs_answers for v in whole] == [False, True, False, False]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("oracle", "unknown verifier"),
        ("roc", "must be in"),
        ("roc(0.9", "write it as"),
        ("roc(0.9,0.1,0.2)", "has no name"),
        ("roc(0.9,1.1)", "false_positive=1.1"),
        ("roc(0.9,0.1,cost=-1)", "cost=-1"),
        ("roc(0.9,0.1,cost=many)", "is no number"),
        ("roc(0.9,0.1,cost=0.1,reader=a)", "give one of them"),
        ("roc(0.9,0.1,price=1)", "takes no price"),
        ("majority)", "unknown verifier"),
    ],
)
def test_verifiers_that_cannot_be_are_refused(text, what):
    with pytest.raises((InputError, UnknownNameError), match=what):
        parse_verifiers([text])


def test_a_verifier_is_named_once():
    with pytest.raises(InputError, match="there twice"):
        parse_verifiers(["perfect", "perfect"])
