"""Rules as data, against what their posteriors say; the simulation, against the rules one by one."""

import math

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.records.sample import Sample
from kinetics_jax.scaling import FirstAccepted, LeadingAnswer, SameInWindow, compare_stopping, stop_by
from kinetics_jax.scaling.selection import adaptive
from kinetics_jax.scaling.selection.stopping import lead_certainty
from kinetics_jax.scaling.statistics import fit_beta_binomial


def accepted(**fields):
    return FirstAccepted(**({"alpha": 1.0, "beta": 3.0, "worth": 8.0, "limit": 10} | fields))


def test_an_accepted_sample_ends_it_and_so_does_a_chance_not_worth_its_price():
    rule = accepted()
    assert rule.should_stop([False, True])
    assert [rule.chance(k) for k in range(3)] == [1 / 4, 1 / 5, 1 / 6]
    assert [rule.should_stop([False] * k) for k in (0, 3, 4, 5)] == [False, False, False, True]  # 8/9 < 1
    assert rule.should_stop([False], prices=[2.0])  # dear samples: given up sooner
    assert not accepted(worth=math.inf).should_stop([False] * 9)
    assert accepted(worth=math.inf).should_stop([False] * 10)
    assert accepted(worth=3.0).should_stop([])  # not even the first is worth it


def test_the_chance_is_the_posterior_mean_over_questions():
    rng = np.random.default_rng(0)
    rates = rng.beta(0.5, 2.0, 400_000)
    failed = rng.random((4, len(rates))) > rates
    left = rates[failed.all(axis=0)]
    assert accepted(alpha=0.5, beta=2.0).chance(4) == pytest.approx(left.mean(), abs=3e-3)


@pytest.mark.parametrize(("first", "second"), [(1, 0), (4, 0), (3, 2), (9, 4)])
def test_the_certainty_of_a_lead_is_the_mass_above_a_half(first, second):
    share = np.random.default_rng(0).beta(first + 1, second + 1, 400_000)
    assert lead_certainty(first, second) == pytest.approx((share > 0.5).mean(), abs=3e-3)


def test_a_sure_lead_stops_and_one_that_cannot_change():
    rule = LeadingAnswer(certainty=0.95, limit=40)
    assert not rule.should_stop(["a"] * 3)
    assert rule.should_stop(["a"] * 4)
    assert not rule.should_stop(["a", "b"] * 8)
    assert not rule.should_stop(["", None] * 8)  # no answer is no vote
    never = LeadingAnswer(certainty=1.0, limit=10)
    assert not never.should_stop(["a"] * 5)
    assert never.should_stop(["a"] * 6)  # the four that are left cannot catch up
    assert never.should_stop(["a", "b"] * 5)


def test_a_window_of_one_answer_stops():
    rule = SameInWindow(window=3, limit=9)
    assert [rule.should_stop(list(seen)) for seen in ("aa", "aaa", "baaa", "bacaaa", "bacaab")] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert not rule.should_stop([None] * 3)
    assert rule.should_stop(list("abcabcabc"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: accepted(alpha=0),
        lambda: accepted(worth=0),
        lambda: accepted(worth=math.nan),
        lambda: accepted(limit=0),
        lambda: LeadingAnswer(certainty=0.5, limit=4),
        lambda: SameInWindow(window=1, limit=4),
    ],
)
def test_rules_that_cannot_be_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_an_engine_is_given_a_rule_with_a_reader_that_looks_once():
    looked = []

    def read(prompt, sample):
        looked.append((prompt, sample.trial))
        return sample.tokens[-1] == 7

    def sample(trial, last):
        return Sample(
            task="t",
            problem_id="p",
            trial=trial,
            prompt_tokens=1,
            tokens=(last,),
            finish_reason="stop",
            model="m",
        )

    stop = stop_by(accepted(worth=math.inf), read)
    assert not stop(0, [])
    assert not stop(0, [sample(3, 1)])
    assert stop(0, [sample(3, 1), sample(0, 7)])
    assert looked == [(0, 3), (0, 0)]
    assert not stop(0, [sample(0, 1)])  # of another run: the same key, another sample
    assert looked[2:] == [(0, 0)]


def answered_cell(make_cell, rates, samples=8, seed=0):
    cell = make_cell(rates=rates, samples=samples, seed=seed)
    wrong = np.random.default_rng(seed).choice([-1, 1, 2, 3], cell.correct.shape)
    return make_cell(rates=rates, samples=samples, seed=seed, answers=np.where(cell.correct, 0, wrong))


@pytest.mark.parametrize("kind", ["accepted", "majority"])
def test_the_simulation_is_the_rules_one_by_one(make_cell, kind):
    cell = answered_cell(make_cell, np.linspace(0.05, 0.9, 10))
    cost = cell.generated_tokens / 1e3
    rng = np.random.default_rng(5)
    drawn = adaptive.Drawn.of(cell, cost, 6, kind, rng)
    again = np.random.default_rng(5)
    key = again.random((adaptive.ORDERS, *cell.present.shape))
    order = np.argsort(key, axis=2)[:, :, :6]
    half = np.arange(10) < 5
    found = drawn.settings(half)
    prior = fit_beta_binomial(cell.samples[half], cell.correct[half].sum(axis=1))
    price = np.mean([cost[q, order[o, q]].mean() for o in range(len(order)) for q in np.flatnonzero(half)])
    for k, setting in enumerate(drawn.names):
        if kind == "accepted":
            rule = FirstAccepted(
                alpha=prior.alpha, beta=prior.beta, worth=setting * price, price=price, limit=6
            )
        else:
            rule = LeadingAnswer(certainty=setting, limit=6)
        for q in (0, 4, 9):
            paid, samples, solved = [], [], []
            for o in range(len(order)):
                ids = order[o, q]
                right, answers = (
                    cell.correct[q, ids],
                    [None if a < 0 else int(a) for a in cell.answers[q, ids]],
                )
                t = 0
                while not (
                    rule.should_stop(right[:t].tolist(), cost[q, ids[:t]].tolist())
                    if kind == "accepted"
                    else rule.should_stop(answers[:t])
                ):
                    t += 1
                paid.append(cost[q, ids[:t]].sum())
                samples.append(t)
                if kind == "accepted":
                    solved.append(float(right[:t].any()))
                else:
                    votes = [a for a in answers[:t] if a is not None]
                    most = max((votes.count(v) for v in votes), default=0)
                    leaders = [v for v in set(votes) if votes.count(v) == most]
                    solved.append(np.mean([v == 0 for v in leaders]) if leaders else 0.0)
            expected = (np.mean(solved), np.mean(paid), np.mean(samples))
            np.testing.assert_allclose(found[:, q, k], expected, rtol=1e-12)


def test_with_a_verifier_stopping_saves_and_loses_nothing_much(make_cell):
    rates = np.random.default_rng(1).beta(0.6, 0.8, 60)
    cell = answered_cell(make_cell, rates, samples=16)
    cost = np.ones(cell.correct.shape)
    found = compare_stopping(cell, cost, 16 * cost, 16, "accepted")
    assert found.solved > found.fixed_solved - 0.02
    assert 1 < found.drawn < 12
    assert 0.3 < found.low <= found.saved <= found.high < 1
    voted = compare_stopping(cell, cost, 16 * cost, 16, "majority")
    assert voted.solved > voted.fixed_solved - 0.05
    assert voted.saved > 0.2


def test_where_nothing_can_be_saved_nothing_is_claimed(make_cell):
    """Every sample of every question is right: N = 2 against one draw at the price of both."""
    cell = answered_cell(make_cell, np.ones(12), samples=4)
    cost = np.ones(cell.correct.shape)
    found = compare_stopping(cell, 2 * cost, 2 * cost, 2, "accepted")
    assert found.saved == pytest.approx(0.0)
    assert found.drawn == pytest.approx(1.0)


def test_a_rule_that_solves_nothing_saves_less_than_nothing(make_cell):
    """The one question with right samples is given up by what its fellows teach."""
    correct = np.zeros((12, 8), bool)
    correct[3, :2] = True
    cell = make_cell(rates=np.zeros(12), correct=correct)
    cost = np.ones(correct.shape)
    found = compare_stopping(cell, cost, 8 * cost, 8, "accepted")
    assert (found.solved, found.cost > 0) == (0.0, True)
    assert found.saved == found.low == found.high == -np.inf


def test_the_prior_is_of_other_questions(make_cell):
    """Changing the outcomes of the questions scored on leaves the rule that they are scored by as it is."""
    cell = answered_cell(make_cell, np.linspace(0.1, 0.9, 12))
    half = np.arange(12) < 6
    drawn = adaptive.Drawn.of(cell, cell.generated_tokens, 8, "accepted", np.random.default_rng(0))
    correct = cell.correct.copy()
    correct[~half] = False
    other = make_cell(rates=np.linspace(0.1, 0.9, 12), correct=correct, answers=cell.answers)
    changed = adaptive.Drawn.of(other, cell.generated_tokens, 8, "accepted", np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.settings(half)[:, half], changed.settings(half)[:, half])


def test_what_cannot_be_compared_is_refused(make_cell):
    cell = make_cell()
    cost = np.ones(cell.correct.shape)
    with pytest.raises(InputError, match="must be 2…8"):
        compare_stopping(cell, cost, cost, 9, "accepted")
    with pytest.raises(InputError, match="does not record the answer"):
        compare_stopping(cell, cost, cost, 8, "majority")
    few = make_cell(rates=(0.5,) * 4)
    with pytest.raises(InputError, match="4 questions are too few"):
        compare_stopping(few, cost[:4], cost[:4], 8, "accepted")
    with pytest.raises(InputError, match="solve nothing"):
        compare_stopping(make_cell(rates=np.zeros(8)), cost, cost, 8, "accepted")
