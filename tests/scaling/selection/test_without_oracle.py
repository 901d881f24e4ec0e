"""What a law says of users without an oracle, in numbers, in words, in law.json and on the page."""

import dataclasses
import io
import json

import numpy as np
import pytest

from kinetics_jax.costs import chips
from kinetics_jax.errors import InputError
from kinetics_jax.report.page import render_page
from kinetics_jax.report.tables import write_law_json
from kinetics_jax.scaling import read_trials
from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.scaling.law.one_law import LawOptions, find_law
from kinetics_jax.scaling.law.selection_sentences import oracle_sentences
from kinetics_jax.scaling.traces.comparable import comparable_families
from tests.scaling.test_law import FAST, table


def with_answers(path, trials=8, wrong=4, **how):
    """The simulated table; right samples say 42, wrong ones one of a few numbers."""
    table(path, trials=trials, **how)
    rng = np.random.default_rng(0)
    head, *rows = path.read_text().splitlines()
    right = [row.split(",")[6] == "1" for row in rows]
    said = ["42" if r else str(rng.integers(wrong)) for r in right]
    path.write_text("\n".join([f"{head},answer", *map(",".join, zip(rows, said, strict=True))]) + "\n")
    return path


def law_of(path, options=FAST):
    (family,), _ = comparable_families(read_trials(path))
    return find_law(family, chips.b200, options)


@pytest.fixture(scope="module")
def law(tmp_path_factory):
    return law_of(with_answers(tmp_path_factory.mktemp("traces") / "sim.csv", questions=40))


def test_who_picks_stands_beside_the_laws_own_frontier(law):
    found = law.without_oracle
    assert [(s.verifier, s.choice) for s in found.selections] == [
        ("perfect", "question"),
        ("perfect", "shared"),
        ("majority", "shared"),
        ("roc(0.9,0.1,cost=0.05)", "shared"),
    ]
    assert {s.flavour for s in found.selections} == {"held_out"}
    assert found.left_out == ()
    for one in found.selections:
        assert one.accuracy.shape == one.low.shape == one.high.shape == law.costs.shape
        assert (one.low <= one.high).all()


def test_the_first_is_the_laws_own_frontier_and_nobody_beats_the_perfect_verifier(law):
    own = law.without_oracle.get("perfect", "question")
    np.testing.assert_array_equal(own.accuracy, law.best_frontier.accuracy)
    perfect = law.without_oracle.get("perfect", "shared")
    for verifier in ("majority", "roc"):
        assert law.without_oracle.get(verifier, "shared").accuracy[-1] <= perfect.accuracy[-1] + 1e-9


def test_rules_are_compared_for_every_model(law):
    rules = law.without_oracle.stopping
    assert {(r.model, r.rule) for r in rules} == {
        (model, rule) for model in law.models for rule in ("accepted", "majority")
    }
    for rule in rules:
        assert rule.trials == 8
        assert rule.drawn <= 8
        assert rule.low <= rule.saved <= rule.high
    best = next(r for r in rules if r.model == "Qwen3-14B" and r.rule == "accepted")
    assert best.saved > 0.5
    assert 0 < best.cost < best.fixed_cost < law.costs[-1] * 10


def test_answers_that_are_not_recorded_are_said_and_the_rest_stands(tmp_path):
    law = law_of(table(tmp_path / "sim.csv"))
    found = law.without_oracle
    assert [s.verifier for s in found.selections if s.verifier == "majority"] == []
    assert {r.rule for r in found.stopping} == {"accepted"}
    (why,) = found.left_out
    assert "no majority vote: Qwen3-0.6B" in why
    assert "does not record the answer" in why


def test_votes_that_are_never_right_are_said_and_the_rest_stands(tmp_path):
    """One sample of every question is right, and all others agree on what is wrong."""
    path = table(tmp_path / "sim.csv")
    head, *rows = path.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    said = [[*c[:6], str(int(c[4] == "0")), *c[7:], "42" if c[4] == "0" else "7"] for c in cells]
    path.write_text("\n".join([f"{head},answer", *map(",".join, said)]) + "\n")
    found = law_of(path).without_oracle
    assert {rule.rule for rule in found.stopping} == {"accepted"}
    assert "majority" in {one.verifier for one in found.selections}
    assert len(found.left_out) == 3  # one a model
    assert all("no stopping rule" in why and "solve nothing (majority)" in why for why in found.left_out)


def test_where_choices_are_not_held_out_the_page_says_so(tmp_path):
    trials = read_trials(with_answers(tmp_path / "sim.csv"))
    options = dataclasses.replace(FAST, frontier="paper")
    page = render_page(find_results(trials, [chips.b200], options), {})
    assert "chosen and scored on the same samples" in page
    assert "chosen on half of the questions and scored" not in page


def test_one_sample_a_question_leaves_one_configuration_for_all(tmp_path):
    law = law_of(with_answers(tmp_path / "sim.csv", trials=1))
    found = law.without_oracle
    assert {s.choice for s in found.selections} == {"shared"}
    assert found.stopping == ()
    assert any("one sample only" in why for why in found.left_out)


def test_words_name_what_takes_the_oracles_place(law):
    first, second = oracle_sentences(law)
    own = law.without_oracle.get("perfect", "question").accuracy[-1]
    vote = law.without_oracle.get("majority", "shared").accuracy[-1]
    assert f"a configuration for each question {own:.0%}" in first
    assert f"a majority vote and one for all {vote:.0%}" in first
    assert "of the cost per solved question against 8 samples for all" in second
    none = dataclasses.replace(law, without_oracle=None)
    assert oracle_sentences(none) == []
    stopping = tuple(
        dataclasses.replace(r, solved=r.fixed_solved - 0.05) for r in law.without_oracle.stopping
    )
    worse = dataclasses.replace(
        law, without_oracle=dataclasses.replace(law.without_oracle, stopping=stopping)
    )
    assert len(oracle_sentences(worse)) == 1  # what loses accuracy is not praised


def test_the_files_hold_it_all(tmp_path):
    trials = read_trials(with_answers(tmp_path / "sim.csv"))
    results = find_results(trials, [chips.b200], FAST)
    assert any(answer.startswith("Without an oracle, math (sim)") for answer in results.answers)
    out = io.StringIO()
    write_law_json(results, ["report.html"], out)
    (law,) = json.loads(out.getvalue())["laws"]
    stored = law["without_oracle"]
    assert [s["verifier"] for s in stored["selections"]][:3] == ["perfect", "perfect", "majority"]
    assert len(stored["selections"][0]["accuracy"]["values"]) == len(law["costs"]["values"])
    assert stored["stopping"][0]["rule"] == "accepted"
    assert "fixed_cost" in stored["stopping_units"]
    page = render_page(results, {})
    shown = ("Without an oracle", "one for all", "roc(0.9,0.1,cost=0.05)", "cost per solved saved")
    for text in (*shown, "chosen on half of the questions and scored"):
        assert text in page


def test_a_reader_costs_what_it_reads(tmp_path):
    path = with_answers(tmp_path / "sim.csv")
    free, read = (
        law_of(path, dataclasses.replace(FAST, verifiers=(f"roc(0.9,0.1{cost})",)))
        for cost in ("", ",reader=qwen3-8b")
    )
    a, b = (law.without_oracle.get("roc", "shared").accuracy for law in (free, read))
    assert b.mean() < a.mean()


def test_options_refuse_verifiers_that_cannot_be():
    with pytest.raises(InputError, match="unknown verifier"):
        LawOptions(verifiers=("oracle",))
    with pytest.raises(InputError, match="only cost_mode=exact prices"):
        LawOptions(verifiers=("roc(1,0,reader=qwen3-8b)",), cost_mode="paper")


def test_a_flag_of_verifiers_is_split_outside_brackets_only():
    from kinetics_jax.cli.law import _split

    text = "perfect, roc(0.9, 0.1, cost=0.05),majority,"
    assert _split(text) == ("perfect", "roc(0.9, 0.1, cost=0.05)", "majority")
    assert LawOptions(verifiers=_split(text)).verifiers == _split(text)
