"""Samples under ``min_context``: dense ones while they are short, the policy's from there on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.attention import SelectiveCache
from kinetics_jax.engine import Engine
from kinetics_jax.policies import BlockTopK, Dense, PerLayer, Policy, Quest, SlidingWindow, TopK
from kinetics_jax.records import SamplingParams

GREEDY = SamplingParams(temperature=0.0)
DRAWN = SamplingParams(temperature=1.0, seed=4)
CONTEXT, LENGTH = 128, 40
ROUNDING = 5e-4
"""What another order of sums moves a log-probability by, at most."""


def decode(model, policy, prompts, sampling=GREEDY, **options) -> dict:
    sizes = {"slots": 3, "max_context": CONTEXT, "page_size": 16, "chunk_steps": 8, "prefill_chunk": 32}
    engine = Engine(model, policy=policy, **(sizes | options))
    asked = {"n": 2, "max_tokens": LENGTH, "stop_ids": [], "logprobs": True}
    found = engine.generate(prompts, sampling=sampling, **asked)
    return {(s.problem_id, s.trial): (s.tokens, s.logprobs) for s in found}


@functools.cache
def _dense(number: int, implementation, sampling, model, prompts) -> dict:
    return decode(model.value, Dense(), prompts.value, sampling, implementation=implementation)


class Held:
    """A value as a key of a cache: by identity."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value is other.value

    def __hash__(self):
        return id(self.value)


def dense(model, prompts, implementation=None, sampling=GREEDY) -> dict:
    return _dense(0, implementation, sampling, Held(model), Held(prompts))


@pytest.mark.parametrize("implementation", ["cpu", "xla", pytest.param("reference", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "policy",
    [
        BlockTopK(16, 1, dense_layers=0, min_context=CONTEXT + 1),
        pytest.param(Quest(16, 1, dense_layers=0, min_context=10_000), marks=pytest.mark.slow),
        pytest.param(
            SlidingWindow(8, sink=2, dense_layers=0, min_context=CONTEXT + 1), marks=pytest.mark.slow
        ),
        PerLayer((BlockTopK(16, 1, min_context=500), SlidingWindow(8, min_context=500))),
    ],
    ids=lambda policy: policy.name,
)
def test_no_context_as_long_is_dense_to_the_last_bit(model, prompts, policy, implementation):
    """Tokens and their log-probabilities, drawn at temperature 1: the same lists through the same kernel."""
    if implementation == "cpu":
        pytest.importorskip("numba", reason="the CPU kernels are compiled by numba, which is not installed")
    expected = dense(model, prompts, implementation, DRAWN)
    assert decode(model, policy, prompts, DRAWN, implementation=implementation) == expected
    assert len({tokens for tokens, _ in expected.values()}) == 12


@pytest.mark.slow
def test_a_masked_policy_as_long_is_dense_but_for_rounding(model, prompts):
    """Single tokens are masked, not listed: another order of sums than the dense kernel's."""
    expected = dense(model, prompts)
    found = decode(model, TopK(4, dense_layers=0, min_context=1000), prompts)
    for key, (tokens, logprobs) in expected.items():
        assert found[key][0] == tokens
        np.testing.assert_allclose(found[key][1], logprobs, atol=ROUNDING)


@pytest.mark.parametrize("implementation", ["cpu", pytest.param("xla", marks=pytest.mark.slow)])
def test_samples_that_end_before_it_are_dense_though_others_search(model, prompts, implementation):
    """The longest prompt goes on beyond 80 tokens; the others' samples end at 73 and are read whole."""
    if implementation == "cpu":
        pytest.importorskip("numba", reason="the CPU kernels are compiled by numba, which is not installed")
    policy = BlockTopK(16, 1, dense_layers=0, min_context=80)
    expected = dense(model, prompts, implementation)
    found = decode(model, policy, prompts, implementation=implementation)
    for key, (tokens, logprobs) in expected.items():
        if key[0] == "5":
            assert found[key][0] != tokens
            assert found[key][0][:10] == tokens[:10]  # 70 of the prompt and 9 of its own are 79
        elif implementation == "cpu":  # it adds page by page, however long the list could be
            assert found[key] == (tokens, logprobs)
        else:
            assert found[key][0] == tokens
            np.testing.assert_allclose(found[key][1], logprobs, atol=ROUNDING)


def switched(model, prompt: list[int], plain: Policy, context: int, count: int):
    """Tokens and log-probabilities by masks, one sequence, which change at the step of ``context`` tokens."""
    cache = models.make_cache(model, 1, CONTEXT)
    logits, held = jax.jit(models.prefill)(
        model, cache, jnp.array([prompt[:-1]]), jnp.array([len(prompt) - 1])
    )
    step = jax.jit(models.decode_step)
    tokens, logprobs, last = [], [], prompt[-1]
    for n in range(count):
        first = n == 0  # which the prompt's own reading gives, and that is dense
        rule = Dense() if first or len(prompt) + n < context else plain
        logits, cache = step(model, SelectiveCache.of(held, rule), jnp.array([last]))
        held = cache.held
        last = int(logits[0].argmax())
        tokens.append(last)
        logprobs.append(float(jax.nn.log_softmax(logits[0])[last]))
    return tuple(tokens), logprobs


@pytest.mark.parametrize(
    "policy",
    [
        BlockTopK(16, 1, sink=0, dense_layers=0, min_context=90),
        pytest.param(Quest(16, 2, dense_layers=1, min_context=96), marks=pytest.mark.slow),
        pytest.param(SlidingWindow(20, sink=2, dense_layers=0, min_context=97), marks=pytest.mark.slow),
        pytest.param(TopK(7, dense_layers=0, min_context=85), marks=pytest.mark.slow),
        BlockTopK(16, 1, sink=0, dense_layers=0, min_context=20),  # more pages to list than to read whole
    ],
    ids=str,
)
def test_a_sample_that_crosses_it_switches_its_mask_at_that_step(model, prompts, policy):
    """Against masks of all keys, with no pages, lists or summaries; beside samples that do not cross."""
    found = decode(model, policy, prompts[2:])
    plain = type(policy)(**{**policy.__dict__, "min_context": 0}).on_pages(16)
    for number, prompt in enumerate(prompts[2:]):
        tokens, logprobs = switched(model, prompt, plain, policy.min_context, LENGTH)
        for trial in (0, 1):
            assert found[str(number), trial][0] == tokens
            np.testing.assert_allclose(found[str(number), trial][1], logprobs, atol=ROUNDING)
    whole = dense(model, prompts)["5", 0][1]
    at = max(policy.min_context - len(prompts[5]), 0)
    moved = np.abs(np.subtract(whole, found["3", 0][1]))
    assert moved[:at].max(initial=0) < ROUNDING < 20 * ROUNDING < moved[at:].max()


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["cpu", "xla"])
def test_neighbours_on_either_side_change_no_bit(model, prompts, implementation):
    """Alone, beside samples that never search, and beside ones that always do: log-probabilities too."""
    if implementation == "cpu":
        pytest.importorskip("numba", reason="the CPU kernels are compiled by numba, which is not installed")
    policy = BlockTopK(16, 1, dense_layers=0, min_context=64)
    problems = dict(enumerate(prompts))
    run = functools.partial(decode, model, policy, sampling=DRAWN, implementation=implementation)
    together = run(list(problems.values()))
    for group in ([4], [5], [5, 0]):
        # The others are there, so that numbers and so random streams are the same, but end at once.
        alone = run([problems[n] if n in group else [1] for n in problems])
        for n in group:
            for trial in (0, 1):
                assert alone[str(n), trial] == together[str(n), trial]
