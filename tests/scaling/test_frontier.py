"""Frontiers: the published one to its digits, the laws they obey, and what each flavour's bias is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, TopK
from kinetics_jax.scaling import (
    build_study,
    cost_grid,
    held_out_frontier,
    largest_token_demand,
    model_curves,
    paper_frontier,
    study_frontier,
)
from kinetics_jax.scaling.frontier.halves import for_halves

UNIT = npst.arrays(float, (3, 12), elements=st.floats(0, 1))
COSTS = np.geomspace(1, 50, 12)


@pytest.fixture
def study(make_cell, price, params):
    rng = np.random.default_rng(5)
    skill = {"0.6B": 0.15, "4B": 0.4, "14B": 0.6}
    hardness = rng.normal(0, 0.25, 12)
    cells = [
        make_cell(name, np.clip(skill[name] + hardness, 0.02, 0.98), 8, seed, policy)
        for seed, (name, policy) in enumerate(
            (name, policy) for name in skill for policy in (Dense(), TopK(256))
        )
    ]
    return build_study(cells, price, trials=(1, 2, 4, 8), lengths=(2_000, 6_000))


def published(reference_rows, name, series):
    """Model → list of the rows of a series."""
    rows = [row for row in reference_rows(name) if row["series"] == series]
    by_model = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    return rows, by_model


def test_reproduces_the_published_frontier(reference_rows):
    _, counts = published(reference_rows, "aime24_topk_genlen_raw_counts.csv", "sparse_topk")
    curves = {
        model: [int(row["correct_count"]) / int(row["denominator"]) for row in rows]
        for model, rows in counts.items()
    }
    costs = [float(row["tera_eflops"]) for row in next(iter(counts.values()))]
    found = paper_frontier(curves, costs)

    _, drawn = published(reference_rows, "aime24_topk_genlen_frontier.csv", "sparse_topk")
    for model, rows in drawn.items():
        want = [float(row["accuracy"]) for row in rows]
        np.testing.assert_allclose(found.curves[model], want, atol=1e-5)
        smoothed = [float(row["accuracy_smoothed_as_plotted"]) for row in counts[model]]
        np.testing.assert_allclose(found.curves[model], smoothed, atol=2e-6)
    frontier, _ = published(reference_rows, "aime24_topk_genlen_frontier.csv", "sparse_topk_frontier")
    np.testing.assert_allclose(found.accuracy, [float(r["accuracy"]) for r in frontier], atol=1e-5)
    assert found.model.tolist() == [row["model"] for row in frontier]


@given(UNIT)
def test_paper_frontier_rises_and_is_the_best_smoothed_curve_so_far(curves):
    found = paper_frontier(dict(zip("abc", curves, strict=True)), COSTS)
    assert (np.diff(found.accuracy) >= -1e-12).all()
    so_far = np.maximum.accumulate(np.stack([found.curves[m] for m in "abc"]).max(axis=0))
    np.testing.assert_allclose(found.accuracy, so_far, atol=1e-11)
    assert found.accuracy.max() <= curves.max() + 1e-12


@given(UNIT, st.permutations("abc"))
def test_paper_frontier_does_not_see_the_order_of_models(curves, order):
    named = dict(zip("abc", curves, strict=True))
    found, again = (paper_frontier(c, COSTS) for c in (named, {m: named[m] for m in order}))
    np.testing.assert_array_equal(found.accuracy, again.accuracy)
    assert found.model.tolist() == again.model.tolist()


def test_ties_go_to_the_first_name_as_text():
    same = np.linspace(0, 1, 12)
    assert set(paper_frontier({"4B": same, "14B": same}, COSTS).model) == {"14B"}


@pytest.mark.parametrize(
    ("curves", "costs", "words"),
    [
        ({}, COSTS, "at least one model"),
        ({"a": np.ones(3)}, COSTS, "curve of a must be 12"),
        ({"a": np.full(12, np.nan)}, COSTS, "curve of a must be 12 finite"),
        ({"a": np.ones(12)}, COSTS[::-1], "rise"),
        ({"a": np.ones(12)}, [*COSTS[:-1], np.inf], "finite"),
    ],
)
def test_paper_frontier_refuses(curves, costs, words):
    with pytest.raises(InputError, match=words):
        paper_frontier(curves, costs)


def test_study_frontier_is_the_paper_frontier_of_its_curves(study):
    grid = cost_grid(study, 40)
    found, want = study_frontier(study, grid), paper_frontier(model_curves(study, grid), grid)
    np.testing.assert_allclose(found.accuracy, want.accuracy, atol=1e-12)
    assert found.model.tolist() == want.model.tolist()
    for name in study.models:
        np.testing.assert_allclose(found.curves[name], want.curves[name], atol=1e-12)


@pytest.mark.parametrize("choice", ["question", "shared"])
def test_curves_rise_within_bounds_and_limits(study, choice):
    grid = cost_grid(study, 40)
    for name, curve in model_curves(study, grid, choice=choice).items():
        assert (np.diff(curve) >= -1e-12).all()
        best = study.coverage[:, study.model_index == study.models.index(name)].max(axis=1).mean()
        assert curve[-1] <= best + 1e-12
    found = study_frontier(study, grid, choice=choice, smoothing=1)
    assert (found.spent <= grid * (1 + 1e-12)).all()
    assert (np.diff(found.accuracy) >= -1e-12).all()


def test_choosing_per_question_is_at_least_as_good_as_one_choice_for_all(study):
    grid = study.cost.max() * np.array([0.5, 1.0])
    per_question, shared = (model_curves(study, grid, choice=c) for c in ("question", "shared"))
    for name in study.models:
        assert per_question[name][-1] >= shared[name][-1] - 1e-12


def test_frontier_does_not_see_the_order_of_questions(make_cell, price, params):
    cells = [make_cell("4B", np.linspace(0, 1, 9), seed=1), make_cell("8B", np.linspace(0, 1, 9), seed=2)]
    turned = [cell.restrict(cell.questions[::-1]) for cell in cells]
    first, second = (build_study(c, price) for c in (cells, turned))
    grid = cost_grid(first, 30)
    np.testing.assert_allclose(
        study_frontier(first, grid).accuracy, study_frontier(second, grid).accuracy, atol=1e-12
    )


def test_optima_are_the_cheapest_near_the_best(study):
    """Against a loop over questions at every cost of the grid."""
    grid = cost_grid(study, 25)
    found = study_frontier(study, grid)
    budget = np.array([s.policy.kv_budget or 0 for s in study.settings])
    for g in range(25):
        columns = np.flatnonzero(study.model_index == study.models.index(found.model[g]))
        chosen = []
        for q in range(len(study.questions)):
            fit = [c for c in columns if study.cost[q, c] <= grid[found.reached[g]]]
            if fit:
                best = max(study.coverage[q, c] for c in fit)
                near = [c for c in fit if study.coverage[q, c] >= best * (1 - 1e-3)]
                chosen.append((q, min(near, key=lambda c: study.cost[q, c])))
        if not chosen:
            assert np.isnan(found.optima["tokens"][g])
            continue
        cs = [c for _, c in chosen]
        sparse = [budget[c] for c in cs if budget[c]]
        assert found.optima["trials"][g] == pytest.approx(np.mean(study.trials[cs]))
        assert found.optima["length"][g] == pytest.approx(np.mean(study.length[cs]))
        tokens = [study.tokens[q, c] for q, c in chosen]
        assert found.optima["tokens"][g] == pytest.approx(np.mean(tokens))
        assert found.optima["dense_share"][g] == pytest.approx(1 - len(sparse) / len(cs))
        if sparse:
            assert found.optima["kv_budget"][g] == pytest.approx(np.mean(sparse))
        assert largest_token_demand(study, found)[g] == pytest.approx(max(tokens))


def test_token_demand_is_of_the_papers_flavour(study):
    with pytest.raises(InputError, match="not held_out"):
        largest_token_demand(study, held_out_frontier(study, cost_grid(study), splits=1))


def equal_skill(make_cell, price, seed, samples, configurations=5, questions=30):
    """Configurations that differ in nothing but their luck; returns the study and the true accuracy."""
    rates = np.random.default_rng(seed).beta(0.7, 0.7, questions)
    cells = [make_cell("4B", rates, samples, 1_000 * seed + i, TopK(64 + i)) for i in range(configurations)]
    study = build_study(cells, lambda _, policy, *rest: price(1.0, Dense(), *rest), trials=(1,), lengths=())
    return study, rates.mean()


@pytest.mark.parametrize(("samples", "low", "high"), [(32, 0.05, 0.08), (8, 0.09, 0.15)])
def test_null_held_out_is_unbiased_and_the_papers_rule_flatters(make_cell, price, samples, low, high):
    """docs/paper_facts.md, "Gaps": best of 5 equals gains 6–8 points of 32 trials, 10–15 of 8."""
    held_out, paper = [], []
    for seed in range(40):
        study, truth = equal_skill(make_cell, price, seed, samples)
        grid = cost_grid(study, 10)
        found = held_out_frontier(study, grid, splits=10, seed=seed, smoothing=1)
        held_out.append(found.accuracy[-1] - truth)
        paper.append(found.paper.accuracy[-1] - truth)
    assert abs(np.mean(held_out)) < 0.005
    assert low < np.mean(paper) < high


def test_null_holds_for_the_choice_of_model_too(make_cell, price):
    """Equal models: the running maximum over models and costs must not flatter either."""
    bias = []
    for seed in range(40):
        rates = np.random.default_rng(seed).beta(0.7, 0.7, 20)
        cells = [make_cell(f"m{i}", rates, 8, 100 * seed + i) for i in range(6)]
        study = build_study(cells, lambda _, *rest: price(1.0, *rest), trials=(1,), lengths=())
        found = held_out_frontier(study, cost_grid(study, 10), splits=10, smoothing=1)
        bias.append((found.accuracy[-1] - rates.mean(), found.paper.accuracy[-1] - rates.mean()))
    held_out, paper = np.mean(bias, axis=0)
    assert abs(held_out) < 0.005
    assert paper > 0.02


def test_null_holds_for_one_choice_for_all_questions(make_cell, price):
    """One trial per question: the choice is made on half of the questions."""
    bias = []
    for seed in range(40):
        study, truth = equal_skill(make_cell, price, seed, samples=1, configurations=8)
        found = held_out_frontier(study, [study.cost.max()], choice="shared", smoothing=1)
        bias.append((found.accuracy[0] - truth, found.paper.accuracy[0] - truth))
    held_out, paper = np.mean(bias, axis=0)
    assert abs(held_out) < 0.01
    assert paper > 0.04


def test_held_out_compares_like_with_like(study):
    grid = cost_grid(study, 20)
    found = held_out_frontier(study, grid, splits=5)
    assert found.flavour == "held_out"
    np.testing.assert_allclose(found.optimism, found.paper.accuracy - found.accuracy)
    want = study_frontier(for_halves(study), grid)
    np.testing.assert_allclose(found.paper.accuracy, want.accuracy)
    np.testing.assert_allclose(found.model_share.sum(axis=1), 1.0)
    assert (found.accuracy >= 0).all()
    assert (found.accuracy <= 1).all()


def test_held_out_depends_on_its_seed_alone(study):
    grid = cost_grid(study, 20)
    runs = [held_out_frontier(study, grid, splits=3, seed=s).accuracy for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_held_out_finds_real_differences(study):
    """Skill is not luck: the held-out frontier still climbs to the larger models."""
    found = held_out_frontier(study, cost_grid(study, 20))
    assert found.accuracy[-1] > found.accuracy[5] + 0.1
    assert found.model[-1] == "14B"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"choice": "each"}, "choice='each'"), ({"splits": 0}, "splits=0"), ({"smoothing": 4}, "smoothing=4")],
)
def test_held_out_refuses(study, change, words):
    with pytest.raises(InputError, match=words):
        held_out_frontier(study, cost_grid(study), **change)


def test_too_few_samples_or_questions_say_what_to_do(make_cell, price, params):
    def build(cell):
        return build_study([cell], price)

    with pytest.raises(InputError, match='use choice="shared"'):
        held_out_frontier(build(make_cell(samples=1)), [1.0, 2.0])
    with pytest.raises(InputError, match='use choice="shared"'):
        held_out_frontier(build(make_cell(samples=4, temperature=0.0)), [1.0, 2.0])
    with pytest.raises(InputError, match="7 questions are too few"):
        held_out_frontier(build(make_cell(rates=[0.5] * 7)), [1.0, 2.0], choice="shared", smoothing=1)


@settings(max_examples=20)
@given(st.floats(1e-3, 1e3), st.floats(1.1, 1e6), st.integers(2, 200))
def test_grid_is_even_in_the_logarithm_and_exact_at_its_ends(low, ratio, points):
    grid = cost_grid((low, low * ratio), points)
    assert (grid[0], grid[-1], len(grid)) == (low, low * ratio, points)
    np.testing.assert_allclose(np.diff(np.log(grid)), np.log(ratio) / (points - 1), rtol=1e-6)


@pytest.mark.parametrize("span", [(0, 1), (2, 1), (1, 1), (1, np.inf)])
def test_grid_refuses_other_spans(span):
    with pytest.raises(InputError, match="log grid"):
        cost_grid(span)
