"""Plans: variances that simulations bear out, designs that no other beats, a replay."""

import itertools

import numpy as np
import pytest

from kinetics_jax.costs import get_chip
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense
from kinetics_jax.scaling import Family
from kinetics_jax.scaling.plans import (
    Arm,
    Contrast,
    Question,
    assumed_arms,
    assumed_contrasts,
    best_design,
    cheapest_design,
    make_plan,
    needed_questions,
    pilot_arms,
    pilot_contrasts,
    smallest_visible,
)
from kinetics_jax.scaling.plans.arms import cut, shortest_cap
from kinetics_jax.scaling.plans.plan import more_trials
from kinetics_jax.scaling.plans.power import quantiles, uniform_design
from kinetics_jax.scaling.plans.sentences import plan_text
from kinetics_jax.shapes import presets
from tests.scaling.replay_plan import replay

CHIP = get_chip("b200")


def chances(count, seed=0, shift=0.05, spread=0.12):
    """Chances of two arms on the same questions, [Q] each."""
    rng = np.random.default_rng(seed)
    first = rng.beta(0.8, 0.8, count)
    return first, np.clip(first + shift + rng.normal(0, spread, count), 0, 1)


@pytest.fixture
def pilot(make_cell):
    """A function from chances of two arms to their contrast, as a pilot of S samples shows it."""

    def make(rates, samples, seed=0):
        shape = presets["qwen3-0.6b"]
        cells = [
            make_cell("qwen3-0.6b", p, samples, seed=2 * seed + i, policy=policy, shape=shape)
            for i, (p, policy) in enumerate(zip(rates, (Dense(), BlockTopK(16, 64)), strict=True))
        ]
        arms, left_out = pilot_arms(Family("", "", tuple(cells), ()), CHIP)
        assert not left_out
        return pilot_contrasts(arms)[0]

    return make


def contrast(between=0.03, within=(0.12, 0.1), seconds=(1.0, 1.0), **more):
    arms = tuple(
        Arm(f"arm {i}", "m", "p", None, 0.5, w, s)
        for i, (w, s) in enumerate(zip(within, seconds, strict=True))
    )
    return Contrast(arms, between, **more)


def test_a_pilot_s_variances_are_right_on_average(pilot):
    rates = chances(4_000)
    wide = np.var(rates[0] - rates[1], ddof=1)
    within = [float(np.mean(p * (1 - p))) for p in rates]
    found = [pilot(rates, 2, seed) for seed in range(12)]
    assert np.mean([c.between for c in found]) == pytest.approx(wide, rel=0.12)
    for i in range(2):
        assert np.mean([c.arms[i].within for c in found]) == pytest.approx(within[i], rel=0.03)


def test_a_design_has_the_interval_and_the_power_that_it_promises():
    between, rng = 0.02, np.random.default_rng(1)
    asked = contrast(between=between, within=(0.25 * 0.6, 0.25 * 0.6), seconds=(1.0, 3.0))
    design = cheapest_design(asked, 0.05, power=0.8)
    seen, errors = 0, []
    for _ in range(2_000):
        true = 0.05 + rng.normal(0, np.sqrt(between), design.questions)
        noise = sum(rng.normal(0, np.sqrt(0.15 / n), design.questions) for n in design.trials)
        observed = true + noise
        errors.append(observed.mean() - 0.05)
        seen += abs(observed.mean()) > 1.96 * observed.std(ddof=1) / np.sqrt(design.questions)
    assert seen / 2_000 == pytest.approx(0.8, abs=0.03)
    assert 1.96 * np.std(errors) == pytest.approx(design.half_width, rel=0.05)
    assert design.detects <= 0.05


@pytest.mark.parametrize("seconds", [(1.0, 1.0), (9.0, 1.0), (1.0, 30.0)])
@pytest.mark.parametrize("most", [None, 300])
def test_no_other_whole_numbers_are_cheaper(seconds, most):
    asked = contrast(seconds=seconds)
    design = cheapest_design(asked, 0.04, most_questions=most)
    factor = (quantiles(0.8)[1] / 0.04) ** 2
    costs = []
    for trials in itertools.product(range(1, 65), repeat=2):
        variance = 0.03 + 0.12 / trials[0] + 0.1 / trials[1]
        questions = int(np.ceil(variance * factor))
        if questions <= (most or 10**9):
            costs.append(questions * (trials[0] * seconds[0] + trials[1] * seconds[1]))
    assert design.seconds == pytest.approx(min(costs))
    assert most is None or design.questions <= most


def test_the_dearer_arm_gets_fewer_samples():
    design = cheapest_design(contrast(within=(0.1, 0.1), seconds=(16.0, 1.0)), 0.02)
    assert design.trials[1] > design.trials[0]


def test_a_budget_is_kept_and_money_narrows_the_interval():
    asked = contrast()
    widths = []
    for seconds in (50, 500, 5_000):
        design = best_design(asked, seconds)
        assert design.seconds <= seconds
        widths.append(design.half_width)
    assert widths == sorted(widths, reverse=True)
    assert best_design(asked, 3) is None


def test_where_questions_run_out_more_money_soon_buys_nothing():
    asked = contrast()
    rich = best_design(asked, 1e9, most_questions=30)
    assert rich.questions == 30
    assert rich.half_width <= 1.06 * 1.96 * np.sqrt(asked.between / 30 + sum((0.12, 0.1)) / 64 / 30)
    assert rich.seconds < 30 * 2 * 64


def test_thirty_questions_cannot_show_two_points_and_some_hundreds_can():
    """Two policies of a model on AIME-like questions; the paper of this kind has 30."""
    (asked,) = assumed_contrasts(assumed_arms(["qwen3-8b"], [Dense(), BlockTopK(16, 64)], CHIP))
    assert smallest_visible(asked, 30) > 0.05
    assert cheapest_design(asked, 0.02, most_questions=30) is None
    assert 400 < needed_questions(asked, 0.02) < 550
    assert cheapest_design(asked, 0.02, most_questions=needed_questions(asked, 0.02)) is None
    assert cheapest_design(asked, 0.02, most_questions=700) is not None


def test_two_models_need_more_questions_than_two_policies():
    arms = assumed_arms(["qwen3-8b", "qwen3-14b"], [Dense(), BlockTopK(16, 64)], CHIP)
    by_pair = {tuple(arm.model for arm in c.arms): c.between for c in assumed_contrasts(arms)}
    assert by_pair["qwen3-8b", "qwen3-14b"] > 2 * by_pair["qwen3-8b", "qwen3-8b"]


def test_one_sample_of_a_question_says_what_was_assumed(pilot):
    rates = chances(60)
    assert len(pilot(rates, 1).assumed) == 2
    assert not pilot(rates, 2).assumed


def test_greedy_arms_have_no_luck_and_are_run_once(make_cell):
    shape = presets["qwen3-0.6b"]
    cells = [
        make_cell("qwen3-0.6b", p, 1, seed=i, shape=shape, temperature=0.0) for i, p in enumerate(chances(60))
    ]
    arms, _ = pilot_arms(Family("", "", tuple(cells), ()), CHIP)
    (asked,) = pilot_contrasts(arms)
    assert not asked.assumed
    (answer,) = make_plan([asked], Question(seconds=1e9, questions=60)).answers
    assert (answer.run.trials, answer.new_seconds) == ((1, 1), 0.0)
    differences = arms[0].cell.correct.astype(float) - arms[1].cell.correct
    assert asked.between == pytest.approx(np.var(differences, ddof=1))


def test_an_answer_cut_short_is_wrong_and_the_cap_that_costs_nothing_is_found(make_cell):
    cell = make_cell(rates=(1.0,) * 20, samples=4)
    short = cut(cell, 4_096)
    assert short.generated_tokens.max() <= 4_096
    assert (short.correct == (cell.generated_tokens <= 4_096)).all()
    longest = int(cell.generated_tokens.max())
    assert shortest_cap([cell], 0.0, (1_000, longest - 1, longest, 40_000)) == longest
    assert shortest_cap([cell], 0.0, (1_000,)) is None


def test_what_is_decided_is_not_run_and_the_cheapest_question_comes_first():
    known = contrast(difference=0.2, half_width=0.05, questions=100)
    cheap, dear = contrast(seconds=(1.0, 1.0)), contrast(seconds=(10.0, 10.0))
    plan = make_plan([known, dear, cheap], Question(detect=0.05))
    assert [answer.contrast for answer in plan.answers] == [cheap, dear, known]
    assert [answer.run is None for answer in plan.answers] == [False, False, True]


def test_what_is_left_of_a_budget_buys_an_interval_of_the_next():
    cheap, dear = contrast(seconds=(1.0, 1.0)), contrast(seconds=(10.0, 10.0))
    whole = make_plan([cheap, dear], Question(detect=0.05))
    plan = make_plan([cheap, dear], Question(detect=0.05, seconds=whole.answers[0].new_seconds + 2_000))
    assert plan.answers[0].run == whole.answers[0].run
    assert plan.answers[1].run.half_width > whole.answers[1].run.half_width
    assert plan.seconds <= plan.question.seconds + 1e-6


def test_the_pilot_s_samples_are_not_paid_for_again(pilot):
    asked = pilot(chances(200), 2)
    (answer,) = make_plan([asked], Question(detect=0.03)).answers
    had = sum(200 * min(2, n) * arm.seconds for arm, n in zip(asked.arms, answer.run.trials, strict=True))
    assert answer.run.questions > 200
    assert answer.new_seconds == pytest.approx(answer.run.seconds - had)
    for arm, trials in zip(asked.arms, answer.run.trials, strict=True):
        more = more_trials(arm, answer.run, trials)
        assert set(more.values()) == ({trials - 2} if trials > 2 else set())


def test_a_grid_of_the_same_interval_is_what_it_says():
    asked = contrast()
    design = cheapest_design(asked, 0.03)
    grid = uniform_design(asked, 8, design.half_width)
    assert grid.half_width <= design.half_width
    assert uniform_design(asked, 8, 1.001 * grid.half_width).questions <= grid.questions


def test_words_say_when_a_benchmark_cannot_tell():
    text = plan_text(make_plan([contrast()], Question(0.02, None, 30)), usd_per_hour=4.0)
    assert "cannot tell 2 points: 30 questions show 8.9 points at best, however many trials" in text
    assert "not run: no budget was given" in text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "a difference to detect"),
        ({"detect": 2.0}, "2 points are 0.02"),
        ({"seconds": 0.0}, "above 0"),
        ({"seconds": float("inf")}, "above 0"),
        ({"detect": 0.02, "questions": 1}, "at least 2"),
    ],
)
def test_a_wrong_question_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Question(**wrong)


def test_a_wrong_power_and_no_contrast_are_refused():
    with pytest.raises(InputError, match=r"power=0\.3"):
        needed_questions(contrast(), 0.02, power=0.3)
    with pytest.raises(InputError, match="nothing to compare"):
        make_plan([], Question(detect=0.02))


def test_a_replay_takes_less_than_a_grid_and_covers(make_cell):
    """Two arms whose questions differ more than their luck: eight trials a question are a waste."""
    rates = chances(600, seed=3, spread=0.5)
    shape = presets["qwen3-0.6b"]
    cells = tuple(make_cell("qwen3-0.6b", p, 8, seed=i, shape=shape) for i, p in enumerate(rates))
    found = replay("made up", cells, repeats=60)
    assert found.share < 0.6
    assert found.width_of_plan <= found.width_of_grid
    assert found.plan_covers >= 0.88
    assert found.reached == 1
