"""A log is of one experiment: what differs is refused in one line, what only runs otherwise is let in."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.engine import Engine, identity
from kinetics_jax.engine.sample_log import LogError, SampleLog, iterate_samples, merged_samples
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK
from kinetics_jax.records import Problem, RepetitionRule, Sample, SamplingParams, ThinkingBudget

SIZES = {"slots": 2, "max_context": 128, "page_size": 16, "chunk_steps": 8, "prefill_chunk": 32}


def engine(model, **options):
    return Engine(model, **({"tokenizer": models.ByteTokenizer()} | SIZES | options))


def decode(folder, made, prompts=("ab", "cde"), n=1, **options):
    """Go on with a log as README does; the number of new samples."""
    given = {"max_tokens": 4, "sampling": SamplingParams(seed=1)} | options
    new = 0
    with SampleLog(folder) as log:
        for sample in made.generate(list(prompts), n=n, done=log.done, **given):
            log.append(sample)
            new += 1
    return new


@pytest.fixture(scope="module")
def plain(model):
    return engine(model)


@pytest.fixture
def folder(plain, tmp_path):
    assert decode(tmp_path, plain) == 2
    return tmp_path


def stored(folder):
    return (folder / "samples-00000-of-00001.jsonl").read_bytes()


def test_the_same_goes_on_and_more_of_it_is_added(folder, plain, model):
    assert decode(folder, plain) == 0
    assert decode(folder, plain, n=2) == 2
    assert decode(folder, plain, prompts=("ab", "cde", "f"), n=2) == 2
    assert decode(folder, engine(model, slots=1, chunk_steps=3, share_prompts=False), n=3) == 2
    samples = list(iterate_samples(folder))
    assert len({sample.key for sample in samples}) == 8
    assert all(sample.provenance == Sample.from_json(sample.to_json()).provenance for sample in samples)
    assert len({json.dumps(s.provenance | {"prompt": ""}) for s in samples}) == 1


class Shouting(models.ByteTokenizer):
    """The same ids of a text, another text of the ids."""

    def decode(self, tokens, *, skip_special=False):
        return super().decode(tokens, skip_special=skip_special).upper()


def changed(model, **options):
    arrays = model.arrays()
    path = sorted(arrays)[5]
    arrays[path] = arrays[path].at[(0,) * arrays[path].ndim].add(1e-4)
    return engine(models.Qwen3(model.config, arrays), **options)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (changed, {}, "weights is"),
        (lambda m: engine(m, policy=BlockTopK(16, 2)), {}, 'policy is {"name": "dense"} there'),
        (lambda m: engine(m, tokenizer=Shouting()), {}, "tokenizer is"),
        (lambda m: engine(m, cache_dtype=jnp.bfloat16), {}, 'cache_dtype is "float32" there'),
        (lambda m: engine(m, repetition=RepetitionRule()), {}, "repetition is null there"),
        (engine, {"sampling": SamplingParams(seed=2)}, "seed is 1 there, not 2"),
        (engine, {"sampling": SamplingParams(seed=1, temperature=1)}, "temperature is 0.6 there"),
        (engine, {"sampling": SamplingParams(seed=1, top_p=1)}, "top_p is 0.95 there, not 1"),
        (engine, {"sampling": SamplingParams(seed=1, top_k=0)}, "top_k is 20 there, not 0"),
        (engine, {"sampling": SamplingParams(seed=1, min_p=0.1)}, "min_p is 0.0 there"),
        (engine, {"stop_ids": [7]}, "stop_ids is [258] there, not [7]"),
        (engine, {"stop_strings": ["x"]}, "stop_strings is [] there"),
        (engine, {"thinking_budget": ThinkingBudget(end=260, max_tokens=2)}, "thinking_budget is"),
        (engine, {"max_tokens": 5}, "problem prompt/0 differ: max_tokens is 4 there, not 5"),
        (engine, {"thinking": False}, "problem prompt/0 are of another prompt"),
        (engine, {"prompts": ("cde", "ab")}, "problem prompt/0 are of another prompt"),
        (engine, {"prompts": ("new", "ab", "cde")}, "problem prompt/0 are of another prompt"),
        (engine, {"prompts": ("ab", "cdf")}, "problem prompt/1 are of another prompt"),
    ],
)
def test_another_experiment_is_refused_before_a_token_is_drawn(folder, model, make, options, words):
    before, made = stored(folder), make(model)
    with pytest.raises(LogError) as caught:
        decode(folder, made, n=2, **options)
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError)
    assert stored(folder) == before
    assert made.compilations == 0


def test_a_problem_of_the_same_name_and_another_text_is_refused(tmp_path, plain):
    named = [Problem(task="t", problem_id="a", prompt="one"), Problem(task="t", problem_id="b", prompt="two")]
    assert decode(tmp_path, plain, prompts=named) == 2
    assert decode(tmp_path, plain, prompts=named[::-1]) == 0  # names, not places
    with pytest.raises(LogError, match="problem t/b are of another prompt"):
        decode(tmp_path, plain, prompts=[named[0], dataclasses.replace(named[1], prompt="2")])


def test_appending_is_guarded_where_nobody_asked_with_done(folder, plain):
    other = next(plain.generate(["zz"], max_tokens=4, sampling=SamplingParams(seed=9)))
    with SampleLog(folder) as log:
        with pytest.raises(LogError, match="seed is 1 there, not 9"):
            log.append(dataclasses.replace(other, problem_id="7"))
        same = next(plain.generate(["zz"], n=[3], max_tokens=4, sampling=SamplingParams(seed=1)))
        with pytest.raises(LogError, match="problem prompt/0 are of another prompt"):
            log.append(same)
        log.append(dataclasses.replace(same, problem_id="8"))
    assert len(list(iterate_samples(folder))) == 3


def strip(folder, *names):
    """The log as an earlier version would have written it."""
    file = folder / "samples-00000-of-00001.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        for name in names:
            row.pop(name)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_log_of_an_earlier_version_is_read_and_gone_on_with_in_words(folder, plain):
    strip(folder, "provenance")
    assert [sample.provenance for sample in iterate_samples(folder)] == [None, None]
    with pytest.warns(UserWarning, match="do not say which weights, tokenizer and prompts"):
        assert decode(folder, plain, n=2) == 2
    assert len(merged_samples(folder)) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling": SamplingParams(seed=2)}, "seed is 1 there"),
        ({"prompts": ("abc", "de")}, "prompt_tokens"),
        ({"max_tokens": 6}, "max_tokens is 4 there"),
    ],
)
def test_what_an_earlier_version_did_say_is_compared(folder, plain, options, words):
    strip(folder, "provenance")
    with pytest.raises(LogError, match=words):
        decode(folder, plain, **options)


def test_a_folder_that_is_mixed_already_is_read_and_never_gone_on_with(folder, plain):
    other = next(plain.generate(["ab"], max_tokens=4, sampling=SamplingParams(seed=9)))
    more = folder / "samples-00001-of-00002.jsonl"
    more.write_text(other.to_json() + "\n")
    assert len(list(iterate_samples(folder))) == 3
    with pytest.raises(LogError, match="of two experiments: seed is 1 there, not 9"):
        merged_samples(folder)
    for seed in (1, 9):
        with pytest.raises(LogError, match="another experiment"):
            decode(folder, plain, sampling=SamplingParams(seed=seed))


def test_every_process_guards_its_own_file(folder, plain):
    with SampleLog(folder, process=1, processes=2) as log:
        with pytest.raises(LogError, match="seed is 1 there"):
            plain.generate(["ab"], done=log.done, max_tokens=4, sampling=SamplingParams(seed=2))
        rest = list(
            plain.generate(["ab", "cde"], n=2, done=log.done, max_tokens=4, sampling=SamplingParams(seed=1))
        )
        for sample in rest:
            log.append(sample)
    assert [sample.trial for sample in rest] == [1, 1]
    assert len(merged_samples(folder)) == 4


# The digests themselves.


def test_the_digest_of_weights_is_of_what_they_are_not_of_how_they_lie(model, tmp_path):
    models.save_hf(model, tmp_path)
    digest = identity.weights_digest(model)
    mesh = jax.make_mesh((2, 2), ("data", "model"))
    for same in (
        models.load(tmp_path, dtype="float32"),
        model.on(mesh),
        models.load(tmp_path, dtype="float32", unroll=True),
    ):
        assert identity.weights_digest(same) == digest
    assert identity.weights_digest(models.load(tmp_path, dtype="bfloat16")) != digest


def test_both_ways_to_hash_agree(model, monkeypatch):
    digest = identity.weights_digest(model)
    monkeypatch.setattr(identity, "_ON_HOST_BYTES", 0)
    assert identity.weights_digest(model) == digest
    assert identity.weights_digest(model.on(jax.make_mesh((4,), ("model",)))) == digest


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.int8])
def test_any_bit_and_any_place_counts(dtype):
    rng = np.random.default_rng(0)
    array = rng.integers(-100, 100, (3, 5, 7)).astype(dtype)
    seen = set()
    for edit in ("", "bit", "swap", "zero"):
        other = array.copy()
        if edit == "bit":
            other.view(f"u{other.dtype.itemsize}")[1, 2, 3] ^= 1
        elif edit == "swap":
            other[0, 0, 0], other[0, 0, 1] = other[0, 0, 1], other[0, 0, 0]
        elif edit == "zero":
            other[2] = 0
        seen.add(identity._sums(jnp.asarray(other)).tobytes())
    assert len(seen) == 4
