"""From a trials table to a law in words, on simulated traces whose truth is known."""

import dataclasses
import io

import numpy as np
import pytest

from kinetics_jax.costs import chips
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK
from kinetics_jax.scaling import read_trials
from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.scaling.law.choices import cost_to_reach, settled
from kinetics_jax.scaling.law.one_law import LawOptions, find_law
from kinetics_jax.scaling.law.paper_claims import SPOKEN
from kinetics_jax.scaling.law.without_traces import shape_results
from kinetics_jax.scaling.traces.comparable import comparable_families

SKILL = {"Qwen3-0.6B": (0.2, 900), "Qwen3-4B": (0.5, 1500), "Qwen3-14B": (0.8, 2500)}
FAST = LawOptions(bootstrap=40, splits=2, grid_points=40)


def table(path, skill=SKILL, questions=24, trials=8, source="sim", seed=0, temperature=0.6, policy=""):
    rng = np.random.default_rng(seed)
    out = io.StringIO()
    out.write(
        "source,model,dataset,problem_id,trial,gen_tokens,correct,max_tokens,temperature,prompt_tokens,policy\n"
    )
    for model, (solve, length) in skill.items():
        ease = rng.normal(0, 0.15, questions)
        for q in range(questions):
            for t in range(trials):
                tokens = min(int(rng.gamma(4, length / 4)) + 1, 8192)
                right = int(rng.random() < np.clip(solve + ease[q], 0.02, 0.98))
                out.write(f"{source},{model},math,{q},{t},{tokens},{right},8192,{temperature},120,{policy}\n")
    path.write_text(out.getvalue())
    return path


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return read_trials(table(tmp_path_factory.mktemp("traces") / "sim.csv"))


@pytest.fixture(scope="module")
def law(trials):
    (family,), _ = comparable_families(trials)
    return find_law(family, chips.b200, FAST)


def test_a_family_keeps_what_can_be_compared(tmp_path):
    a = table(tmp_path / "a.csv")
    b = table(tmp_path / "b.csv", {"Llama-9-1B": (0.5, 100)}, source="other")
    c = table(tmp_path / "c.csv", questions=4, source="tiny")
    families, skipped = comparable_families(read_trials([a, b, c]))
    assert [(f.source, f.models) for f in families] == [("sim", tuple(SKILL))]
    assert any("no shape is known for Llama-9-1B" in reason for reason in skipped)
    assert any("4 common questions" in reason for reason in skipped)


def test_a_cell_with_few_questions_does_not_shrink_the_others(tmp_path):
    whole = table(tmp_path / "a.csv")
    thin = table(tmp_path / "b.csv", {"Qwen3-8B": (0.6, 2000)}, questions=10)
    (family,), skipped = comparable_families(read_trials([whole, thin]))
    assert len(family.cells[0].questions) == 24
    assert any("Qwen3-8B" in reason and "10 questions" in reason for reason in skipped)


def test_the_law_finds_the_order_of_sizes(law):
    """Bigger models are better and dearer here, so the best size rises with cost."""
    assert law.models == ("Qwen3-0.6B", "Qwen3-4B", "Qwen3-14B")
    frontier = law.best_frontier
    assert frontier.flavour == "held_out"
    sizes = [law.sizes[law.models.index(band.model)] for band in frontier.bands if band.support > 0.5]
    assert sizes == sorted(sizes)
    assert sizes[0] == min(law.sizes)
    assert frontier.model[-1] == "Qwen3-14B"
    assert 0.7 < frontier.accuracy[-1] <= 1.0
    assert law.threshold is not None
    assert law.threshold.low <= law.threshold.value <= law.threshold.high


def test_every_array_is_on_the_grid(law):
    G, M = len(law.costs), len(law.models)
    assert (np.diff(law.costs) > 0).all()
    np.testing.assert_allclose(law.seconds, law.costs / chips.b200.peak())
    assert law.dollars is not None
    for frontier in law.frontiers.values():
        assert frontier.model_share.shape == (G, M)
        for name in ("accuracy", "low", "high", "tokens", "trials", "length", "kv_budget"):
            assert getattr(frontier, name).shape == (G,), name
        assert (frontier.low <= frontier.high + 1e-12).all()
        assert len(frontier.model) == G
    for curve in law.model_curves.values():
        assert curve.shape == (G,)


def test_the_papers_rule_flatters(law):
    assert law.optimism is not None
    assert law.optimism.low > 0
    paper, held_out = law.frontiers["paper"], law.frontiers["held_out"]
    assert paper.accuracy.mean() > held_out.accuracy.mean()


def test_projection_prices_dense_traces_sparsely(trials, law):
    (family,), _ = comparable_families(trials)
    projected = find_law(family, chips.b200, FAST, project=BlockTopK(16, 16))
    assert projected.projected_policy == "block top-k 16×16"
    target = 0.95 * law.best_frontier.accuracy.max()
    assert cost_to_reach(projected, target) < cost_to_reach(law, target)
    assert np.nanmin(projected.best_frontier.dense_share) < 0.5


def test_modes_agree_on_who_is_dear(trials):
    (family,), _ = comparable_families(trials)
    for mode in ("paper", "reference", "exact"):
        options = dataclasses.replace(FAST, cost_mode=mode, frontier="paper")
        found = find_law(family, chips.b200, options)
        peak = chips.b200.peak() if mode == "exact" else 4500e12
        assert found.peak_flops == peak
        assert list(found.frontiers) == ["paper"]
        assert found.optimism is None


def test_results_in_words_and_in_parallel(trials):
    one = find_results(trials, [chips.b200, chips.tpu_v6e], FAST, project=BlockTopK(16, 16))
    two = find_results(trials, [chips.b200, chips.tpu_v6e], FAST, project=BlockTopK(16, 16), jobs=2)
    assert one.answers == two.answers
    assert [(x.chip, x.projected_policy) for x in one.laws] == [
        ("b200", ""),
        ("tpu_v6e", ""),
        ("b200", "block top-k 16×16"),
    ]
    assert "use Qwen3-0.6B" in one.answers[0]
    assert any("changed no answer" in answer for answer in one.answers)
    assert {claim.verdict for claim in one.claims} <= set(SPOKEN)
    assert all(claim.short in one.answers[0] for claim in one.claims)
    assert one.inputs[0]["rows"] == len(trials)
    assert one.versions["kinetics-jax"]


def test_seeds_change_the_resamples_and_nothing_else(trials):
    a, b, c = (
        find_results(trials, [chips.b200], dataclasses.replace(FAST, seed=seed)).laws[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.frontiers["paper"].low, b.frontiers["paper"].low)
    assert (a.frontiers["paper"].low != c.frontiers["paper"].low).any()
    np.testing.assert_array_equal(a.frontiers["paper"].accuracy, c.frontiers["paper"].accuracy)


def test_two_values_make_no_law(tmp_path):
    """Four samples leave two to score the held-out choice on: N is 1 or 2, and has no exponent."""
    few = read_trials(table(tmp_path / "few.csv", trials=4))
    (family,), _ = comparable_families(few)
    found = find_law(family, chips.b200, FAST).frontiers
    assert "trials.b" in found["paper"].fits or "trials" in found["paper"].refused
    assert "trials.b" not in found["held_out"].fits
    assert "trials" not in found["held_out"].refused
    assert "tokens.b" in found["held_out"].fits


def test_greedy_traces_choose_one_configuration_for_all(tmp_path):
    greedy = read_trials(table(tmp_path / "g.csv", trials=1, temperature=0))
    (family,), _ = comparable_families(greedy)
    assert any("one independent sample" in note for note in family.notes)
    found = find_law(family, chips.b200, FAST)
    assert found.best_frontier.choice == "shared"
    assert set(np.unique(found.best_frontier.trials[np.isfinite(found.best_frontier.trials)])) == {1.0}


def test_sparse_traces_have_an_optimal_budget(tmp_path):
    dense = table(tmp_path / "d.csv", {"Qwen3-8B": (0.6, 6000)})
    sparse = table(tmp_path / "s.csv", {"Qwen3-8B": (0.6, 6000)}, policy='"block_topk(16,16)"')
    (family,), _ = comparable_families(read_trials([dense, sparse]))
    found = find_law(family, chips.b200, FAST)
    frontier = found.best_frontier
    assert np.nanmax(frontier.kv_budget) == 256
    assert frontier.dense_share[settled(found)] < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frontier": "best"}, "must be paper, held_out or both"),
        ({"bootstrap": 0}, "bootstrap=0 must be at least 1"),
        ({"bootstrap": "5"}, "bootstrap='5' must be at least 1, and a whole number"),
        ({"splits": True}, "splits=True must be"),
        ({"grid_points": 9.5}, "grid_points=9.5 must be"),
        ({"seed": None}, "seed=None must be"),
        ({"grid_points": 1}, "at least 2"),
    ],
)
def test_bad_options_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        LawOptions(**change)


def test_nothing_left_is_an_error(tmp_path):
    trials = read_trials(table(tmp_path / "c.csv", questions=3))
    with pytest.raises(InputError, match=r"no traces are left to compare: .*3 common questions"):
        find_results(trials, [chips.b200], FAST)
    with pytest.raises(InputError, match="at least one chip"):
        find_results(None, [], FAST)


def test_shapes_reproduce_the_papers_trend():
    """docs/paper_facts.md, "Frontier and fits": KV per doubling of parameters, linear and in logarithms."""
    shapes = shape_results([chips.b200, chips.tpu_v5e])
    trend = {name: estimate.value for name, estimate in shapes.kv_trend.items()}
    assert trend["Qwen3, linear"] == pytest.approx(1.189, abs=0.01)
    assert trend["Qwen3, log"] == pytest.approx(1.150, abs=0.01)
    assert trend["Qwen2.5, linear"] == pytest.approx(1.465, abs=0.02)
    assert shapes.intensity == 562.5
    assert (np.diff(shapes.phi, axis=1) > 0).all()
    np.testing.assert_allclose(shapes.tenfold, 10 * shapes.overtakes)
    rows = {(row.chip, row.model): row for row in shapes.capacity}
    assert rows["tpu_v5e", "qwen3-32b"].num_chips == 16
    for row in rows.values():
        assert row.num_chips == 0 or row.sparse_seconds < row.dense_seconds


def test_where_nothing_is_solved_no_model_is_the_best(tmp_path):
    path = table(tmp_path / "wrong.csv")
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]
    right = head.index("correct")
    lines = [head, *([*row[:right], "0", *row[right + 1 :]] for row in rows)]
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    (family,), _ = comparable_families(read_trials(path))
    law = find_law(family, chips.b200, FAST)
    for result in law.frontiers.values():
        assert result.bands == ()
        assert not result.accuracy.any()
