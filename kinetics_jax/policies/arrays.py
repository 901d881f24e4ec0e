"""Array helpers of the policies, for NumPy and JAX arrays alike.

Axes: B sequences · N query heads · K KV heads · S context.
"""

from typing import Any

import numpy as np

from kinetics_jax.errors import InputError

Array = Any
"""An array of either kind (NumPy or JAX), or a plain number."""


def array_namespace(x: Array) -> Any:
    """The module whose functions take ``x``: jax.numpy for a JAX array, else NumPy."""
    namespace = getattr(x, "__array_namespace__", None)
    return namespace() if namespace else np


def group_mean(logits_bns: np.ndarray, num_kv_heads: int) -> np.ndarray:
    """Mean of the scaled logits over the query heads of each KV head: [B, N, S] → [B, K, S]."""
    b, n, s = logits_bns.shape
    if num_kv_heads < 1 or n % num_kv_heads:
        raise InputError(f"num_kv_heads={num_kv_heads} does not divide the {n} query heads")
    return logits_bns.reshape(b, num_kv_heads, n // num_kv_heads, s).mean(axis=2)


def top_mask(scores: Array, k: int, eligible: Array) -> Array:
    """True at the k largest eligible scores of the last axis; ties go to the lower index, NaN is last.

    All that are eligible where those are no more than k. Same choice as ``lax.top_k``.
    """
    xp = array_namespace(scores)
    if k >= scores.shape[-1]:
        return eligible
    scores = xp.where(eligible & ~xp.isnan(scores), scores, -xp.inf)
    kth = xp.sort(scores, axis=-1)[..., -k, None]
    above, equal = scores > kth, eligible & (scores == kth)
    room = k - above.sum(axis=-1, keepdims=True)
    return above | (equal & (xp.cumsum(equal, axis=-1) <= room))


def exists(lengths_b: Array, size: int) -> Array:
    """True at the positions below each row's length, [B, 1, size]."""
    return array_namespace(lengths_b).arange(size) < lengths_b[:, None, None]


def mark(indices: Array, size: int) -> Array:
    """Bool [..., size], True at each of the ``indices`` [..., n] of a row."""
    xp = array_namespace(indices)
    marked = xp.zeros((*indices.shape[:-1], size), bool)
    if xp is np:
        np.put_along_axis(marked, indices, True, axis=-1)
        return marked
    return xp.put_along_axis(marked, indices, True, axis=-1, inplace=False)


def hashed(*words: Array) -> Array:
    """32 uniform bits that depend on every word (integers of either kind, broadcast together).

    Each word is folded in by the finaliser of MurmurHash3, on arrays only, where overflow wraps.
    """
    bits: Array = np.full(1, 0x9E3779B9, np.uint32)
    for word in words:
        bits = bits ^ _unsigned(word)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            bits = (bits ^ (bits >> np.uint32(shift))) * np.full(1, factor, np.uint32)
        bits = bits ^ (bits >> np.uint32(16))
    return bits


def _unsigned(word: Array) -> Array:
    return np.full(1, word & 0xFFFFFFFF, np.uint32) if isinstance(word, int) else word.astype("uint32")
