"""A problem says what is asked, or why it cannot be."""

import dataclasses

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem


def test_text_and_token_prompts():
    text = Problem(task="aime24", problem_id="2024-I-1", prompt="How many?", answer="204")
    tokens = Problem(task="suite", problem_id="7", prompt=(0, 5, 271), extra={"level": 2})
    assert text.answer == "204"
    assert text.extra == {}
    assert tokens.prompt == (0, 5, 271)
    with pytest.raises(dataclasses.FrozenInstanceError):
        text.answer = "205"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"task": ""}, "task=''"),
        ({"problem_id": ""}, "problem_id=''"),
        ({"problem_id": 7}, "problem_id=7"),
        ({"prompt": "  \n"}, "prompt is empty"),
        ({"prompt": ()}, "prompt is empty"),
        ({"prompt": [1, 2]}, "prompt is a list"),
        ({"prompt": (1, -2)}, "holds -2"),
        ({"prompt": (1, True)}, "holds True"),
        ({"prompt": (1, "2")}, "holds '2'"),
        ({"extra": 3}, "extra=3"),
    ],
)
def test_a_wrong_field_is_named(wrong, what):
    fields = {"task": "t", "problem_id": "1", "prompt": "q"} | wrong
    with pytest.raises(InputError, match=what.replace("(", r"\(")):
        Problem(**fields)
