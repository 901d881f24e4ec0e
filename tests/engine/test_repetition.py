import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax.engine.sampler import repetition
from kinetics_jax.records import RepetitionRule


def reference_stop(generated, prompt_len, window, block, threshold):
    """docs/paper_facts.md, "Repetition rule" by search: whether to stop at the newest token."""
    g = list(generated[:-1])
    if prompt_len + len(g) <= window or len(g) < block:
        return False
    last = g[-block:]
    before = g[max(0, len(g) - block - window) : len(g) - block]
    found = sum(before[i : i + block] == last for i in range(len(before) - block + 1))
    return found >= threshold


@functools.partial(jax.jit, static_argnames="rule", donate_argnums=())
def all_stops(rule, tokens_bt, prompt_len_b, active_bt=None):
    """stop of every slot at every step, in a loop on the device."""
    B, T = tokens_bt.shape
    active_bt = jnp.ones((B, T), bool) if active_bt is None else active_bt

    def step(carry):
        t, generated_b, state, stops = carry
        active_b = active_bt[:, t]
        generated_b = generated_b + active_b
        state, stop_b = repetition.update(state, tokens_bt[:, t], generated_b, prompt_len_b, active_b)
        return t + 1, generated_b, state, stops.at[:, t].set(stop_b)

    start = (0, jnp.zeros(B, jnp.int32), repetition.init(rule, B), jnp.zeros((B, T), bool))
    return jax.lax.while_loop(lambda c: c[0] < T, step, start)[3]


def loops(rng, length, period, noise):
    """A loop of this period over a small alphabet, with a change at random places."""
    tokens = np.tile(rng.integers(0, 3, period), length // period + 1)[:length]
    return np.where(rng.random(length) < noise, rng.integers(0, 3, length), tokens)


@pytest.mark.parametrize(
    ("window", "block", "threshold"),
    [(16, 4, None), (20, 3, 2), (12, 12, 1), (9, 1, None), (40, 8, None), (64, 16, 5), (300, 260, 2)],
)
def test_every_step_is_that_of_a_search(window, block, threshold):
    rng = np.random.default_rng(window)
    rule = RepetitionRule(window=window, block=block, threshold=threshold)
    B, T = 24, 4 * window
    tokens = np.stack(
        [loops(rng, T, int(rng.integers(1, block + 4)), rng.choice([0, 0.01, 0.1])) for _ in range(B)]
    )
    tokens[:4] = rng.integers(0, 2, (4, T))
    prompts = rng.integers(0, 2 * window, B)
    got = np.asarray(all_stops(rule, jnp.asarray(tokens, jnp.int32), jnp.asarray(prompts)))
    want = np.array(
        [
            [reference_stop(tokens[b, : t + 1], prompts[b], window, block, rule.matches) for t in range(T)]
            for b in range(B)
        ]
    )
    np.testing.assert_array_equal(got, want)
    assert 0 < want.mean() < 1


def test_published_rule_finds_periods_up_to_68():
    periods = np.arange(1, 81)
    tokens = np.stack([np.arange(2400) % p for p in periods])
    stops = np.asarray(all_stops(RepetitionRule(), jnp.asarray(tokens, jnp.int32), jnp.zeros(80, jnp.int32)))
    np.testing.assert_array_equal(stops.any(axis=1), periods <= 68)
    # With everything repeating, the first stop is that of the first length above 1024: the newest
    # token is the 1026th, so that 1025 are before it.
    assert stops[0].argmax() == 1025
    for period in (1, 16, 68):
        first = int(stops[period - 1].argmax())
        row = tokens[period - 1]
        assert reference_stop(row[: first + 1], 0, 1024, 64, 15)
        assert not reference_stop(row[:first], 0, 1024, 64, 15)


@pytest.mark.parametrize("prompt_len", [0, 500, 1000, 5000])
def test_nothing_stops_before_prompt_and_tokens_exceed_the_window(prompt_len):
    tokens = jnp.zeros((1, 1100), jnp.int32)
    stops = np.asarray(all_stops(RepetitionRule(), tokens, jnp.array([prompt_len])))[0]
    # 15 overlapping matches of 64 equal tokens need 64 + 78 of them, and the newest does not count.
    assert stops.argmax() == max(1024 + 1 - prompt_len, 64 + 64 + 14)
    assert stops[stops.argmax() :].all()


def test_inactive_slots_wait_and_reset_slots_start_anew():
    rng = np.random.default_rng(0)
    rule = RepetitionRule(window=16, block=4)
    dense = np.stack([loops(rng, 80, 3, 0.05) for _ in range(8)])
    want = np.asarray(all_stops(rule, jnp.asarray(dense), jnp.full(8, 20)))
    # The same tokens, spread out over more steps with rubbish in between.
    active = np.zeros((8, 200), bool)
    spread = rng.integers(0, 3, (8, 200))
    for b in range(8):
        active[b, np.sort(rng.choice(200, 80, replace=False))] = True
        spread[b, active[b]] = dense[b]
    stops = np.asarray(all_stops(rule, jnp.asarray(spread), jnp.full(8, 20), jnp.asarray(active)))
    np.testing.assert_array_equal(stops[active].reshape(8, 80), want)
    assert not stops[~active].any()
    assert want.any()

    used = repetition.init(rule, 2)
    for t in range(50):
        used, _ = repetition.update(
            used, jnp.array([1, 1]), jnp.full(2, t + 1), jnp.zeros(2, int), jnp.ones(2, bool)
        )
    used = jax.jit(repetition.reset, donate_argnums=0)(used, jnp.array([True, False]))
    fresh = repetition.init(rule, 2)
    np.testing.assert_array_equal(used.recent[0], fresh.recent[0])
    np.testing.assert_array_equal(used.runs[0], fresh.runs[0])
    assert (np.asarray(used.runs[1]) == rule.block).all()


def test_no_rule_costs_nothing():
    state = repetition.init(None, 3)
    assert jax.tree.leaves(state) == []
    state, stop_b = repetition.update(
        repetition.reset(state, jnp.ones(3, bool)),
        jnp.zeros(3, jnp.int32),
        jnp.full(3, 5000),
        jnp.zeros(3, jnp.int32),
        jnp.ones(3, bool),
    )
    assert state is None
    assert stop_b.tolist() == [False] * 3
