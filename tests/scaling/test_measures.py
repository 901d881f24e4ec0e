"""Laws of seconds, dollars and waiting, by the data sheet and by kernels as measured."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from kinetics_jax.costs import chips, latency
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK
from kinetics_jax.report import summary_table, write_results
from kinetics_jax.scaling import read_trials
from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.scaling.law.break_even import break_evens
from kinetics_jax.scaling.law.choices import cost_text, priced_on
from kinetics_jax.scaling.law.deployments import cost_under, deploy
from kinetics_jax.scaling.law.one_law import LawOptions, find_law
from kinetics_jax.scaling.law.priced_study import priced_study
from kinetics_jax.scaling.law.sensitivity import Said, same, variants
from kinetics_jax.scaling.traces.comparable import comparable_families
from tests.golden.make import traces

FAST = LawOptions(bootstrap=12, splits=1, grid_points=30, verifiers=("perfect",))
B200, H100, TPU = chips["b200"], chips["h100"], chips["tpu_v6e"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "traces.csv"
    path.write_text(traces())
    return read_trials([str(path)])


@pytest.fixture(scope="module")
def family(table):
    (found,), _ = comparable_families(table.with_prompt_tokens(100), min_questions=5)
    return found


@pytest.fixture(scope="module")
def both(table):
    options = dataclasses.replace(FAST, prices="both", measure="seconds")
    return find_results(table, [B200, TPU], options, min_questions=5)


def law_of(family, chip=B200, **fields):
    return find_law(family, chip, dataclasses.replace(FAST, **fields))


def test_seconds_of_the_data_sheet_are_the_law_of_eflops_in_other_words(family):
    eflops, seconds = law_of(family), law_of(family, measure="seconds")
    np.testing.assert_allclose(seconds.costs, eflops.seconds, rtol=1e-9)
    np.testing.assert_allclose(seconds.seconds, eflops.seconds, rtol=1e-9)
    np.testing.assert_allclose(seconds.best_frontier.accuracy, eflops.best_frontier.accuracy)
    ours, theirs = seconds.best_frontier, eflops.best_frontier
    assert [band.model for band in ours.bands] == [band.model for band in theirs.bands]
    for one, other in zip(ours.bands, theirs.bands, strict=True):
        assert cost_text(seconds, one.start) == cost_text(eflops, other.start)
    for name, fit in theirs.fits.items():  # exponents have no unit
        if name.endswith(".b"):
            assert ours.fits[name].value == pytest.approx(fit.value, rel=1e-3)


def test_dollars_are_seconds_at_the_chips_price(family):
    seconds, dollars = (law_of(family, measure=name, prices="calibrated") for name in ("seconds", "dollars"))
    np.testing.assert_allclose(dollars.costs, seconds.costs * B200.usd_per_hour / 3600, rtol=1e-9)
    np.testing.assert_allclose(dollars.seconds, seconds.seconds, rtol=1e-9)
    assert "US$" in cost_text(dollars, dollars.costs[-1])


def test_a_chip_without_a_price_has_no_law_of_dollars(family):
    free = dataclasses.replace(B200, usd_per_hour=None)
    with pytest.raises(InputError, match="price"):
        law_of(family, free, measure="dollars")


def test_calibrated_seconds_are_never_fewer_and_say_so(family):
    ideal, real = (law_of(family, measure="seconds", prices=kind) for kind in ("data_sheet", "calibrated"))
    assert real.best_frontier.bands[-1].start > 0
    for model in {one.model for one in ideal.deployments}:
        before, after = (next(d for d in law.deployments if d.model == model) for law in (ideal, real))
        assert after.chip_seconds > before.chip_seconds
    assert "calibrated prices" in priced_on(real)
    assert "data-sheet prices" in priced_on(ideal)
    assert priced_on(law_of(family)) == B200.label
    assert real.price_evidence.mode == "calibrated"


def test_the_deployment_is_the_cheapest_by_the_prices_in_use(family):
    options = dataclasses.replace(FAST, prices="calibrated")
    found = deploy(family, B200, options).found
    for ways in (1, 2, 4, 8):
        given = dataclasses.replace(options, tensor_parallel=ways)
        for one, other in zip(found, deploy(family, B200, given).found, strict=True):
            assert one.chip_seconds <= other.chip_seconds * (1 + 1e-12)


def test_waiting_is_for_the_longest_of_n_answers(family):
    options = dataclasses.replace(FAST, measure="latency")
    where = deploy(family, B200, options)
    study = priced_study(family, B200, options, where, None)
    cost, cell = cost_under(family, B200, options, where), family.cells[0]
    price = cost(cell.model, cell.policy, cell.prompt_tokens[:, None], cell.generated_tokens, 1)
    waits = latency(price)  # [Q, S]
    settings = study.cells[0].settings
    at = {s.trials: c for c, s in enumerate(settings) if s.length is None}
    estimate = study.cells[0].estimate(cell.present, shrink=False).cost
    np.testing.assert_allclose(estimate[:, at[1]], waits.mean(1))
    np.testing.assert_allclose(estimate[:, at[8]], waits.max(1))  # of eight samples all are drawn


def test_a_law_of_waiting_has_no_dollars_and_says_what_it_assumes(family):
    law = law_of(family, measure="latency", prices="calibrated")
    assert law.seconds is None
    assert law.dollars is None
    assert law.without_oracle is None
    assert any("longest of them" in note for note in law.notes)
    assert "of waiting" in cost_text(law, law.costs[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"measure": "minutes"}, "measure='minutes'"),
        ({"prices": "mine"}, "prices='mine'"),
        ({"prices": "calibrated", "measure": "eflops"}, "eFLOPs are ideal"),
        ({"prices": "both", "measure": "eflops"}, "eFLOPs are ideal"),
        ({"prices": "calibrated", "cost_mode": "paper"}, "needs cost_mode=exact"),
        ({"prices": "calibrated", "overlap": "max"}, "overlap must be sum"),
        ({"measure": "latency", "cost_mode": "paper"}, "needs cost_mode=exact"),
        ({"cost_mode": "calibrated"}, "give prices=calibrated"),
        ({"prices": "both", "sensitivity": True}, "sensitivity is of one kind of prices"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(fields, words):
    with pytest.raises(InputError, match=words) as error:
        LawOptions(**fields)
    assert "\n" not in str(error.value)


def test_the_measure_follows_the_prices_unless_it_is_given():
    assert LawOptions().counted.name == "eflops"
    assert LawOptions(prices="calibrated").counted.name == "seconds"
    assert [(one.prices, one.counted.name) for one in LawOptions(prices="both").each] == [
        ("data_sheet", "seconds"),
        ("calibrated", "seconds"),
    ]
    assert LawOptions(prices="both", measure="latency").counted.name == "latency"


def test_other_deployments_are_tried_by_the_same_prices(family):
    options = dataclasses.replace(FAST, prices="calibrated")
    tried = variants(family, B200, options)
    assert {one.options.prices for one in tried} == {"calibrated"}
    assert not any("overlap" in one.label for one in tried)
    assert any("overlap" in one.label for one in variants(family, B200, FAST))


def test_both_prices_stand_side_by_side(both):
    assert [(law.chip, law.prices) for law in both.laws] == [
        ("b200", "data_sheet"),
        ("b200", "calibrated"),
        ("tpu_v6e", "data_sheet"),
    ]
    assert any("tpu_v6e, calibrated prices" in reason for reason in both.skipped)
    (move,) = both.price_moves
    rows = {row.statement: row for row in move.rows}
    ideal, real = both.laws[:2]
    gain = rows["sparse against dense at equal cost"]
    assert f"{ideal.sparse.gain.value:+.1f}" in gain.data_sheet
    assert f"{real.sparse.gain.value:+.1f}" in gain.calibrated
    share = rows["claim: attention is most of the cost"]
    assert "of the eFLOPs" in share.data_sheet
    assert "of the calibrated seconds" in share.calibrated
    assert {"size that the frontier climbs most with", "models from cheap to dear"} <= set(rows)
    assert any(name.startswith("cost at which") for name in rows)
    assert f"{sum(row.same for row in move.rows)} of {len(move.rows)} statements" in move.sentence
    assert any("statements of 1 law are the same" in answer for answer in both.answers)


def test_what_a_projection_saves_stands_under_both_prices(table):
    keep = np.array([table.policies[at].kv_budget is None for at in table.policy])
    options = dataclasses.replace(FAST, prices="both")
    found = find_results(table.select(keep), [B200], options, project=BlockTopK(16, 64), min_questions=5)
    (move,) = found.price_moves
    (row,) = [row for row in move.rows if "changed no answer" in row.statement]
    ideal, real = (float(text.partition("×")[0]) for text in (row.data_sheet, row.calibrated))
    assert ideal > real > 1  # floors are paid by sparse steps too
    assert row.same == (ideal <= 1.5 * real)


def test_a_row_is_moved_if_and_only_if_it_says_something_else(both):
    for row in both.price_moves[0].rows:
        if row.data_sheet == row.calibrated:
            assert row.same
    assert not same(Said("", 1.0), Said("", 1.6))


def test_break_evens_are_of_calibrated_chips_and_of_the_traces_policies(both):
    assert {one.chip for one in both.break_even} == {"b200"}
    assert {one.policy for one in both.break_even} == {"block top-k 16×64"} | {
        cell.policy for law in both.laws for cell in law.cells if cell.policy != "dense"
    }
    assert any("min_context" in answer for answer in both.answers)
    assert any("no break-even on tpu_v6e" in reason for reason in both.skipped)


def test_everything_is_written_and_every_file_says_how_far_off(both, tmp_path):
    out = tmp_path / "out"
    write_results(both, out)
    document = json.loads((out / "law.json").read_text())
    assert {"prices.csv", "break_even.csv"} <= set(document["files"])
    page, said = (out / "report.html").read_text(), summary_table(both, width=400)
    assert {one["mode"] for one in document["price_evidence"]} == {"exact", "calibrated"}
    for one in document["price_evidence"][:2]:
        assert one["sentence"].replace("'", "&#39;") in page
        assert one["sentence"] in said
    assert [law["prices"] for law in document["laws"]] == ["data_sheet", "calibrated", "data_sheet"]
    assert {law["costs"]["unit"] for law in document["laws"]} == {"chip-seconds per question"}
    with open(out / "frontier.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["cost_eflops"] == "" and row["chip_seconds"] for row in rows)
    with open(out / "prices.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(both.price_moves[0].rows)
    assert "break-even-b200" in {path.stem for path in (out / "figures").iterdir()}
    assert len(summary_table(both).splitlines()) <= 25


def test_no_eflops_stand_beside_calibrated_seconds(family, tmp_path):
    law = law_of(family, measure="seconds", prices="calibrated")
    results = find_results(None, [B200], LawOptions(prices="calibrated"))
    write_results(dataclasses.replace(results, laws=(law,)), tmp_path / "out")
    for figure in (tmp_path / "out" / "figures").glob("*.svg"):
        if figure.stem.startswith(("frontier", "optima", "best-model")):
            assert "eFLOPs" not in figure.read_text()


def test_without_traces_calibrated_prices_still_say_where_sparse_pays():
    results = find_results(None, [B200, H100], LawOptions(prices="calibrated"))
    assert {one.chip for one in results.break_even} == {"b200", "h100"}
    assert results.price_evidence


def test_break_evens_name_models_as_the_traces_do_and_each_shape_once(both, family):
    assert {one.model for one in both.break_even} == set(family.models)
    mine = [dataclasses.replace(c, model="mine") for c in family.cells if c.model == "qwen3-4b"]
    tuned = dataclasses.replace(family, cells=(*mine, *family.cells))
    found, _ = break_evens([tuned], [B200], LawOptions(prices="calibrated"), (), BlockTopK(16, 64))
    assert [one.model for one in found] == ["qwen3-0.6b", "mine", "qwen3-14b"]
