"""What callers may put to a model, and where its answers end: before anything is compiled."""

import dataclasses
import warnings

import pytest

from kinetics_jax import models
from kinetics_jax.engine import Engine
from kinetics_jax.engine.requests import Decoding, RequestReader, default_stop_ids
from kinetics_jax.errors import InputError
from kinetics_jax.models.tokenizers.chat_template import ChatTemplateError
from kinetics_jax.records import Problem
from kinetics_jax.shapes import presets

CONFIG = presets["tiny-dense"]
USER, SYSTEM = {"role": "user", "content": "2+2?"}, {"role": "system", "content": "Be brief."}
TURNS = [USER, {"role": "assistant", "content": "4"}, {"role": "user", "content": "And 3+3?"}]


class Ending(models.ByteTokenizer):
    """A byte tokenizer that knows how its texts end."""

    def __init__(self, *ids: int) -> None:
        super().__init__()
        self.eos_token_ids = ids


def read(problems, *, tokenizer=None, stop_ids=(1,), **options):
    tokenizer = tokenizer or models.ByteTokenizer()
    reader = RequestReader(CONFIG, tokenizer, 512, stop_ids=stop_ids, **options)
    return reader.read(problems, 1, Decoding(), ())


def texts(problems, **options):
    return [models.ByteTokenizer().decode(r.tokens) for r in read(problems, **options)]


BRIEF = "<|im_start|>system\nBe brief.<|im_end|>\n"
ASKED = "<|im_start|>user\n2+2?<|im_end|>\n"
OPEN = "<|im_start|>assistant\n"
SEVERAL = ASKED + OPEN + "4<|im_end|>\n<|im_start|>user\nAnd 3+3?<|im_end|>\n" + OPEN


@pytest.mark.parametrize(
    ("problems", "options", "expected"),
    [
        ("2+2?", {}, [ASKED + OPEN]),
        (TURNS, {}, [SEVERAL]),
        ([TURNS, "2+2?"], {}, [SEVERAL, ASKED + OPEN]),
        ([[SYSTEM, USER]], {}, [BRIEF + ASKED + OPEN]),
        (["2+2?", TURNS], {"system": "Be brief."}, [BRIEF + ASKED + OPEN, BRIEF + SEVERAL]),
        (Problem(task="t", problem_id="few", prompt=tuple(TURNS)), {}, [SEVERAL]),
        ("2+2?", {"thinking": True}, [ASKED + OPEN]),
        ("2+2?", {"thinking": False}, [ASKED + OPEN + "<think></think>"]),
    ],
)
def test_what_may_be_asked(problems, options, expected):
    assert texts(problems, **options) == expected


@pytest.mark.parametrize(
    ("problems", "options", "words"),
    [
        ([[SYSTEM, USER]], {"system": "Be long."}, "has a system turn already"),
        ([[1, 2]], {"system": "Be brief."}, "token ids, which take no system prompt"),
        ([{"role": "user"}], {}, "message 1 needs a 'role' and a 'content'"),
        ([USER, "text"], {}, "message 2 needs"),
        ([USER, {"content": "nobody's"}], {}, "message 2 needs"),
        ([[]], {}, "the prompt is empty"),
    ],
)
def test_what_may_not(problems, options, words):
    with pytest.raises(InputError, match=words):
        read(problems, **options)


def test_refusals_of_a_template_name_the_problem():
    class Strict(models.ByteTokenizer):
        def chat(self, messages, *, thinking=None):
            raise ChatTemplateError("chat template: roles must alternate")

    with pytest.raises(ChatTemplateError, match="problem prompt/0: chat template: roles must"):
        read("text", tokenizer=Strict())


def test_a_prompt_that_makes_no_tokens_is_refused():
    class Mute(models.ByteTokenizer):
        def chat(self, messages, *, thinking=None):
            return []

    with pytest.raises(InputError, match="makes no tokens"):
        read("text", tokenizer=Mute())


def test_a_tokenizer_of_the_callers_is_told_of_thinking_only_where_asked():
    class Older(models.ByteTokenizer):
        def chat(self, messages, *, thinking: bool = True):
            assert thinking is True
            return [1]

    assert read("text", tokenizer=Older())[0].tokens == (1,)


@pytest.mark.parametrize(
    ("model", "own", "expected", "words"),
    [
        ((258,), (258,), (258,), None),
        ((3,), (258,), (3, 258), r"also end at token 258 '<\|im_end\|>'"),
        ((), (258,), (258,), "also end"),
        ((3, 258), (), (3, 258), None),
        ((3,), (CONFIG.vocab_size,), (3,), None),  # which the model can never draw
    ],
)
def test_samples_end_where_the_model_or_its_tokenizer_says(model, own, expected, words):
    config = dataclasses.replace(CONFIG, eos_token_ids=model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert default_stop_ids(config, Ending(*own)) == expected
    assert len(caught) == (words is not None)
    if words:
        with pytest.warns(UserWarning, match=words):
            default_stop_ids(config, Ending(*own))


def test_no_tokenizer_or_one_that_does_not_say_changes_nothing():
    assert default_stop_ids(CONFIG, None) == CONFIG.eos_token_ids
    assert default_stop_ids(CONFIG, models.ByteTokenizer()) == CONFIG.eos_token_ids


def test_a_sample_stops_at_the_tokenizers_own_end(model):
    plain = Engine(model, tokenizer=models.ByteTokenizer(), slots=1, max_context=128)
    whole = next(plain.generate([1, 2, 3], max_tokens=30, stop_ids=[]))
    end = whole.tokens[7]
    first = whole.tokens.index(end)
    with pytest.warns(UserWarning, match=f"token {end}"):
        engine = Engine(model, tokenizer=Ending(end), slots=1, max_context=128)
    assert engine.stop_ids == (*model.config.eos_token_ids, end)
    sample = next(engine.generate([1, 2, 3], max_tokens=30))
    assert (sample.tokens, sample.finish_reason) == (whole.tokens[:first], "stop")
    told = next(engine.generate([1, 2, 3], max_tokens=30, stop_ids=[]))
    assert told.tokens == whole.tokens


def test_a_tokenizer_that_fails_costs_the_text_and_not_the_sample(model):
    class Broken(models.ByteTokenizer):
        def decode(self, tokens, *, skip_special=False):
            raise InputError("tokenizer.json: the tokenizer refuses: PanicException")

    engine = Engine(model, tokenizer=Broken(), slots=1, max_context=128)
    with pytest.warns(UserWarning, match="kept without its text"):
        sample = next(engine.generate([1, 2, 3], max_tokens=5, stop_ids=[]))
    assert sample.text is None
    assert len(sample.tokens) == 5
