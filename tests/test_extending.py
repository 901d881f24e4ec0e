"""docs/extending.md: its five extensions, run from a folder outside of the tree."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kinetics_jax.chips import get_chip
from kinetics_jax.errors import InputError
from kinetics_jax.policies import UnknownPolicy, find_policy
from kinetics_jax.policies.base import registry
from kinetics_jax.records.sample import Sample
from kinetics_jax.scaling import LawOptions, find_results, read_trials, write_csv
from kinetics_jax.storage.line_log import read_lines
from kinetics_jax.sweep.shorter_caps import cut

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
FILES = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
MOST_LINES = 40


def python(folder, *arguments):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),  # the second run has the first one's programs
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def sweep(folder, trials, *more):
    flags = (
        "--models=mine=./mine",
        "--tasks=letters.py",
        "--chip=my_chip.toml",
        "--policies=dense,every_nth.py:EveryNth(stride=3)",
        f"--trials={trials}",
        "--out=out",
        *more,
    )
    return python(folder, "-m", "experiments.sweep", *flags)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's files, its model made, and its sweep run in two goes."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    python(folder, "make_model.py")
    sweep(folder, 2)
    (folder / "first.jsonl").write_bytes((folder / "out" / "records.jsonl").read_bytes())
    return folder, sweep(folder, 4)


@pytest.mark.parametrize("name", FILES)
def test_an_extension_is_short(name):
    assert len(FILES[name].splitlines()) <= MOST_LINES


def test_there_are_five():
    expected = {"every_nth.py", "letters.py", "make_model.py", "my_chip.toml", "mean_first.py"}
    assert set(FILES) == expected


def test_one_sweep_of_all_of_them_is_resumed_graded_and_ends_with_a_law(folder):
    folder, printed = folder
    first = set((folder / "first.jsonl").read_text().splitlines())
    records = (folder / "out" / "records.jsonl").read_text().splitlines()
    assert len(first) == 2 * 12 * 2
    assert len(records) == 2 * 12 * 4
    assert first < set(records)  # what was there was kept
    assert f"{len(records)} of {len(records)} samples" in printed
    law = json.loads((folder / "out" / "report" / "law.json").read_text())["laws"][0]
    assert law["models"] == ["mine"]
    assert law["chip"] == "my_chip"
    assert {cell["policy"] for cell in law["cells"]} == {"dense", "every 3th, newest 8"}
    assert any(json.loads(line)["correct"] for line in records)


def test_its_log_is_read_without_the_policy_the_model_and_the_task(folder, tmp_path):
    folder, _ = folder
    assert "every_nth" not in registry
    path = folder / "out" / "records.jsonl"
    trials = read_trials(path)
    assert {type(policy).__name__ for policy in trials.policies} == {"Dense", "UnknownPolicy"}
    shape = trials.shape_of("mine")
    assert (shape.num_layers, shape.name) == (3, "mine")
    with open(tmp_path / "trials.csv", "w", newline="") as stream:
        write_csv(trials, stream)
    again = read_trials(tmp_path / "trials.csv")
    assert again.policies == trials.policies
    assert again.shape_of("mine") == shape
    for file in (folder / "out").glob("cells/mine/letters/every_nth*"):
        samples = list(read_lines(file, "samples", Sample.from_json))
        assert len(samples) == 12 * 4
        for sample in samples:
            assert isinstance(sample.policy, UnknownPolicy)
            assert Sample.from_json(sample.to_json()) == sample
            short = cut(sample, 2, None).graded("run", True)
            assert short.shape == sample.provenance["shape"]


def test_pricing_says_which_class_is_missing_and_works_with_it(folder):
    folder, _ = folder
    chip = get_chip(str(folder / "my_chip.toml"))
    path = folder / "out" / "records.jsonl"
    options = LawOptions(bootstrap=10, splits=1)
    without = find_results(read_trials(path), [chip], options)
    assert any(f"load its class, which was {folder}/every_nth.py:EveryNth" in why for why in without.skipped)
    cls = find_policy(f"{folder}/every_nth.py:EveryNth")
    try:
        trials = read_trials(path)
        assert cls(3) in trials.policies
        law = find_results(trials, [chip], options).laws[0]
        assert len(law.cells) == 2
        assert law.sizes == (float(trials.shape_of("mine").total_params),)
    finally:
        del registry["every_nth"]


def test_a_back_end_of_ones_own_runs_and_is_named(folder):
    folder, _ = folder
    code = (
        "import jax, jax.numpy as jnp, numpy as np, mean_first, pallas_kernels as pk\n"
        "query, summaries = (jax.random.normal(jax.random.key(n), s) for n, s in"
        " enumerate([(2, 4, 64), (2, 2, 1, 8, 64)]))\n"
        "score = lambda name: pk.page_scores(query, summaries, jnp.array([9, 30]), rows_b=jnp.arange(2),"
        " page_size=4, implementation=name)\n"
        "np.testing.assert_allclose(score('mean_first'), score('reference'), rtol=1e-4, atol=1e-4)\n"
        "print(pk.explain('page_scores', query, summaries, jnp.array([9, 30]), page_size=4))"
    )
    assert "cpu: mean_first" in python(folder, "-c", code)
    flags = ["--models=mine=./mine", "--tasks=letters.py", "--chip=my_chip.toml", "--trials=1"]
    flags += ["--load=mean_first.py", "--out=kernel", "--policies=dense,block_topk(16, 2)"]
    assert "24 of 24 samples" in python(folder, "-m", "experiments.sweep", *flags)


def test_bad_references_are_one_line(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    (tmp_path / "other.py").write_text("X = 3\n")
    for reference, words in (
        (f"{tmp_path}/none.py:X", "there is no file"),
        (f"{tmp_path}/broken.py:X", "importing .* fails .ModuleNotFoundError"),
        (f"{tmp_path}/other.py:Y", "has no Y; define it there"),
        (f"{tmp_path}/other.py:X", "is no policy"),
        ("no_such_package_at_all.policies:X", "there is no module no_such_package_at_all"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            find_policy(reference)
        assert "\n" not in str(caught.value)
