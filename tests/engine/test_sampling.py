import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from kinetics_jax.engine.sampler.sampling import SamplerState, sample_tokens
from kinetics_jax.engine.sampler.threefry import sample_keys
from kinetics_jax.errors import InputError
from kinetics_jax.records import SamplingParams
from tests.engine.reference import chi_square, distribution

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
ROWS, MOST = 500, 100


def logits_for(V, sharpness, seed=0):
    return np.random.default_rng(seed).normal(size=V).astype(np.float32) * np.float32(sharpness)


@jax.jit
def draw(logits_v, state, positions):
    """[MOST, B] tokens of one distribution, as a decode chunk would draw them; 0 from positions on."""
    B = state.temperature_b.shape[0]
    logits_bv = jnp.broadcast_to(logits_v, (B, logits_v.shape[0]))

    def step(carry):
        at, tokens = carry
        token_b, _, _ = sample_tokens(logits_bv, state, jnp.full(B, at))
        return at + 1, tokens.at[at].set(token_b)

    start = (0, jnp.zeros((MOST, B), jnp.int32))
    return lax.while_loop(lambda c: c[0] < positions, step, start)[1]


def state_of(params, problem="p"):
    keys = sample_keys(0, [problem] * ROWS, range(ROWS))
    return SamplerState.of([SamplingParams(**params)] * ROWS, keys)


def draws_of(logits, params, positions=50, **which):
    return np.asarray(draw(jnp.asarray(logits), state_of(params, **which), positions))[:positions]


CASES = {
    "temperature": (40, 1.5, {"temperature": 0.6}),
    "hot": (40, 1.5, {"temperature": 2.5}),
    "top_k": (40, 1.0, {"top_k": 7}),
    "top_k 1": (40, 1.0, {"top_k": 1}),
    "top_p": (40, 1.5, {"top_p": 0.8}),
    "top_p tiny": (40, 1.5, {"top_p": 1e-6}),
    "min_p": (40, 1.5, {"min_p": 0.2}),
    "published": (300, 1.2, {"temperature": 0.6, "top_k": 20, "top_p": 0.95}),
    "top_k and top_p": (40, 0.7, {"top_k": 10, "top_p": 0.6}),
    "top_p and min_p": (40, 1.5, {"top_p": 0.9, "min_p": 0.1}),
    "all": (40, 1.5, {"temperature": 0.7, "top_k": 12, "top_p": 0.9, "min_p": 0.05}),
    "top_k 128 of many": (300, 1.0, {"top_k": 128}),
    "settled without top_k": (300, 2.5, {"temperature": 0.6, "top_p": 0.95}),
    "second tier by top_k": (1500, 2.0, {"top_k": 100, "top_p": 0.95}),
    "second tier by top_p": (1500, 3.0, {"temperature": 0.8, "top_p": 0.9}),
    "nothing of many": (300, 1.0, {}),
    "top_k of many": (300, 0.5, {"top_k": 170}),
    "top_p of many": (300, 0.5, {"top_p": 0.9}),
    "min_p of many": (300, 0.5, {"min_p": 0.2}),
    "all of many": (300, 0.5, {"temperature": 1.3, "top_k": 250, "top_p": 0.95, "min_p": 0.1}),
    "chunked": (4115, 2.0, {"temperature": 0.4, "top_p": 0.9}),
    "chunked, flat": (4115, 0.5, {"temperature": 0.6, "top_p": 0.7}),
}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.slow if name == "chunked, flat" else ()) for name in CASES]
)
def test_draws_follow_the_closed_form(case):
    V, sharpness, params = CASES[case]
    params = OFF | params
    logits = logits_for(V, sharpness)
    counts = np.bincount(draws_of(logits, params).ravel(), minlength=V)
    assert counts.sum() == 25_000
    assert chi_square(counts, distribution(logits, **params)) > 1e-3


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"top_k": 10, "top_p": 0.6}, {"order": "pkm"}),
        ({"temperature": 0.6, "top_p": 0.8}, {"temperature": 0.68}),
        ({"top_k": 10}, {"top_k": 11}),
        ({"top_p": 0.9, "min_p": 0.1}, {"order": "mpk"}),
        ({"top_p": 0.8}, {"top_p": 0.83}),
    ],
)
def test_the_test_can_fail(params, wrong):
    logits = logits_for(40, 0.7)
    counts = np.bincount(draws_of(logits, OFF | params).ravel(), minlength=40)
    assert chi_square(counts, distribution(logits, **(OFF | params))) > 1e-3
    assert chi_square(counts, distribution(logits, **(OFF | params | wrong))) < 1e-6


def test_equal_logits_are_ordered_by_id():
    logits = np.zeros(300, np.float32)
    logits[[5, 250]] = 1, 1
    logits[7] = -0.0
    for params, kept in (
        ({"temperature": 0.0}, [5]),
        ({"top_k": 4}, [0, 1, 5, 250]),
        ({"top_k": 200}, [*range(199), 250]),
        ({"top_p": 100 / (298 + 2 * np.e)}, [*range(96), 250]),
    ):
        drawn = np.unique(draws_of(logits, OFF | params, positions=20))
        np.testing.assert_array_equal(drawn, np.unique(kept), err_msg=str(params))


def joint(first, second, V):
    """p-value of the joint counts of two streams of tokens under independence."""
    table = np.zeros((V, V))
    np.add.at(table, (first.ravel(), second.ravel()), 1)
    chance = np.outer(table.sum(1), table.sum(0)) / table.sum() ** 2
    return chi_square(table.ravel(), chance.ravel())


def test_trials_positions_problems_and_tokens_are_independent():
    logits, V = logits_for(8, 0.7), 8
    tokens = draws_of(logits, OFF, positions=100)
    assert joint(tokens[:, :-1], tokens[:, 1:], V) > 1e-3
    assert joint(tokens[:-1], tokens[1:], V) > 1e-3
    assert joint(tokens[:-1, :-1], tokens[1:, 1:], V) > 1e-3
    other = draws_of(logits, OFF, positions=100, problem="q")
    assert joint(tokens, other, V) > 1e-3
    assert joint(tokens, tokens, V) < 1e-6


def test_logprob_is_of_the_unfiltered_distribution():
    rng = np.random.default_rng(3)
    for V in (40, 5003):
        logits = (rng.normal(size=(6, V)) * 4 + 30).astype(np.float32)
        params = [OFF | p for p in ({}, {"temperature": 0}, {"top_k": 3}, {"top_p": 0.5})]
        params += [OFF | {"temperature": 9.0}, OFF | {"top_k": 200, "temperature": 5.0}]
        state = SamplerState.of([SamplingParams(**p) for p in params], sample_keys(0, ["a"] * 6, range(6)))
        token_b, logprob_b, ok_b = jax.jit(sample_tokens)(logits, state, jnp.arange(6))
        assert ok_b.all()
        exact = logits - np.logaddexp.reduce(logits.astype(np.float64), axis=1)[:, None]
        np.testing.assert_allclose(logprob_b, exact[range(6), token_b], atol=2e-5)
        assert token_b[1] == logits[1].argmax()


# What a neighbour may be like: each opens another path, or breaks.
KINDS = [
    {"temperature": 0.0},
    {},
    {"temperature": 0.6, "top_k": 20, "top_p": 0.95},
    {"top_k": 200, "temperature": 3.0},
    {"top_p": 0.9},
    {"top_p": 0.97, "temperature": 5.0},
    {"min_p": 0.01},
    {"top_k": 1},
    {"top_k": 50},
    {"top_k": 128, "min_p": 0.3},
]


def random_row(rng, V):
    logits = (rng.normal(size=V) * rng.choice([0.3, 2.0, 8.0])).astype(np.float32)
    fault = rng.integers(12)
    if fault < 4:
        logits[rng.integers(V)] = [np.nan, np.inf, -np.inf, -np.nan][fault]
    params = SamplingParams(**(OFF | KINDS[rng.integers(len(KINDS))]))
    key = rng.integers(0, 2**32, 2, dtype=np.uint32)
    return logits, params, key, int(rng.integers(0, 40_000))


def run_rows(rows):
    logits, params, keys, positions = zip(*rows, strict=True)
    out = sample_jit(np.stack(logits), SamplerState.of(params, np.stack(keys)), np.array(positions))
    return [np.asarray(x) for x in out]


sample_jit = jax.jit(sample_tokens)


@pytest.mark.parametrize("V", [40, 272, 1037, 5003])
def test_a_row_is_the_same_bit_for_bit_among_any_neighbours(V):
    rng = np.random.default_rng(V)
    for _ in range(12):
        row = random_row(rng, V)
        seen = set()
        for _ in range(6):
            rows = [random_row(rng, V) for _ in range(8)]
            slot = int(rng.integers(8))
            rows[slot] = row
            token_b, logprob_b, ok_b = run_rows(rows)
            seen.add((int(token_b[slot]), logprob_b[slot].tobytes(), bool(ok_b[slot])))
        assert len(seen) == 1, seen


@pytest.mark.parametrize("V", [272, 1037])
def test_a_token_does_not_change_with_the_batch_size(V):
    rng = np.random.default_rng(V)
    rows = [random_row(rng, V) for _ in range(32)]
    token_b, logprob_b, ok_b = run_rows(rows)
    for size in (1, 8):
        parts = [run_rows(rows[i : i + size]) for i in range(0, 32, size)]
        tokens, logprobs, oks = (np.concatenate(x) for x in zip(*parts, strict=True))
        np.testing.assert_array_equal(tokens, token_b)
        np.testing.assert_array_equal(oks, ok_b)
        np.testing.assert_allclose(logprobs, logprob_b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("V", [40, 5003])
def test_broken_rows_say_so_and_harm_nobody(V):
    rng = np.random.default_rng(V)
    whole = [(logits_for(V, 2.0, s), SamplingParams(), np.array([1, s], np.uint32), s) for s in range(8)]
    want = run_rows(whole)
    assert want[2].all()
    for value in (np.nan, -np.nan, np.inf):
        rows = list(whole)
        for slot in (1, 6):
            logits = rows[slot][0].copy()
            logits[rng.integers(V)] = value
            rows[slot] = (logits, *rows[slot][1:])
        nothing = np.full(V, -np.inf, np.float32)
        rows[3] = (nothing, *rows[3][1:])
        token_b, logprob_b, ok_b = run_rows(rows)
        assert np.flatnonzero(~ok_b).tolist() == [1, 3, 6]
        assert token_b[~ok_b].tolist() == [0, 0, 0]
        assert (logprob_b[~ok_b] == -np.inf).all()
        for got, expected in zip((token_b, logprob_b), want, strict=False):
            np.testing.assert_array_equal(got[ok_b], expected[ok_b])


def test_masked_tokens_are_never_drawn_and_one_is_enough():
    logits = np.full(300, -np.inf, np.float32)
    logits[[17, 299]] = 0.0, 1.0
    for params in KINDS:
        assert set(np.unique(draws_of(logits, OFF | params, positions=5))) <= {17, 299}
    logits[17] = -np.inf
    for params in KINDS:
        assert set(np.unique(draws_of(logits, OFF | params, positions=5))) == {299}


def test_paths_meet_the_same_noise():
    # 30 tokens matter, so that these are one distribution: found in the first tier, the second, all of V.
    logits = np.full(1500, -60.0, np.float32)
    logits[np.random.default_rng(0).choice(1500, 30, replace=False)] = logits_for(30, 2.0)
    drawn = [draws_of(logits, OFF | {"top_k": k}, positions=20) for k in (32, 128, 0)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("V", [5008])
def test_slots_and_vocabulary_may_be_split_over_devices(V):
    if jax.device_count() < 8:
        pytest.skip("needs XLA_FLAGS=--xla_force_host_platform_device_count=8")
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:8]).reshape(2, 4), ("data", "model"))
    rng = np.random.default_rng(V)
    logits, params, keys, positions = zip(*[random_row(rng, V) for _ in range(8)], strict=True)
    state = SamplerState.of(params, np.stack(keys))
    want = sample_jit(np.stack(logits), state, np.array(positions))
    place = lambda x, *axes: jax.device_put(x, jax.NamedSharding(mesh, jax.P(*axes)))  # noqa: E731
    got = sample_jit(
        place(np.stack(logits), "data", "model"),
        jax.tree.map(lambda x: place(x, "data"), state),
        place(np.array(positions), "data"),
    )
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[2], want[2])
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5, atol=1e-5)


def test_idle_slots_are_greedy_and_rows_say_what_was_asked():
    state = SamplerState.init(4)
    logits = np.stack([logits_for(272, 2.0, s) for s in range(4)])
    token_b, _, ok_b = sample_jit(logits, state, np.zeros(4, np.int32))
    np.testing.assert_array_equal(token_b, logits.argmax(1))
    assert ok_b.all()
    rows = SamplerState.of(
        [SamplingParams(top_k=5), SamplingParams(min_p=0.1)], sample_keys(0, ["a", "b"], [3, 4])
    )
    assert rows.top_k_b.tolist() == [5, SamplingParams().top_k]
    np.testing.assert_allclose(rows.min_p_b, [0, 0.1], rtol=1e-6)
    np.testing.assert_array_equal(rows.key_b2, sample_keys(0, ["a", "b"], [3, 4]))
    with pytest.raises(InputError, match="need keys"):
        SamplerState.of([SamplingParams()], np.zeros((2, 2), np.uint32))
