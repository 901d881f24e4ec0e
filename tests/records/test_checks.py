"""Options take any library's numbers and no other things, and keep Python's own."""

import dataclasses
import fractions
import json

import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax.checks import (
    check_flag,
    check_number,
    check_stop_strings,
    check_token_ids,
    check_whole,
    is_text,
    shown,
)
from kinetics_jax.errors import InputError
from kinetics_jax.policies import (
    BlockTopK,
    PerLayer,
    RandomSelect,
    SlidingWindow,
    TopK,
    parse_policy,
    policy_to_dict,
)
from kinetics_jax.records import Problem, RepetitionRule, SamplingParams, ThinkingBudget
from kinetics_jax.sweep.experiment import EngineChoice, Slice

WHOLE = [np.int64(5), np.int8(5), np.uint32(5), np.array(5), jnp.int32(5), jnp.array(5), 5]
NOT_WHOLE = [
    True,
    np.bool_(True),
    np.array(True),
    jnp.array(True),
    5.0,
    np.float32(5),
    "5",
    b"5",
    None,
    [5],
    np.array([5]),
    jnp.array([5]),
    5 + 0j,
    object(),
    float("nan"),
    10**400,
    -(10**5000),
]


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_whole_numbers_of_any_library(value):
    assert type(check_whole("x", value, 0)) is int
    assert check_whole("x", value, 5, 5) == 5
    for made in (
        SamplingParams(top_k=value, seed=value),
        RepetitionRule(window=value, block=value, threshold=value),
        ThinkingBudget(end=value, max_tokens=value),
        TopK(value, local=value, sink=value),
        Slice(slots=value),
        BlockTopK(value, value, dense_layers=value),
        RandomSelect(value, seed=value),
        EngineChoice(page_size=value),
        SlidingWindow(value, page_size=value),
    ):
        fields = dataclasses.asdict(made)
        assert 5 in fields.values()
        assert json.dumps(fields)
        assert made == type(made)(**fields)


@pytest.mark.parametrize("value", NOT_WHOLE, ids=lambda v: type(v).__name__)
def test_what_is_no_whole_number_is_one_line(value):
    for make in (
        lambda: check_whole("x", value, 0),
        lambda: SamplingParams(seed=value),
        lambda: TopK(value),
        lambda: BlockTopK(16, value),
        lambda: RepetitionRule(block=value),
        lambda: ThinkingBudget(end=value),
        lambda: RandomSelect(4, seed=value),
        lambda: Slice(model=value),
        lambda: EngineChoice(chunk_steps=value),
        lambda: ThinkingBudget(end=1, max_tokens=5, close=[value, 1]),
        lambda: Problem(task="t", problem_id="p", prompt=(1, value)),
    ):
        with pytest.raises(InputError) as caught:
            make()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.5),
        np.float64(0.5),
        np.array(0.5),
        jnp.bfloat16(0.5),
        jnp.array(0.5),
        np.float16(0.5),
        fractions.Fraction(1, 2),
    ],
    ids=repr,
)
def test_numbers_of_any_library(value):
    made = SamplingParams(temperature=value, top_p=value, min_p=value)
    assert made == SamplingParams(temperature=0.5, top_p=0.5, min_p=0.5)
    assert type(made.temperature) is type(made.min_p) is float
    assert json.dumps(dataclasses.asdict(made))


def test_a_whole_temperature_stays_one():
    assert type(SamplingParams(temperature=0).temperature) is int
    assert type(SamplingParams(temperature=np.int32(1)).temperature) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.bool_(False),
        "0.5",
        None,
        [0.5],
        np.array([0.5]),
        float("inf"),
        np.float32("nan"),
        10**400,
        1j,
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_number_is_one_line(value):
    for field in ("temperature", "top_p", "min_p"):
        with pytest.raises(InputError, match=f"^{field}=.* must be a finite number$"):
            SamplingParams(**{field: value})
    with pytest.raises(InputError):
        check_number("x", value)


def test_the_word_for_off_of_other_engines():
    assert SamplingParams(top_k=-1) == SamplingParams(top_k=0)
    assert SamplingParams(top_k=np.int64(-1)).top_k == 0
    with pytest.raises(InputError, match=r"top_k=-2 must be .* .0 or -1 turns it off"):
        SamplingParams(top_k=-2)
    with pytest.raises(InputError, match=r"top_p=0 must be .* temperature=0"):
        SamplingParams(top_p=0)


def test_truth_values():
    assert check_flag("x", np.bool_(True)) is True
    assert check_flag("x", jnp.array(False)) is False
    for value in (1, 0, "no", None, np.int8(1), np.array([True])):
        with pytest.raises(InputError, match="must be true or false"):
            check_flag("x", value)
    with pytest.raises(InputError, match="aligned=1 must be"):
        BlockTopK(16, 4, aligned=1)


def test_stop_strings():
    assert check_stop_strings("ab") == ("ab",)
    assert check_stop_strings(["ab", "c"]) == ("ab", "c")
    assert check_stop_strings(text for text in "ab") == ("a", "b")
    assert check_stop_strings(None) == check_stop_strings([]) == ()
    for wrong in ("", [""], [b"a"], b"a", {"a": 1}, 5, ["a", None], ["\ud83d"], ["x" * 5000], ["x"] * 999):
        with pytest.raises(InputError, match="stop_strings") as caught:
            check_stop_strings(wrong)
        str(caught.value).encode()
        assert "\n" not in str(caught.value)


def test_token_ids():
    for values in ([1, 2], (1, 2), range(1, 3), np.array([1, 2]), jnp.array([1, 2]), {1, 2}):
        found = check_token_ids("ids", values)
        assert found == (1, 2)
        assert {type(token) for token in found} == {int}
    for wrong in (5, "12", None, np.ones((2, 2), int), [1.0], [-1], [True]):
        with pytest.raises(InputError, match="ids"):
            check_token_ids("ids", wrong)


def test_what_is_shown_is_short_and_one_line():
    class Hostile:
        def __repr__(self):
            raise RuntimeError("no")

    assert shown(np.arange(9999).reshape(-1, 3)).count("\n") == 0
    assert len(shown("x" * 10_000)) <= 80
    assert shown(10**9999) == "(a value of type int)"
    assert shown(Hostile()) == "(a value of type Hostile)"
    assert shown("\ud83d").isascii()
    assert is_text("\u4f60\U0001f600")
    assert not is_text("\udc80")


@pytest.mark.parametrize("prompt", ["\ud83d", "half \udc00 of it"])
def test_half_a_character_is_no_prompt(prompt):
    with pytest.raises(InputError, match="t/p: the prompt holds half of a character"):
        Problem(task="t", problem_id="p", prompt=prompt)
    with pytest.raises(InputError, match="problem_id="):
        Problem(task="t", problem_id=prompt, prompt="x")


def test_prompts_of_numpy_ids_are_pythons():
    problem = Problem(task="t", problem_id="p", prompt=tuple(np.arange(3)))
    assert problem.prompt == (0, 1, 2)
    assert {type(token) for token in problem.prompt} == {int}


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "(" * 9999,
        "-" * 60_000 + "1",
        "topk(k=" + "9" * 9999 + ")",
        "topk(k=\0)",
        "\ud800",
        "x" * 10**6,
        "topk({[]: 1})",
        "topk(k=True)",
        "topk(k=5.0)",
        "topk(k=1_0j)",
        "per_layer(" * 500,
    ],
)
def test_hostile_policies_are_one_line(text):
    with pytest.raises(InputError) as caught:
        parse_policy(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_policies_of_numpy_numbers_are_written_down_the_same():
    policies = [PerLayer([TopK(np.int64(k)) for k in (4, 8)]), PerLayer((TopK(4), TopK(8)))]
    assert policies[0] == policies[1]
    assert len({json.dumps(policy_to_dict(policy)) for policy in policies}) == 1
    for wrong in (5, "dense", None):
        with pytest.raises(InputError, match="PerLayer: layers="):
            PerLayer(wrong)
