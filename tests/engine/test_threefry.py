import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from kinetics_jax.engine.sampler.threefry import fold_in, sample_keys, threefry2x32, token_gumbel
from kinetics_jax.errors import InputError


def test_block_function_meets_the_published_answers():
    # Known-answer vectors of Random123, threefry2x32 with 20 rounds.
    ones = 0xFFFFFFFF
    pi = (0x13198A2E, 0x03707344, 0x243F6A88, 0x85A308D3)
    key0, key1, x0, x1 = np.array([(0, 0, 0, 0), (ones,) * 4, pi], np.uint32).T
    got = np.stack(threefry2x32(key0, key1, x0, x1), axis=-1)
    want = [(0x6B200159, 0x99BA4EFE), (0x1CB996FC, 0xBB002BE7), (0xC4923A9C, 0x483DF7A0)]
    np.testing.assert_array_equal(got, np.array(want, np.uint32))


@pytest.mark.parametrize("partitionable", [False, True])
def test_fold_in_is_jax_random_fold_in(partitionable):
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**32, (20, 2), dtype=np.uint32)
    data = rng.integers(0, 2**32, 20, dtype=np.uint32)
    data[:3] = 0, 1, 2**32 - 1
    with jax.threefry_partitionable(partitionable):
        want = [jax.random.fold_in(jnp.asarray(k), d) for k, d in zip(keys, data, strict=True)]
    np.testing.assert_array_equal(np.stack(fold_in(*keys.T, data), -1), np.stack(want))
    on_device = jax.jit(fold_in)(*jnp.asarray(keys).T, jnp.asarray(data))
    np.testing.assert_array_equal(np.stack(on_device, -1), np.stack(want))


@pytest.mark.parametrize("partitionable", [False, True])
def test_sample_key_is_the_folded_seed_problem_and_trial(partitionable):
    import hashlib

    for seed, problem, trial in ((0, "aime24/3", 0), (7, "日本 √2", 31), (2**32 - 1, "", 2**32 - 1)):
        digest = hashlib.blake2b(problem.encode(), digest_size=8).digest()
        high, low = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
        with jax.threefry_partitionable(partitionable):
            key = jnp.array([0, seed], jnp.uint32)  # what PRNGKey(seed) holds
            for data in (high, low, trial):
                key = jax.random.fold_in(key, np.uint32(data))
        np.testing.assert_array_equal(sample_keys(seed, [problem], [trial])[0], np.asarray(key))
    np.testing.assert_array_equal(np.asarray(jax.random.PRNGKey(7)), [0, 7])


def test_keys_never_change():
    # Stored sweeps are continued with these bits: a change here breaks every resume.
    assert sample_keys(0, ["aime24-1"], [0])[0].tolist() == KEPT[0]
    assert sample_keys(2**64 - 1, ["a"], [5])[0].tolist() == KEPT[1]


KEPT = ([1749484148, 2559225965], [1202862864, 3761960359])


def test_many_keys_are_single_keys_and_all_differ():
    problems = [f"p{i % 50}" for i in range(2000)]
    trials = [i // 50 for i in range(2000)]
    keys = sample_keys(3, problems, trials)
    assert keys.dtype == np.uint32
    assert len(np.unique(keys, axis=0)) == 2000
    for i in (0, 777, 1999):
        np.testing.assert_array_equal(keys[i], sample_keys(3, [problems[i]], [trials[i]])[0])
    assert sample_keys(0, [], []).shape == (0, 2)
    assert sample_keys(1, ["p"], [0])[0].tolist() != sample_keys(1 + 2**32, ["p"], [0])[0].tolist()


@pytest.mark.parametrize(
    ("seed", "problems", "trials", "words"),
    [
        (-1, ["a"], [0], "seed=-1"),
        (2**64, ["a"], [0], "seed="),
        (0, ["a"], [-1], "trial=-1"),
        (0, ["a"], [2**32], "trial="),
        (0, ["a", "b"], [0], "2 problem ids"),
    ],
)
def test_bad_keys_are_refused(seed, problems, trials, words):
    with pytest.raises(InputError, match=re.escape(words)):
        sample_keys(seed, problems, trials)


def test_gumbel_noise_has_its_distribution_and_belongs_to_the_token():
    key0, key1 = jnp.asarray(sample_keys(0, ["a"] * 64, range(64))).T
    noise = jax.jit(token_gumbel)((key0[:, None], key1[:, None]), jnp.arange(5000))
    assert noise.dtype == jnp.float32
    assert np.isfinite(noise).all()
    assert stats.kstest(np.asarray(noise).ravel(), stats.gumbel_r.cdf).pvalue > 1e-3
    picked = token_gumbel((key0[:, None], key1[:, None]), jnp.array([4711, 3]))
    np.testing.assert_allclose(picked, noise[:, jnp.array([4711, 3])], rtol=1e-6, atol=1e-6)
