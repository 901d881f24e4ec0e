"""Sample records: what is written is read back, and a bad line says what is wrong with it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK
from kinetics_jax.records import RecordedDeployment, SampleRecord

GOOD = {
    "run": "r",
    "model": "qwen3-8b",
    "task": "aime24",
    "problem_id": "2024-I-1",
    "trial": 0,
    "prompt_tokens": 100,
    "generated_tokens": 2000,
    "correct": True,
}


@given(st.text(min_size=1), st.integers(0, 10**6), st.booleans(), st.dictionaries(st.text(), st.integers()))
def test_round_trip(text, number, flag, extra):
    record = SampleRecord(
        run=text,
        model="m",
        policy=BlockTopK(16, 4),
        task="t",
        problem_id=text,
        trial=number,
        prompt_tokens=number,
        generated_tokens=number,
        correct=flag,
        finish_reason="length",
        max_tokens=number + 1,
        temperature=0.6,
        extra={key: value for key, value in extra.items() if key not in SampleRecord.__dataclass_fields__},
    )
    line = record.to_json()
    assert "\n" not in line
    assert SampleRecord.from_json(line) == record


def test_defaults_and_unknown_fields():
    record = SampleRecord.from_json(json.dumps({**GOOD, "text": "so, 5", "problem_id": 7}))
    assert record.policy.name == "dense"
    assert record.problem_id == "7"
    assert record.extra == {"text": "so, 5"}
    assert record.key == SampleRecord.from_json(record.to_json()).key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": None}, "correct=None must be true or false"),
        ({"correct": 1}, "correct=1 must be"),
        ({"generated_tokens": -4}, "generated_tokens=-4 must be a whole number ≥ 0"),
        ({"generated_tokens": 1.5}, "generated_tokens=1.5"),
        ({"prompt_tokens": True}, "prompt_tokens=True"),
        ({"trial": "a"}, "trial='a'"),
        ({"finish_reason": "bored"}, "finish_reason='bored' must be one of"),
        ({"policy": {"name": "topk"}}, r"policy topk takes"),
        ({"policy": 5}, "must be an object with a name, or a text"),
        ({"policy": {"name": 5}}, "must be an object with a name"),
        ({"policy": "topk(k=0)"}, "k=0 must be an integer"),
        ({"policy": "dense; rm"}, "is not of the form"),
        ({"problem_id": True}, "problem_id=True must be a text"),
        ({"seed": "7"}, "seed='7' must be a whole number"),
        ({"seed": False}, "seed=False"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"generated_tokens": 10**30}, "must be a whole number"),
        ({"temperature": "hot"}, "temperature='hot' must be a finite number"),
        ({"temperature": -1}, "temperature=-1"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"model": None}, "model=None must be a text"),
    ],
)
def test_bad_values_are_one_clear_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        SampleRecord.from_json(json.dumps({**GOOD, **change}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["", "{", json.dumps(GOOD)[:-9], "[1]", "3", '{"run": "r"}', "\x00"])
def test_torn_and_foreign_lines_are_refused(line):
    with pytest.raises(InputError):
        SampleRecord.from_json(line)


def test_deep_nesting_is_refused():
    with pytest.raises(InputError, match=r"nested too deeply|lacks|JSON"):
        SampleRecord.from_json('{"a":' * 100_000 + "1" + "}" * 100_000)


RAN = {
    "slots": 8,
    "tensor_parallel": 2,
    "weight_dtype": "int8",
    "kv_dtype": "bfloat16",
    "compute_dtype": "bfloat16",
    "page_size": 16,
}


def test_what_a_sample_ran_on_travels_and_makes_no_other_sample():
    old = SampleRecord.from_dict(GOOD)
    assert old.deployment is None
    assert "deployment" not in old.to_json()
    ran = SampleRecord.from_dict(GOOD | {"deployment": RAN | {"power": 9}})
    assert ran == old
    again = SampleRecord.from_json(ran.to_json())
    assert again.deployment == RAN | {"power": 9}  # what another version wrote is kept
    read = RecordedDeployment.from_stored(again.deployment)
    assert read.to_stored() == RAN | {"device": ""}


@pytest.mark.parametrize(
    ("ran", "message"),
    [
        ("one H100", "deployment='one H100' must be an object"),
        ({"slots": 8}, "deployment lacks tensor_parallel, weight_dtype"),
        (RAN | {"slots": 0}, "deployment.slots=0 must be"),
        (RAN | {"kv_dtype": 16}, "deployment.kv_dtype=16 must be a text"),
        (RAN | {"device": 16}, "deployment.device=16 must be a text"),
    ],
)
def test_a_deployment_that_is_not_whole_is_refused(ran, message):
    with pytest.raises(InputError, match=message):
        SampleRecord.from_dict(GOOD | {"deployment": ran})
