"""The engine against decoding one prompt at a time, and what it does at the edges."""

import dataclasses
import functools
import json
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kinetics_jax
from kinetics_jax import models
from kinetics_jax.engine import Engine, EngineConfig, Piece
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, PerLayer, Quest, SlidingWindow, TopK
from kinetics_jax.records import Problem, RepetitionRule, SamplingParams, ThinkingBudget

GREEDY = SamplingParams(temperature=0.0)


@functools.cache
def _make(model, **options):
    """Engines of equal options are one, so that their programs are compiled once."""
    sizes = {"slots": 3, "max_context": 128, "page_size": 16, "chunk_steps": 8, "prefill_chunk": 32}
    return Engine(model.value, **(sizes | options))


@dataclasses.dataclass(frozen=True)
class _ById:
    """A model as a key of the cache: by identity."""

    value: models.Qwen3 = dataclasses.field(compare=False)
    number: int


def make(model, **options) -> Engine:
    return _make(_ById(model, id(model)), **options)


def one_by_one(model, prompt: list[int], count: int) -> tuple[int, ...]:
    """Greedy tokens with the contiguous cache, a batch of one."""
    cache = models.make_cache(model, 1, 256)
    read, step = jax.jit(models.prefill), jax.jit(models.decode_step)
    logits, cache = read(model, cache, jnp.array([prompt]), jnp.array([len(prompt)]))
    found: list[int] = []
    while len(found) < count and (token := int(logits[0].argmax())) not in (258,):
        found.append(token)
        logits, cache = step(model, cache, jnp.array([token]))
    return tuple(found)


def decode(engine: Engine, prompts, **options):
    return {(s.problem_id, s.trial): s for s in engine.generate(prompts, **options)}


@pytest.fixture(scope="module")
def expected(model, prompts):
    return [one_by_one(model, prompt, 40) for prompt in prompts]


@pytest.mark.parametrize(
    "policy",
    [Dense(), BlockTopK(16, 8), Quest(16, 8, dense_layers=0), TopK(128), SlidingWindow(128)],
    ids=lambda p: p.name,
)
def test_greedy_equals_one_by_one_with_refills_and_drain(model, prompts, expected, policy):
    """Six ragged prompts × 2 samples through 3 slots; a budget ≥ the context is dense, token for token."""
    engine = make(model, policy=policy)
    found = decode(engine, prompts, n=2, sampling=GREEDY, max_tokens=40)
    assert len(found) == 12
    for number, tokens in enumerate(expected):
        for trial in (0, 1):
            assert found[str(number), trial].tokens == tokens
    assert found["5", 0].policy == engine.policy
    assert {s.finish_reason for s in found.values()} <= {"stop", "length"}


def test_policies_by_layer_and_exact_masks_run(model, prompts, expected):
    mixed = PerLayer((BlockTopK(16, 1), TopK(4)))
    found = decode(make(model, policy=mixed), prompts[4:], sampling=GREEDY, max_tokens=20)
    assert found["1", 0].tokens != expected[5][:20]  # it does leave something out
    exact = make(model, policy=BlockTopK(8, 2), exact_masks=True)
    assert not exact.policy.aligned
    assert make(model, policy=BlockTopK(8, 2), page_size=None).policy.aligned
    assert len(decode(exact, prompts[:2], sampling=GREEDY, max_tokens=5)) == 2


def test_log_probabilities_are_those_of_the_model(model, prompts):
    sample = next(make(model).generate(prompts[4], max_tokens=12, logprobs=True))
    whole = jax.nn.log_softmax(model([prompts[4] + list(sample.tokens)])[0])
    at = len(prompts[4]) - 1 + np.arange(len(sample.tokens))
    np.testing.assert_allclose(sample.logprobs, whole[at, np.array(sample.tokens)], atol=1e-4)


def test_nothing_is_compiled_again_after_warm_up(model, prompts):
    engine = make(model)
    decode(engine, prompts, n=2, max_tokens=20)
    before = engine.compilations
    decode(engine, prompts[::-1], n=3, max_tokens=33, sampling=SamplingParams(top_k=0, seed=9))
    assert engine.compilations == before


def test_a_sample_without_finite_logits_ends_alone(model, prompts, expected):
    """Token 255 has a NaN embedding: its prompt's samples end as errors, the others are untouched."""
    embed = model.arrays()["embed.weight"].at[255].set(jnp.nan)
    broken = models.Qwen3(
        model.config, {**model.arrays(), "embed.weight": embed, "head.weight": model.arrays()["head.weight"]}
    )
    clean = [[t for t in prompt if t != 255] or [1] for prompt in prompts]
    expected = [one_by_one(model, prompt, 20) for prompt in clean]
    asked = [*clean, [3, 255, 4], *[[7, 255] * 20]]
    engine = make(broken, policy=BlockTopK(16, 8))
    for _ in range(2):  # the second time in pages that held NaN
        found = decode(engine, asked, n=2, sampling=GREEDY, max_tokens=20)
        for number, tokens in enumerate(expected):
            assert 255 in tokens or found[str(number), 1].tokens == tokens
        for number in ("6", "7"):
            assert found[number, 0].finish_reason == "error"
            assert found[number, 0].tokens == ()


def test_stop_ids_and_strings_and_length(model, prompts, expected):
    tokens = expected[3]
    third = tokens[2]
    engine = make(model, tokenizer=models.ByteTokenizer())
    by_id = next(engine.generate(prompts[3], sampling=GREEDY, max_tokens=40, stop_ids=[third]))
    assert by_id.finish_reason == "stop"
    assert by_id.tokens == tokens[: tokens.index(third)]
    exact = next(engine.generate(prompts[3], sampling=GREEDY, max_tokens=5, stop_ids=[]))
    assert (exact.finish_reason, len(exact.tokens)) == ("length", 5)
    text = models.ByteTokenizer().decode(tokens[:30])
    wanted = text[10:13]
    assert "\ufffd" not in wanted or wanted
    for steps in (8, 3):
        engine = make(model, tokenizer=models.ByteTokenizer(), chunk_steps=steps)
        found = decode(
            engine,
            [prompts[3], prompts[2]],
            n=2,
            sampling=GREEDY,
            max_tokens=40,
            stop_ids=[],
            stop_strings=[wanted],
        )
        sample = found["0", 1]
        assert sample.finish_reason == "stop"
        assert sample.text == text[: text.index(wanted)]
        assert wanted in models.ByteTokenizer().decode(sample.tokens)
        assert wanted not in models.ByteTokenizer().decode(sample.tokens[:-1])


def test_prompts_and_options_as_other_libraries_give_them(model, prompts):
    engine = make(model, tokenizer=models.ByteTokenizer())
    asked = {"sampling": GREEDY, "max_tokens": 30, "stop_ids": []}
    plain = decode(engine, [prompts[3]], n=2, **asked)
    ids, text = np.array(prompts[3]), plain["0", 0].text
    absent = next(a + b for a in text for b in text if a + b not in text)
    for given, options in (
        (ids, {"n": np.int64(2), "max_tokens": np.int16(30)}),
        ([jnp.array(ids)], {"n": np.arange(2)}),
        ((tuple(ids),), {"n": range(2), "stop_strings": None}),
        (iter([ids]), {"n": jnp.int32(2)}),
        (deque(prompts[3]), {"n": 2, "stop_ids": np.array([], int)}),
        (prompts[3], {"n": 2, "stop_strings": absent}),  # one text, and neither of its letters
    ):
        found = decode(engine, given, **(asked | options))
        made = {key: dataclasses.replace(sample, provenance=None) for key, sample in found.items()}
        assert made == {key: dataclasses.replace(sample, provenance=None) for key, sample in plain.items()}
        assert all(json.loads(sample.to_json())["max_tokens"] == 30 for sample in found.values())
    third = plain["0", 0].tokens[2]
    ended = [
        next(engine.generate(ids, **(asked | {"stop_ids": stop})))
        for stop in ([third], third, np.int32(third), {third}, jnp.array([third]))
    ]
    assert len(ended[0].tokens) <= 2
    assert ended == ended[:1] * 5
    plain_sizes, sizes = ({"slots": kind(3), "max_context": kind(128)} for kind in (int, np.int64))
    assert Engine(model, **sizes).max_context == Engine(model, **plain_sizes).max_context


def test_thinking_is_closed_at_its_budget(model, prompts):
    budget = ThinkingBudget(end=260, max_tokens=6, close=(10, 260, 10))
    sample = next(make(model).generate(prompts[2], max_tokens=20, stop_ids=[], thinking_budget=budget))
    assert sample.tokens[6:9] == (10, 260, 10)
    assert len(sample.tokens) == 20


def test_a_loop_is_stopped_and_cut(model, prompts):
    rule = RepetitionRule(window=24, block=4, threshold=3)
    stuck = ThinkingBudget(end=260, max_tokens=0, close=(*([11, 12] * 20), 260))  # forced loop
    engine = make(model, repetition=rule)
    sample = next(engine.generate(prompts[4], max_tokens=60, stop_ids=[], thinking_budget=stuck))
    assert sample.finish_reason == "repetition"
    assert set(sample.tokens) == {11, 12}
    # The last 4 tokens of g lie 4, 6 and 8 tokens earlier too once g has 8 + 4 tokens; 4 are cut.
    assert len(sample.tokens) == 8


def test_streaming_gives_the_sample_piece_by_piece(model, prompts):
    engine = make(model, tokenizer=models.ByteTokenizer())
    *pieces, sample = engine.generate(prompts[3], max_tokens=30, stream=True)
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert tuple(piece.token for piece in pieces)[: len(sample.tokens)] == sample.tokens
    assert sample.text.startswith("".join(piece.text for piece in pieces)[:20])


def test_closing_the_iterator_drops_what_runs_and_leaves_the_engine_whole(model, prompts, expected):
    engine = make(model)
    running = engine.generate(prompts, n=4, sampling=GREEDY, max_tokens=40)
    next(running)
    with pytest.raises(InputError, match="generating already"):
        next(engine.generate(prompts))
    running.close()
    found = decode(engine, prompts, sampling=GREEDY, max_tokens=40)
    assert [found[str(n), 0].tokens for n in range(6)] == expected


def test_done_samples_are_not_made_again(model, prompts):
    engine = make(model)
    first = decode(engine, prompts[:2], n=3, max_tokens=10)
    keys = [s.key for s in first.values()][:4]
    rest = decode(engine, prompts[:2], n=3, max_tokens=10, done=keys)
    assert len(rest) == 2
    assert all(first[key] == sample for key, sample in rest.items())


def test_progress_adds_up(model, prompts, monkeypatch):
    seen: list = []
    engine = make(model)
    monkeypatch.setattr(engine, "_observe", seen.append)
    samples = list(engine.generate(prompts, n=2, max_tokens=20, stop_ids=[]))
    assert seen[-1].samples_done == seen[-1].samples_total == len(samples) == 12
    assert seen[-1].tokens == sum(len(s.tokens) for s in samples) == 240
    assert seen[-1].pages_in_use == 0
    assert "12/12 samples" in seen[-1].line()
    assert '"samples_done":12' in seen[-1].to_json()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e, p: e.generate(p, n=0), "n=0 must be at least 1"),
        (lambda e, p: e.generate(p, n=[1, 1]), "different trial numbers"),
        (lambda e, p: e.generate(p, n=[0, -5]), "n: trial=-5 must be"),
        (lambda e, p: e.generate(p, n=[0.5]), "n: trial=0.5 must be"),
        (lambda e, p: e.generate(p, n=["0"]), "n: trial='0' must be"),
        (lambda e, p: e.generate(p, n=[True]), "n: trial=True must be"),
        (lambda e, p: e.generate([[1] * 128]), "leaves no room"),
        (lambda e, p: e.generate([[1] * 100], max_tokens=50), "do not fit"),
        (lambda e, p: e.generate([[1, 999]]), "token id 999 is outside"),
        (lambda e, p: e.generate([[]]), "prompt is empty"),
        (lambda e, p: e.generate(["text"]), "give the engine a tokenizer"),
        (lambda e, p: e.generate(p, max_tokens=0), "max_tokens=0"),
        (lambda e, p: e.generate(p, stop_strings=["x"]), "stop_strings need a tokenizer"),
        (lambda e, p: e.generate(p, stop_ids=range(20)), "at most 8 stop_ids"),
        (lambda e, p: e.generate(p, sampling={"temperature": 1}), "must be a SamplingParams"),
        (lambda e, p: e.generate(p, stream=True), "one problem"),
        (lambda e, p: e.generate(p, n=True), "n=True must be a count"),
        (lambda e, p: e.generate(p, n=2.0), "n=2.0 must be a count"),
        (lambda e, p: e.generate(p, n=["a"]), "n: trial='a' must be"),
        (lambda e, p: e.generate(p, n=10**400), "n=1000.* must be"),
        (lambda e, p: e.generate(5), "problems=5 must be a text, messages, token ids"),
        (lambda e, p: e.generate(None), "problems=None must be"),
        (lambda e, p: e.generate(b"text"), "problems=b'text' must be"),
        (lambda e, p: e.generate({"role": "user"}), "must be a text, messages, token ids"),
        (lambda e, p: e.generate([{"role": "user"}]), "message 1 needs a 'role' and a 'content'"),
        (lambda e, p: e.generate([[1, 2], None]), "problem 1: None is no prompt"),
        (lambda e, p: e.generate([[1, "a"]]), "prompt holds 'a'"),
        (lambda e, p: e.generate([1.0, 2.0]), "prompt holds 1.0"),
        (lambda e, p: e.generate(np.ones((2, 2))), "prompt holds .*1.0"),
        (lambda e, p: e.generate(np.array(5)), "must be a text, messages, token ids"),
        (lambda e, p: e.generate(""), "prompt is empty"),
        (lambda e, p: e.generate("\ud83d"), "half of a character"),
        (lambda e, p: e.generate(p, stop_ids=[999]), "stop_ids: token id 999 is outside"),
        (lambda e, p: e.generate(p, stop_ids=["a"]), "stop_ids: token='a'"),
        (lambda e, p: e.generate(p, stop_ids="12"), "stop_ids='12'"),
        (lambda e, p: e.generate(p, stop_strings=[""]), "stop_strings: '' must be"),
        (lambda e, p: e.generate(p, stop_strings=5), "stop_strings=5 must be"),
        (lambda e, p: e.generate(p, max_tokens=2.5), "max_tokens=2.5"),
        (lambda e, p: e.generate(p, max_tokens=True), "max_tokens=True"),
        (lambda e, p: e.generate(p, logprobs=5), "logprobs=5 must be true or false"),
        (lambda e, p: e.generate(p, thinking="no"), "thinking='no' must be"),
        (lambda e, p: e.generate(p, thinking_budget=99), "thinking_budget=99 must be a ThinkingBudget"),
        (lambda e, p: e.generate(p, done=["t/a/0"]), "done: 't/a/0' must be a sample's key"),
        (
            lambda e, p: e.generate([Problem(task="t", problem_id="a", prompt=(1,))] * 2),
            "two problems are called t/a",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_compiled(model, prompts, call, message):
    engine = Engine(model, slots=3, max_context=128)
    with pytest.raises(InputError, match=message) as caught:
        call(engine, prompts)
    assert "\n" not in str(caught.value)
    assert engine.compilations == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "slots=0"),
        ({"max_context": 999}, "more than the 256"),
        ({"policy": "dense"}, "must be a policy"),
        ({"policy": BlockTopK(16, 2), "page_size": 32}, "blocks of 16"),
        ({"policy": PerLayer((Dense(),))}, "1 policies; the model has 2"),
        ({"memory_fraction": 0}, "memory_fraction"),
        ({"memory_fraction": "0.5"}, "memory_fraction='0.5'"),
        ({"slots": True}, "slots=True"),
        ({"chunk_steps": 4.0}, "chunk_steps=4.0"),
        ({"prompt_rows": None}, "prompt_rows=None"),
        ({"share_prompts": 0}, "share_prompts=0"),
        ({"tokenizer": "bytes"}, "tokenizer='bytes' must have encode"),
        ({"repetition": True}, "repetition=True must be a RepetitionRule"),
    ],
)
def test_engines_that_cannot_be_are_refused(model, options, message):
    with pytest.raises(InputError, match=message):
        Engine(model, **options)


def test_options_of_no_engine_are_refused_and_the_nearest_is_named(model, prompts):
    with pytest.raises(InputError, match="unknown option 'slot': did you mean slots"):
        Engine(model, slot=2)
    with pytest.raises(InputError, match="did you mean max_tokens"):
        Engine(model).generate(prompts, max_token=2)
    with pytest.raises(InputError, match="must be of EngineConfig"):
        Engine(model, config={"slots": 2})


def test_fields_stand_in_place_of_what_a_config_says(model):
    config = EngineConfig(slots=2, max_context=64, page_size=8)
    engine = Engine(model, config=config, max_context=32)
    assert (engine.config.slots, engine.max_context, engine.config.page_size) == (2, 32, 8)
    by_fields = Engine(model, slots=2, max_context=32, page_size=8)
    assert engine.config == by_fields.config


def test_a_model_without_a_name_is_refused_before_it_has_samples(model):
    nameless = models.Qwen3(dataclasses.replace(model.config, name=""), model.arrays())
    with pytest.raises(InputError, match="has no name"):
        Engine(nameless)


def test_the_public_name():
    assert kinetics_jax.Engine is Engine
