"""``kinetics plan`` at its door: from traces and without, what it writes, and mistakes in one line."""

import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A file of 40 questions with three samples of two models that are alike."""
    rng = np.random.default_rng(5)
    lines = ["source,model,dataset,problem_id,trial,gen_tokens,correct,max_tokens,temperature"]
    for q, p in enumerate(rng.beta(1, 1, 40)):
        for model in ("Qwen3-0.6B", "Qwen3-1.7B"):
            for trial in range(3):
                right = int(rng.random() < p)
                lines.append(f"s,{model},d,{q},{trial},{rng.integers(200, 4000)},{right},8192,0.6")
    file = tmp_path_factory.mktemp("traces") / "traces.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_the_command_plans_from_traces_and_writes_json(traces, zygote, tmp_path):
    done = zygote(
        "plan", f"--traces={traces}", "--usd=1", "--detect=2points", "--json=plan.json", cwd=tmp_path
    )
    assert (done["code"], done["err"]) == (0, "")
    assert "cannot tell 2 points: 40 questions" in done["out"]
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["detect"] == 0.02
    assert plan["chip_seconds"] <= plan["budget_chip_seconds"] == pytest.approx(3600 / plan["usd_per_hour"])
    (found,) = plan["contrasts"]
    assert found["questions"] == 40
    assert all(len(arm["more_trials_of_pilot_questions"]) in (0, 40) for arm in found["arms"])


def test_more_dollars_an_hour_buy_fewer_samples(zygote, tmp_path):
    bought = []
    for price in ("2", "20"):
        done = zygote(
            "plan", "--usd=3", f"--usd_per_hour={price}", "--json=p.json", "--tokens=8000", cwd=tmp_path
        )
        assert done["code"] == 0, done["err"]
        bought.append(json.loads((tmp_path / "p.json").read_text())["contrasts"][0]["samples"])
    assert bought[0] > 5 * bought[1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "give --detect=2points, a budget"),
        (("--detect=two",), "--detect=two must be points"),
        (("--usd=1", "--chip_hours=1"), "not both"),
        (("--usd=1", "--chip=b300"), "has no public list price: give --usd_per_hour"),
        (("--detect=2", "--usd_per_hour=0"), "--usd_per_hour=0.0 must be a number above 0"),
        (("--detect=2", "--models=qwen3-9b"), "qwen3-9b"),
        (("--detect=2", "--traces=nothing.csv"), "nothing.csv"),
        (("--detect=2", "--policies=;"), "must name at least one"),
        (("--detect=2", "--power=2"), "power=2.0"),
        (("--detect=2", "--questions=1"), "questions=1 must be at least 2"),
        (("--usd=0",), "--usd=0.0 must be a number above 0"),
        (("--chip_hours=nan",), "--chip_hours=nan must be a number above 0"),
        (("--detect=2", "--arms=x"), "--arms: read with --traces only"),
        (("--detect=2", "--traces=x.csv", "--tokens=9"), "--tokens: not read with --traces"),
    ],
)
def test_a_mistake_is_one_line(flags, said, zygote, tmp_path):
    done = zygote("plan", *flags, cwd=tmp_path)
    assert done["code"] == 2, done["out"]
    assert said in done["err"]
    assert done["err"].startswith("plan: ")
    assert done["err"].count("\n") == 1


def test_traces_of_two_data_sets_must_be_told_apart(traces, zygote, tmp_path):
    both = tmp_path / "both.csv"
    rows = traces.read_text().splitlines()
    at = rows[0].split(",").index("gen_tokens")

    def other(row):  # longer by seven tokens: copies would count once
        cells = row.replace("s,", "t,", 1).split(",")
        return ",".join([*cells[:at], str(int(cells[at]) + 7), *cells[at + 1 :]])

    both.write_text("\n".join([*rows, *map(other, rows[1:])]) + "\n")
    done = zygote("plan", f"--traces={both}", "--detect=2", cwd=tmp_path)
    assert (done["code"], done["err"].count("\n")) == (2, 1)
    assert "--datasets, --sources: d (" in done["err"]
    assert zygote("plan", f"--traces={both}", "--detect=2", "--sources=^t$", cwd=tmp_path)["code"] == 0
    wrong = zygote("plan", f"--traces={both}", "--detect=2", "--sources=(", cwd=tmp_path)
    assert (wrong["code"], wrong["err"].count("\n")) == (2, 1)
    assert "--sources=( is no regular expression" in wrong["err"]
