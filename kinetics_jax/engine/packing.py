"""What the host says of slots as one array of words, so that an admission is one transfer and not thirty.

Axis letters: B slots.
"""

import math
from typing import Any

import jax
import numpy as np
from jax import lax

WORD = np.dtype(np.int32)


class Packing:
    """Where each array of a tree lies in a slot's words. Arrays are [B, …] of 4-byte numbers or bool."""

    def __init__(self, tree: Any) -> None:
        leaves, self._structure = jax.tree.flatten(tree)
        self._shapes = [leaf.shape for leaf in leaves]
        self._dtypes = [np.dtype(leaf.dtype) for leaf in leaves]
        self._ends = np.cumsum([math.prod(shape[1:]) for shape in self._shapes]).tolist()
        self._slots = self._shapes[0][0]

    def pack(self, tree: Any) -> np.ndarray:
        """The words [B, …] of a tree of NumPy arrays."""
        words = np.zeros((self._slots, self._ends[-1]), WORD)
        for place, leaf in zip(jax.tree.leaves(self.views(words)), jax.tree.leaves(tree), strict=True):
            place[...] = leaf
        return words

    def views(self, words: np.ndarray) -> Any:
        """The tree as NumPy views, to be written to; a bool is a word here, 0 or 1."""
        kinds = [WORD if dtype.kind == "b" else dtype for dtype in self._dtypes]
        parts = np.split(words, self._ends[:-1], axis=1)
        return jax.tree.unflatten(
            self._structure,
            (
                part.view(kind).reshape(shape)
                for part, kind, shape in zip(parts, kinds, self._shapes, strict=True)
            ),
        )

    def unpack(self, words: jax.Array) -> Any:
        """The tree as JAX arrays."""
        found, begin = [], 0
        for end, dtype, shape in zip(self._ends, self._dtypes, self._shapes, strict=True):
            part = words[:, begin:end].reshape(shape)
            found.append(part != 0 if dtype.kind == "b" else lax.bitcast_convert_type(part, dtype))
            begin = end
        return jax.tree.unflatten(self._structure, found)
