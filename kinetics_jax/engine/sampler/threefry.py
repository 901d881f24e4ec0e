"""Random bits as a pure function of (seed, problem, trial, position, token id): Threefry-2x32, 20 rounds.

Written out, against NumPy or JAX arrays alike: the bits depend on no batch, flag, version or platform.
Equal to ``jax.random.fold_in`` of threefry key data. Source: Salmon et al. 2011, "Parallel random numbers:
as easy as 1, 2, 3". Axis letters: B samples; ``2`` the two words of a key.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax.checks import MAX_SEED
from kinetics_jax.errors import InputError

Array = Any
"""uint32 array of either kind (NumPy or JAX)."""

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_MASK = 0xFFFFFFFF


def sample_keys(seed: int, problem_ids: Sequence[str], trials: Sequence[int]) -> np.ndarray:
    """Keys of B samples, uint32 [B, 2]: fold_in(fold_in(seed, problem), trial), on the host.

    A problem is the 64-bit BLAKE2b hash of its id, folded in as two words (high, low), so that two of a
    million problems meet with probability 3·10⁻⁸. A seed below 2³² is ``jax.random.PRNGKey(seed)``.

    Raises:
      InputError: seed outside 0…2⁶⁴−1, a trial outside 0…2³²−1, or lists of unequal length.
    """
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed={seed!r} must be a whole number in 0…{MAX_SEED}")
    if len(problem_ids) != len(trials):
        raise InputError(f"{len(problem_ids)} problem ids do not pair with {len(trials)} trials")
    bad = [t for t in trials if not 0 <= t <= _MASK]
    if bad:
        raise InputError(f"trial={bad[0]!r} must be a whole number in 0…{_MASK}")
    words = {text: _hash(text) for text in set(problem_ids)}
    high, low = np.array([words[text] for text in problem_ids], np.uint32).reshape(-1, 2).T
    key_b2 = np.empty((len(problem_ids), 2), np.uint32)
    key_b2[:] = (seed >> 32, seed & _MASK)
    for data in (high, low, np.asarray(trials, np.uint32)):
        key_b2 = np.stack(fold_in(key_b2[:, 0], key_b2[:, 1], data), axis=-1)
    return key_b2


def fold_in(key0: Array, key1: Array, data: Array) -> tuple[Array, Array]:
    """Both words of ``jax.random.fold_in``: the key of item ``data`` (uint32) under a key. Broadcasts."""
    return threefry2x32(key0, key1, data * np.uint32(0), data)


def token_gumbel(token_key: tuple[Array, Array], token_id: jax.Array) -> jax.Array:
    """Standard Gumbel noise of token ids under a key, float32, on the device. Shapes broadcast.

    Noise belongs to the token id: whichever tokens a filter or a path keeps, they meet the same noise,
    and two models or policies with one seed differ by their logits and not by their luck.
    Uniforms are (n + ½)/2³¹, cut at 1 − 2⁻²⁴, and taken as the short side of 1 − u, so that a token
    wins with the right probability down to 2⁻³².
    """
    bits, _ = fold_in(*token_key, token_id.astype(jnp.uint32))
    # Halved first: not every vector unit converts unsigned integers.
    whole = (bits >> np.uint32(1)).astype(jnp.int32).astype(jnp.float32)
    uniform = jnp.minimum(whole * np.float32(2**-31) + np.float32(2**-32), np.float32(1 - 2**-24))
    return -jnp.log(-jnp.log1p(-uniform))


def threefry2x32(key0: Array, key1: Array, x0: Array, x1: Array) -> tuple[Array, Array]:
    """The block function: two words of counter under two words of key, all uint32. Shapes broadcast."""
    keys = (key0, key1, key0 ^ key1 ^ _PARITY)
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for i in range(5):
        for by in _ROTATIONS[i % 2]:
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(by)) | (x1 >> np.uint32(32 - by))) ^ x0
        x0, x1 = x0 + keys[(i + 1) % 3], x1 + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def _hash(text: str) -> tuple[int, int]:
    whole = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return whole >> 32, whole & _MASK
