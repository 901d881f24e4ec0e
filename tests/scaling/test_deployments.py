"""What a law is priced on: chosen, as run or given; stored, said in words; and what survives others."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from kinetics_jax.costs import cheapest_deployment, chips
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK
from kinetics_jax.records import SampleRecord
from kinetics_jax.report import write_results
from kinetics_jax.scaling import read_trials, write_csv
from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.scaling.law.deployment_words import priced_for
from kinetics_jax.scaling.law.deployments import deploy, requests_of
from kinetics_jax.scaling.law.one_law import LawOptions, find_law
from kinetics_jax.scaling.law.sensitivity import Said, same, sensitivity, survival_sentence, variants
from kinetics_jax.scaling.traces.comparable import comparable_families

FAST = LawOptions(bootstrap=12, splits=1, grid_points=30)
RAN = {
    "slots": 24,
    "tensor_parallel": 2,
    "weight_dtype": "int8",
    "kv_dtype": "bfloat16",
    "compute_dtype": "bfloat16",
    "page_size": 64,
    "device": "NVIDIA H100 80GB HBM3",
}
SPARSE = BlockTopK(16, 64, aligned=True)


def records(path, *, models=("qwen3-8b", "qwen3-32b"), ran=RAN, change=lambda record: record, questions=14):
    """Sample records, dense and sparse, of which larger models solve more."""
    rng = np.random.default_rng(3)
    lines = []
    for m, model in enumerate(models):
        for policy in (None, SPARSE):
            for question in range(questions):
                for trial in range(4):
                    tokens = int(rng.integers(2000, 30_000))
                    record = SampleRecord(
                        run="r",
                        model=model,
                        task="aime",
                        problem_id=str(question),
                        trial=trial,
                        prompt_tokens=100,
                        generated_tokens=tokens,
                        correct=bool(rng.random() < 0.4 + 0.3 * m - tokens / 2e5),
                        max_tokens=32_000,
                        temperature=0.6,
                        deployment=ran,
                        **({} if policy is None else {"policy": policy}),
                    )
                    lines.append(change(record).to_json() + "\n")
    path.write_text("".join(lines))
    return path


def family_of(path):
    (family,), _ = comparable_families(read_trials([path]).with_prompt_tokens(100))
    return family


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    return family_of(records(tmp_path_factory.mktemp("ran") / "records.jsonl"))


@pytest.fixture(scope="module")
def law(family):
    return find_law(family, chips.b200, FAST)


def test_a_law_is_priced_on_the_cheapest_for_each_models_own_traces(family, law):
    assert [one.model for one in law.deployments] == ["qwen3-8b", "qwen3-32b"]
    for one in law.deployments:
        cells = [cell for cell in family.cells if cell.model == one.model]
        alone = cheapest_deployment(family.shapes[one.model], requests_of(cells), chips.b200)
        assert dataclasses.replace(alone, model=one.model) == one
        assert one.rule == "cheapest"
        assert one.least_batch < one.batch < one.most_batch
    fewest = find_law(family, chips.b200, dataclasses.replace(FAST, deployment="fewest_chips"))
    assert [one.num_chips for one in fewest.deployments] == [1, 1]
    assert law.costs[-1] < fewest.costs[-1] / 1.3


def test_padding_is_no_request(family):
    for cell, one in zip(family.cells, requests_of(family.cells), strict=True):
        assert len(one.generated_tokens) == cell.samples.sum()
        assert len(one.prompt_tokens) == cell.samples.sum()


def test_a_projected_policy_counts_in_the_choice(tmp_path):
    dense = family_of(records(tmp_path / "d.jsonl", models=("qwen3-32b",)))
    cells = [cell for cell in dense.cells if cell.policy.kv_budget is None]
    assert [one.policy for one in requests_of(cells, SPARSE)] == [cells[0].policy, SPARSE]


def test_smaller_weights_never_cost_more_in_a_law(family, law):
    for dtype in ("int8", "fp8"):
        small = find_law(family, chips.b200, dataclasses.replace(FAST, weight_dtype=dtype))
        assert small.costs[-1] < law.costs[-1]
        assert {one.serving.weight_dtype for one in small.deployments} == {dtype}


def test_as_run_prices_what_the_records_say(family):
    found = deploy(family, chips.h100, dataclasses.replace(FAST, deployment="as_run"))
    assert len(found.found) == 4  # two models, each under two policies
    for one in found.found:
        serving = one.serving
        assert (one.rule, one.num_chips, one.batch) == ("as_run", 2, 24)
        assert (serving.weight_dtype, serving.kv_dtype, serving.page_size) == ("int8", "bfloat16", 64)
    assert {one.policy for one in found.found} == {"dense", SPARSE.label}
    given = deploy(
        family, chips.h100, dataclasses.replace(FAST, deployment="as_run", batch=8, kv_dtype="fp8")
    )
    assert {(one.batch, one.serving.kv_dtype) for one in given.found} == {(8, "fp8")}


def test_what_ran_on_more_memory_than_there_is_is_noted(tmp_path):
    path = records(tmp_path / "large.jsonl", models=("qwen3-32b",), ran=RAN | {"tensor_parallel": 1})
    options = dataclasses.replace(FAST, deployment="as_run")
    (note,) = deploy(family_of(path), chips.h100, options).notes
    assert "do not hold it: qwen3-32b, dense (batch 24 on 1)" in note
    assert deploy(family_of(path), chips.b300, options).notes == ()


def test_slots_that_no_sample_fills_are_no_batch(tmp_path):
    few = family_of(records(tmp_path / "few.jsonl", ran=RAN | {"slots": 4096}))
    found = deploy(few, chips.h100, dataclasses.replace(FAST, deployment="as_run"))
    assert {one.batch for one in found.found} == {14 * 4}


def test_peaks_of_dtypes_are_compared_in_seconds(tmp_path):
    """FP8 traces run against a peak twice as high: their eFLOPs are not those of BF16."""
    path = records(tmp_path / "fp8.jsonl", models=("qwen3-8b",), ran=RAN | {"compute_dtype": "fp8"})
    fp8 = find_law(family_of(path), chips.h100, dataclasses.replace(FAST, deployment="as_run"))
    bf16_path = records(tmp_path / "bf16.jsonl", models=("qwen3-8b",))
    bf16 = find_law(family_of(bf16_path), chips.h100, dataclasses.replace(FAST, deployment="as_run"))
    assert fp8.peak_flops == bf16.peak_flops
    assert bf16.seconds[-1] / 2 < fp8.seconds[-1] < bf16.seconds[-1]


@pytest.mark.parametrize(
    ("ran", "message"),
    [
        (None, "records of qwen3-8b.* do not say what they ran on; price with deployment=cheapest"),
        (RAN | {"compute_dtype": "float32"}, "computed in float32.*compute_dtype=bfloat16"),
        (RAN | {"tensor_parallel": 64}, "links at most 8 chips"),
    ],
)
def test_as_run_refuses_in_one_line(tmp_path, ran, message):
    family = family_of(records(tmp_path / "r.jsonl", ran=ran))
    with pytest.raises(InputError, match=message) as caught:
        find_law(family, chips.h100, dataclasses.replace(FAST, deployment="as_run"))
    assert "\n" not in str(caught.value)


def test_samples_of_two_deployments_are_refused(tmp_path):
    def change(record):
        return dataclasses.replace(record, deployment=RAN | {"slots": 8}) if record.trial == 1 else record

    family = family_of(records(tmp_path / "r.jsonl", change=change))
    with pytest.raises(InputError, match="ran on 2 deployments"):
        deploy(family, chips.h100, dataclasses.replace(FAST, deployment="as_run"))


def test_devices_that_are_half_a_chip_are_counted_as_chips(tmp_path):
    path = records(tmp_path / "r.jsonl", ran=RAN | {"device": "TPU v4", "tensor_parallel": 8})
    found = deploy(family_of(path), chips.tpu_v4, dataclasses.replace(FAST, deployment="as_run"))
    assert {one.num_chips for one in found.found} == {4}


def test_what_ran_survives_csv(tmp_path):
    trials = read_trials([records(tmp_path / "r.jsonl")])
    path = tmp_path / "trials.csv"
    with open(path, "w", newline="") as stream:
        write_csv(trials, stream)
    again = read_trials([path])
    assert again.deployments == trials.deployments
    assert len(trials.deployments) == 1
    assert (again.deployment == 0).all()
    plain = read_trials([records(tmp_path / "old.jsonl", ran=None)])
    assert (plain.deployment == -1).all()


def test_words_and_files_say_the_chips_and_the_batch(family, law, tmp_path):
    said = priced_for(law)
    for one in law.deployments:
        assert f"{one.batch:,.0f} for {one.model}" in said
    assert "cheapest that fits" in said
    trials = read_trials([records(tmp_path / "r.jsonl")])
    results = find_results(trials, [chips.b200.priced("specialty")], FAST)
    assert said in results.answers[0]
    write_results(results, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "law.json").read_text())["laws"][0]
    assert stored["usd_per_hour"]["basis"] == "specialty"
    assert [row["tensor_parallel"] for row in stored["deployments"]] == [d.num_chips for d in law.deployments]
    assert {row["weight_dtype"] for row in stored["deployments"]} == {"bfloat16"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "chips a copy" in page
    assert not (tmp_path / "out" / "sensitivity.csv").exists()


def test_a_batch_that_these_traces_cannot_fill_is_noted(tmp_path):
    short = records(
        tmp_path / "r.jsonl",
        models=("qwen3-0.6b",),
        change=lambda record: dataclasses.replace(record, generated_tokens=record.generated_tokens // 10),
    )
    law = find_law(family_of(short), chips.b200, FAST)
    (note,) = [note for note in law.notes if "batches are what fits" in note]
    assert "qwen3-0.6b" in note
    assert "56 samples" in note
    alone = find_law(family_of(short), chips.b200, dataclasses.replace(FAST, batch=56))
    assert alone.costs[-1] > 1.1 * law.costs[-1]
    assert not [note for note in alone.notes if "batches are" in note]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deployment": "dearest"}, "must be one of cheapest, as_run, fewest_chips"),
        ({"tensor_parallel": 1.5}, "tensor_parallel=1.5 must be a whole number"),
        ({"batch": -3}, "batch=-3 must be"),
        ({"weight_dtype": "int3"}, "int3"),
        ({"share_prefix": "yes"}, "share_prefix"),
        ({"cost_mode": "paper", "batch": 4}, "batch: not read with cost_mode=paper"),
        ({"cost_mode": "paper", "share_prefix": False}, "share_prefix: not read"),
        ({"cost_mode": "reference", "deployment": "as_run"}, "as_run needs cost_mode=exact"),
        ({"cost_mode": "paper", "sensitivity": True}, "sensitivity needs cost_mode=exact"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        LawOptions(**change)


def test_what_flags_leave_open_is_not_given():
    options = LawOptions(tensor_parallel=0, batch=0.0, weight_dtype="", occupancy=0.0)
    assert options == LawOptions()
    assert options.given == {}
    assert LawOptions(weight_dtype="f32").weight_dtype == "float32"


def test_modes_with_free_weights_have_no_deployment(family):
    law = find_law(family, chips.b200, dataclasses.replace(FAST, cost_mode="paper"))
    assert law.deployments == ()
    assert priced_for(law) == ""
    with pytest.raises(InputError, match="sensitivity needs cost_mode=exact"):
        sensitivity([family], chips.b200, dataclasses.replace(FAST, cost_mode="paper"))


@pytest.fixture(scope="module")
def survived(tmp_path_factory):
    path = records(tmp_path_factory.mktemp("survived") / "r.jsonl", models=("qwen3-0.6b", "qwen3-32b"))
    options = dataclasses.replace(FAST, sensitivity=True, frontier="paper")
    return find_results(read_trials([path]), [chips.b200], options)


def test_sensitivity_tries_chips_and_batches_together(family):
    labels = [variant.label for variant in variants(family, chips.b200, FAST)]
    assert len(labels) == len(set(labels))
    assert {"8 chips a copy, the batch that fits", "1 chip a copy, batch 1", "int8 KV"} <= set(labels)
    assert sum("a copy" in label for label in labels) == 4 * 4
    assert "overlap=max" not in [
        variant.label for variant in variants(family, chips.b200, dataclasses.replace(FAST, overlap="max"))
    ]


def test_what_survives_is_counted_and_where_it_flips_is_named(survived):
    (one,) = survived.sensitivity
    assert len(one.deployments) == 8 + 4 * 4
    assert one.refused == ()
    for row in one.rows:
        assert row.tried == len(one.deployments)
        assert row.survives == row.tried - len(row.flips)
        assert row.flips_at == (row.flips[0] if row.flips else "")
        assert set(row.flips) <= set(one.deployments)
    rows = {row.statement: row for row in one.rows}
    # Weights are read by one sequence alone, which dense and sparse share: attention hardly counts.
    share = rows["attention is most of the cost"]
    assert "1 chip a copy, batch 1" in share.flips or share.said != "holds"
    flipped = [row for row in one.rows if row.flips]
    assert flipped
    assert len(one.sentences) == len(flipped)
    assert f"flips first at {flipped[0].flips_at}" in one.sentences[0]
    (whole,) = survival_sentence(survived.sensitivity)
    assert whole.startswith(f"{len(one.rows) - len(flipped)} of {len(one.rows)} sentences")
    assert whole in survived.answers


def test_a_sensitivity_is_written(survived, tmp_path):
    write_results(survived, tmp_path / "out")
    with open(tmp_path / "out" / "sensitivity.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["survives"]) for row in rows] == [row.survives for row in survived.sensitivity[0].rows]
    stored = json.loads((tmp_path / "out" / "law.json").read_text())
    assert "sensitivity.csv" in stored["files"]
    assert len(stored["sensitivity"][0]["rows"]) == len(rows)
    assert "What survives other deployments" in (tmp_path / "out" / "report.html").read_text()


def test_a_saving_survives_while_it_is_of_the_same_size():
    assert same(Said("2.0× less", 2.0), Said("2.9× less", 2.9))
    assert not same(Said("2.0× less", 2.0), Said("3.1× less", 3.1))
    assert not same(Said("never", 0.0), Said("1.0× less", 1.0))
    assert same(Said("never", 0.0), Said("never", 0.0))
    assert not same(Said("+1 points", "gains"), Said("-1 points", "loses"))


def test_two_runs_of_one_law_say_the_same(tmp_path):
    family = family_of(records(tmp_path / "r.jsonl", models=("qwen3-0.6b",), questions=10))
    one, two = (sensitivity([family], chips.b200, FAST, jobs=jobs) for jobs in (1, 2))
    assert one == two
