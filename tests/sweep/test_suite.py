"""The built-in suite as a sweep, with random weights of the shipped models' shapes."""

import json

import pytest

from kinetics_jax.commands.configs import load_config
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets
from kinetics_jax.sweep.model_sources import open_tokenizer, shape
from kinetics_jax.sweep.options import read
from kinetics_jax.sweep.sweep import Sweep
from kinetics_jax.tasks.registers import VOCABULARY, read_text
from kinetics_jax.tasks.registers.shipped import shipped_models
from kinetics_jax.training import SIZES


@pytest.fixture
def options():
    return load_config("suite").to_dict() | {
        "models": ("registers-xs=random", "registers-s=random"),
        "policies": ("dense",),
        "limit": 10,
        "trials": 2,
        "max_tokens": 16,
        "bootstrap": 10,
        "splits": 1,
        "max_context": 192,
        "prefill_chunk": 64,
        "unroll": False,
        "slice": {"chip": "b200", "slots": 8},
    }


def test_trained_and_priced_shapes_are_the_same():
    assert {f"registers-{size}": config for size, config in SIZES.items()} == {
        name: config for name, config in presets.items() if name.startswith("registers-")
    }
    assert all(config.vocab_size == VOCABULARY for config in SIZES.values())


def test_from_problems_to_the_report(options, tmp_path):
    outcome = Sweep(read(options), tmp_path / "out", quiet=True, settings=options).run()
    assert outcome.complete
    records = [json.loads(x) for x in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert len(records) == 2 * 10 * 2
    assert {record["task"] for record in records} == {"registers"}
    assert not any(record["correct"] for record in records)  # random weights solve nothing
    assert all(record["reason"].startswith(("step 1: wrong", "right so far")) for record in records)
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    sample = json.loads(next((tmp_path / "out").glob("cells/**/samples-*.jsonl")).open().readline())
    assert list(read_text(sample["text"])) == sample["tokens"]


def test_another_seed_is_other_problems():
    config, loaded = load_config("suite"), []
    for config.seed in (0, 1):
        loaded.append(read(config.to_dict() | {"limit": 10}).tasks[0].load())
    first, second = loaded
    assert first.problems[0].prompt != second.problems[0].prompt


def test_shipped_models_have_their_shapes():
    try:
        folders = shipped_models()
    except InputError as error:
        pytest.skip(f"no shipped weights: {error}")
    for choice in read(load_config("suite").to_dict()).models:
        assert choice.name.removeprefix("registers-") in folders
        assert shape(choice) == presets[choice.name]
        assert open_tokenizer(choice).vocab_size == VOCABULARY
