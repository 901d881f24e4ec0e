"""What is stored is taken only as what it is: a sample field by field, policies as text or as data."""

import dataclasses
import json
import math

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, TopK, UnknownPolicy, policy_to_dict
from kinetics_jax.records import Sample, SampleRecord

GOOD = {
    "task": "t",
    "problem_id": "p",
    "trial": 0,
    "prompt_tokens": 3,
    "tokens": [5, 6],
    "text": "x",
    "finish_reason": "stop",
    "logprobs": [-0.5, None],
    "model": "m",
    "policy": {"name": "dense"},
    "seed": 1,
    "temperature": 0.6,
    "max_tokens": 8,
}
RECORD = {
    "run": "r",
    "model": "qwen3-8b",
    "task": "aime24",
    "problem_id": "2024-I-1",
    "trial": 0,
    "prompt_tokens": 100,
    "generated_tokens": 2000,
    "correct": True,
}
MINE = {"name": "clusters", "centroids": 64, "levels": [2, 4]}


def test_a_whole_sample_is_read_and_written_back_as_it_was():
    line = json.dumps(GOOD, separators=(",", ":"))
    sample = Sample.from_json(line)
    assert sample.tokens == (5, 6)
    assert math.isnan(sample.logprobs[1])
    assert sample.to_json() == line
    least = {
        k: v
        for k, v in GOOD.items()
        if k in ("task", "problem_id", "trial", "prompt_tokens", "tokens", "finish_reason", "model")
    }
    assert Sample.from_json(json.dumps(least)).policy == Dense()
    nulls = dict.fromkeys(("text", "logprobs", "policy", "seed", "temperature", "max_tokens"))
    assert Sample.from_json(json.dumps(least | nulls)) == Sample.from_json(json.dumps(least))


def test_fields_of_another_version_are_kept():
    line = json.dumps(GOOD | {"entropy": [0.5, 1.5], "provenance": {"weights": "ab"}})
    sample = Sample.from_json(line)
    assert sample.extra == {"entropy": [0.5, 1.5]}
    assert json.loads(sample.to_json()) == json.loads(line)
    assert hash(sample) == hash(dataclasses.replace(sample))


@pytest.mark.parametrize(
    "change",
    [
        {"trial": -5},
        {"trial": True},
        {"trial": "0"},
        {"trial": 1.0},
        {"trial": None},
        {"trial": 10**30},
        {"prompt_tokens": -1},
        {"prompt_tokens": 2.5},
        {"prompt_tokens": None},
        {"tokens": "56"},
        {"tokens": ["5", "6"]},
        {"tokens": [5, -6]},
        {"tokens": [5, True]},
        {"tokens": [5.0, 6.0]},
        {"tokens": [5, None]},
        {"tokens": {"5": 6}},
        {"tokens": 5},
        {"tokens": [5, 10**40]},
        {"tokens": [[5, 6]]},
        {"tokens": None},
        {"task": ""},
        {"task": 7},
        {"problem_id": ""},
        {"problem_id": True},
        {"problem_id": ["p"]},
        {"model": None},
        {"text": ["x"]},
        {"text": 5},
        {"finish_reason": "bored"},
        {"finish_reason": None},
        {"finish_reason": ["stop"]},
        {"logprobs": [-0.5]},
        {"logprobs": "ab"},
        {"logprobs": [True, False]},
        {"logprobs": ["a", "b"]},
        {"logprobs": [3.0, 0.0]},
        {"logprobs": {}},
        {"seed": -0.5},
        {"seed": True},
        {"seed": 2**70},
        {"temperature": -1},
        {"temperature": "0.6"},
        {"temperature": True},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"policy": 3},
        {"policy": []},
        {"policy": {"k": 4}},
        {"policy": {"name": "topk", "k": -1}},
        {"policy": "top k"},
        {"provenance": "me"},
        {"provenance": [1]},
    ],
    ids=str,
)
def test_a_sample_of_wrong_values_is_refused_in_one_line_that_names_the_field(change):
    with pytest.raises(InputError) as caught:
        Sample.from_json(json.dumps(GOOD | change))
    (field,) = change
    assert any(word in str(caught.value) for word in (field.rstrip("s"), "token id", "TopK"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"temperature":0.6', '"temperature":NaN', "NaN is no number"),
        ('"temperature":0.6', '"temperature":1e999', "temperature=inf"),
        ("-0.5", "-Infinity", "-Infinity is no number"),
        ("-0.5", "-1e999", "not finite"),
        ('"trial":0', '"trial":0,"trial":1', "has trial twice"),
        ('{"name":"dense"}', '{"name":"dense","name":"topk"}', "policy has name twice"),
        ('"trial":0', '"trial":' + "9" * 5000, "not a whole JSON sample"),
        ('"trial":0,', "", "lacks trial"),
        ('"task":"t"', '"task":"t', "not a whole JSON"),
    ],
)
def test_lines_that_are_no_json_of_a_sample(old, new, words):
    line = json.dumps(GOOD, separators=(",", ":"))
    assert old in line
    with pytest.raises(InputError, match=words) as caught:
        Sample.from_json(line.replace(old, new))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_cannot_be_made():
    whole = Sample.from_json(json.dumps(GOOD))
    for change in (
        {"trial": -1},
        {"tokens": "ab"},
        {"logprobs": (0.0,)},
        {"policy": "dense"},
        {"seed": 1.5},
        {"temperature": math.nan},
        {"max_tokens": 0},
    ):
        with pytest.raises(InputError):
            dataclasses.replace(whole, **change)
    with pytest.raises(InputError, match="cannot be written"):
        dataclasses.replace(whole, extra={"x": math.nan}).to_json()


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("dense", Dense()),
        ("topk(k=512)", TopK(512)),
        ("block_topk(16, 64)", BlockTopK(16, 64)),
        (" dense ", Dense()),
    ],
)
def test_a_policy_may_be_a_text_as_in_a_csv(text, policy):
    assert SampleRecord.from_json(json.dumps({**RECORD, "policy": text})).policy == policy
    assert Sample.from_json(json.dumps({**GOOD, "policy": text})).policy == policy


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_policy_is_dense_as_in_a_csv(empty):
    assert SampleRecord.from_json(json.dumps({**RECORD, "policy": empty})).policy == Dense()


def test_optional_fields_that_are_null_are_as_left_out():
    nulls = dict.fromkeys(("finish_reason", "seed", "max_tokens", "temperature"))
    assert SampleRecord.from_json(json.dumps({**RECORD, **nulls})) == SampleRecord(**RECORD)


@pytest.mark.parametrize(
    "stored",
    [
        MINE,
        {"name": "topk", "k": 4, "decay": 0.5},
        {"name": "per_layer", "layers": [{"name": "dense"}, MINE]},
    ],
)
def test_a_policy_that_is_not_known_is_kept_and_refused_only_where_it_is_used(stored):
    sample = Sample.from_json(json.dumps({**GOOD, "policy": stored}))
    assert isinstance(sample.policy, UnknownPolicy)
    assert policy_to_dict(sample.policy) == stored
    assert Sample.from_json(sample.to_json()) == sample
    assert sample.policy == Sample.from_json(json.dumps({**GOOD, "policy": stored})).policy
    record = sample.graded("run", True)
    assert SampleRecord.from_json(record.to_json()) == record
    assert stored["name"] in sample.policy.label
    for use in (
        lambda p: p.kv_reads(8),
        lambda p: p.on_pages(16),
        lambda p: p.at_layer(0),
        lambda p: p.kv_budget,
        lambda p: p.check_layers(2),
    ):
        with pytest.raises(InputError, match="is not known here") as caught:
            use(sample.policy)
        assert stored["name"] in str(caught.value)


def test_an_unknown_policy_as_text_is_kept_too():
    record = SampleRecord.from_json(json.dumps({**RECORD, "policy": "clusters(64)"}))
    assert record.policy.label == "clusters(64)"
    assert SampleRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"correct": true', '"correct": true, "correct": false', "has correct twice"),
        ('"trial": 0', '"trial": ' + "7" * 6000, "not a whole JSON sample record"),
        ('"trial": 0', '"trial": 0, "x": {"a": 1, "a": 2}', None),
    ],
)
def test_records_with_repeated_or_endless_fields(old, new, words):
    line = json.dumps(RECORD).replace(old, new)
    if words is None:
        assert SampleRecord.from_json(line).extra == {"x": {"a": 2}}
    else:
        with pytest.raises(InputError, match=words):
            SampleRecord.from_json(line)


def test_a_record_that_json_has_not_is_one_line():
    with pytest.raises(InputError, match="cannot be written"):
        SampleRecord(**RECORD, extra={"entropy": math.inf}).to_json()


SHAPE = {"vocab_size": 9, "model_dim": 8, "ffn_dim": 8, "num_layers": 1, "num_query_heads": 2}
SHAPE |= {"num_kv_heads": 1, "head_dim": 4, "eos_token_ids": [1], "moe": None}


def test_a_record_carries_the_shape_of_a_model_that_is_no_preset():
    given = GOOD | {"provenance": {"shape": SHAPE}}
    mine = Sample.from_json(json.dumps(given | {"model": "mine"})).graded("run", True)
    assert SampleRecord.from_json(mine.to_json()).shape == SHAPE
    preset = Sample.from_json(json.dumps(given | {"model": "qwen3-8b"})).graded("run", True)
    assert "shape" not in json.loads(preset.to_json())


def test_a_shape_of_another_kind_is_one_line():
    with pytest.raises(InputError, match="shape='large' must be an object"):
        SampleRecord.from_json(json.dumps({**RECORD, "shape": "large"}))
