import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax.engine.sampler import thinking
from kinetics_jax.errors import InputError
from kinetics_jax.records import ThinkingBudget

END = 7


def simulate(budget, sampled):
    """What a plain loop makes of a stream of sampled tokens."""
    taken, queue, kind, closed, waits = [], [], None, False, 0
    for token in sampled:
        if budget is None:
            taken.append(token)
            continue
        at_limit = budget.max_tokens is not None and len(taken) >= budget.max_tokens
        if not closed and at_limit and kind != "close" and (queue or token != END):
            queue, kind = list(budget.close or (END,)), "close"
        elif (
            not queue
            and not closed
            and token == END
            and len(taken) < budget.min_tokens
            and waits < budget.max_waits
        ):
            queue, kind = list(budget.wait), "wait"
            waits += 1
        if queue:
            token = queue.pop(0)
        if not queue:
            kind = None
        closed = closed or token == END
        taken.append(token)
    return taken


@jax.jit
def run(state, sampled_bt, active_bt):
    B, T = sampled_bt.shape

    def step(carry):
        t, generated_b, state, taken = carry
        generated_b = generated_b + active_bt[:, t]
        token_b, state = thinking.override(state, sampled_bt[:, t], generated_b, active_bt[:, t])
        return t + 1, generated_b, state, taken.at[:, t].set(token_b)

    start = (0, jnp.zeros(B, jnp.int32), state, jnp.zeros((B, T), jnp.int32))
    return jax.lax.while_loop(lambda c: c[0] < T, step, start)[3]


def random_budget(rng):
    if rng.random() < 0.2:
        return None
    options = {"end": END}
    if rng.random() < 0.7:
        options["max_tokens"] = int(rng.integers(0, 25))
        if rng.random() < 0.7:
            close = rng.integers(0, 10, rng.integers(0, 4)).tolist()
            close.insert(int(rng.integers(0, len(close) + 1)), END)
            options["close"] = tuple(close)
    if rng.random() < 0.7:
        options["min_tokens"] = int(rng.integers(1, options.get("max_tokens", 25) + 2))
        options["min_tokens"] = min(options["min_tokens"], options.get("max_tokens", 25))
        options["wait"] = tuple(rng.integers(0, END, rng.integers(1, 5)).tolist())
        options["max_waits"] = int(rng.integers(1, 4))
        if options["min_tokens"] == 0:
            for name in ("min_tokens", "wait", "max_waits"):
                del options[name]
    return ThinkingBudget(**options)


def test_every_token_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    forced = 0
    for _ in range(15):
        budgets = [random_budget(rng) for _ in range(64)]
        sampled = rng.integers(0, 10, (64, 40)).astype(np.int32)
        sampled[::2] = np.where(sampled[::2] == END, 0, sampled[::2])
        state = thinking.rows(budgets, most_ids=10)
        taken = np.asarray(run(state, jnp.asarray(sampled), jnp.ones((64, 40), bool)))
        want = [simulate(b, row) for b, row in zip(budgets, sampled.tolist(), strict=True)]
        np.testing.assert_array_equal(taken, want)
        forced += (taken != sampled).sum()
    assert forced > 1000


def test_inactive_slots_wait():
    rng = np.random.default_rng(1)
    budgets = [random_budget(rng) for _ in range(64)]
    sampled = rng.integers(0, 10, (64, 30)).astype(np.int32)
    active = np.zeros((64, 70), bool)
    spread = rng.integers(0, 10, (64, 70)).astype(np.int32)
    for b in range(64):
        active[b, np.sort(rng.choice(70, 30, replace=False))] = True
        spread[b, active[b]] = sampled[b]
    taken = np.asarray(run(thinking.rows(budgets), jnp.asarray(spread), jnp.asarray(active)))
    want = [simulate(b, row) for b, row in zip(budgets, sampled.tolist(), strict=True)]
    np.testing.assert_array_equal(taken[active].reshape(64, 30), want)
    np.testing.assert_array_equal(taken[~active], spread[~active])


def takes(budget, sampled):
    state = thinking.rows([budget])
    sampled = jnp.asarray([sampled], jnp.int32)
    return run(state, sampled, jnp.ones(sampled.shape, bool))[0].tolist()


def test_the_limit_forces_the_close_once():
    limit = ThinkingBudget(end=END, max_tokens=3, close=(8, END, 9))
    assert takes(limit, [1] * 9) == [1, 1, 1, 8, END, 9, 1, 1, 1]
    assert takes(limit, [1, END, 1, 1, 1, 1]) == [1, END, 1, 1, 1, 1]
    assert takes(limit, [1, 1, 1, END, 1, 1]) == [1, 1, 1, END, 1, 1]
    assert takes(ThinkingBudget(end=END, max_tokens=0), [1, 1]) == [END, 1]


def test_the_end_is_refused_while_it_is_early_and_waits_are_left():
    least = ThinkingBudget(end=END, min_tokens=6, wait=(4, 5), max_waits=2)
    assert takes(least, [1, END, 1, END, 1, END]) == [1, 4, 5, 4, 5, END]
    assert takes(least, [1] * 6 + [END, 1]) == [1] * 6 + [END, 1]
    assert takes(least, [1] * 5 + [END, END, END]) == [1] * 5 + [4, 5, END]
    both = ThinkingBudget(end=END, max_tokens=3, min_tokens=3, wait=(4, 5), max_waits=9)
    assert takes(both, [1, 1, END, 1, 1]) == [1, 1, 4, END, 1]


def test_fresh_rows_start_a_slot_anew_and_room_is_checked():
    state = thinking.init(3, most_ids=4)
    assert thinking.override(state, jnp.array([1, 2, END]), jnp.array([1, 90, 3]))[0].tolist() == [1, 2, END]
    new = thinking.rows([ThinkingBudget(end=END, max_tokens=0, close=(END, 3))], most_ids=4)

    def reset(state):
        return jax.tree.map(lambda old, row: old.at[jnp.array([1])].set(row), state, new)

    state = reset(state)
    token_b, state = thinking.override(state, jnp.array([1, 1, 1]), jnp.array([1, 1, 1]))
    assert token_b.tolist() == [1, END, 1]
    assert state.next_b.tolist() == [-1, 1, -1]
    state = reset(state)
    assert thinking.override(state, token_b, jnp.ones(3, int))[0].tolist() == [1, END, 1]
    with pytest.raises(InputError, match="room for 1"):
        thinking.rows([ThinkingBudget(end=END, max_tokens=0, close=(END, 3))], most_ids=1)
