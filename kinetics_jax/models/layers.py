"""The small modules every layer is made of: norm, projection, embedding.

Axis letters: B sequences · T tokens · D model dim · V vocabulary; einsum keys name the rest.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import pallas_kernels as pk
from kinetics_jax.errors import InputError
from kinetics_jax.models.sharding import Layout

Array = jax.Array


class Params:
    """The arrays below one path of the model; modules take theirs from it by name."""

    def __init__(self, arrays: Mapping[str, Any], prefix: str = "") -> None:
        self._arrays, self._prefix = arrays, prefix

    def __truediv__(self, name: str) -> "Params":
        return Params(self._arrays, f"{self._prefix}{name}.")

    def take(self, name: str) -> nnx.Param:
        """The array called ``name`` here. Raises ``InputError`` where it was not given."""
        found = self.find(name)
        if found is None:
            raise InputError(f"the model needs an array {self._prefix + name!r}; it was not given")
        return found

    def find(self, name: str) -> nnx.Param | None:
        """The array called ``name`` here, or None where the model has none (no bias, no scale)."""
        array = self._arrays.get(self._prefix + name)
        return None if array is None else nnx.Param(array)


class RMSNorm(nnx.Module):
    """x / rms(x) · weight over the last axis, the division in float32 (arXiv:1910.07467)."""

    def __init__(self, params: Params, eps: float) -> None:
        self.weight = params.take("weight")
        self.eps = eps

    def __call__(self, x: Array) -> Array:
        """Same shape and dtype as ``x``."""
        wide = x.astype(jnp.float32)
        wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, -1, keepdims=True) + self.eps)
        return wide.astype(x.dtype) * self.weight[...]


class Projection(nnx.Module):
    """``einsum(key, x, weight)``, scaled per channel where quantised, plus a bias if any."""

    def __init__(self, params: Params, einsum: str, layout: Layout) -> None:
        """``einsum`` sums the last axes of x and the first of the weight: "btnh,nhd->btd"."""
        self.weight = params.take("weight")
        self.scale = params.find("scale")
        self.bias = params.find("bias")
        self.einsum, self.layout = einsum, layout

    def __call__(self, x: Array) -> Array:
        """Shape as the einsum key says, dtype of ``x``."""
        weight = self.weight[...]
        if self.layout.mesh is None:
            y = jax.lax.platform_dependent(x, weight, cpu=self._by_rows, default=self._whole)
        else:
            y = self._whole(x, weight)
        if self.scale is not None:
            y = (y.astype(jnp.float32) * self.scale[...]).astype(x.dtype)
        return y if self.bias is None else y + self.bias[...]

    def _whole(self, x: Array, weight: Array) -> Array:
        return jnp.einsum(self.einsum, x, weight.astype(x.dtype))

    def _by_rows(self, x: Array, weight: Array) -> Array:
        """Through `pallas_kernels.linear`: no compiler can split it over a mesh, and a TPU would copy the
        weight into the layout of a matrix at every step.
        """
        left, out = self.einsum.split("->")
        kept = len(set(left.split(",")[0]) & set(out))
        summed = x.ndim - kept
        rows = x.reshape(math.prod(x.shape[:kept]), -1)
        y = pk.linear(rows, weight.reshape(rows.shape[1], -1))
        return y.reshape(*x.shape[:kept], *weight.shape[summed:]).astype(x.dtype)


class Embedding(nnx.Module):
    """A V×D table, read by row on the way in and as a projection on the way out."""

    def __init__(self, params: Params, layout: Layout, dtype: jax.typing.DTypeLike) -> None:
        self.weight = params.take("weight")
        self.scale = params.find("scale")
        self.layout = layout
        self.dtype = jnp.dtype(dtype)

    def look_up(self, tokens_bt: Array) -> Array:
        """Vectors x_btd of tokens."""
        if self.layout.mesh is None and self.weight.dtype != jnp.float32:
            x = pk.look_up(self.weight[...], tokens_bt.reshape(-1)).reshape(*tokens_bt.shape, -1)
        else:
            x = jnp.take(self.weight[...], tokens_bt, axis=0)
        if self.scale is not None:
            x = x.astype(jnp.float32) * jnp.take(self.scale[...], tokens_bt, axis=0)[..., None]
        return self.layout.constrain(x.astype(self.dtype), "batch", None, None)

    def logits(self, x_btd: Array) -> Array:
        """Logits_btv in float32."""
        weight = self.weight[...]
        if self.layout.mesh is None:
            by_platform = jax.lax.platform_dependent
            logits = by_platform(x_btd, weight, cpu=_logits_by_rows, default=_logits)
        else:
            logits = _logits(x_btd, weight)
        if self.scale is not None:
            logits = logits * self.scale[...]
        return self.layout.constrain(logits, "batch", None, "vocab")


def _logits(x_btd: Array, weight_vd: Array) -> Array:
    return jnp.einsum("btd,vd->btv", x_btd, weight_vd.astype(x_btd.dtype)).astype(jnp.float32)


def _logits_by_rows(x_btd: Array, weight_vd: Array) -> Array:
    rows = x_btd.reshape(-1, x_btd.shape[-1])
    return pk.linear(rows, weight_vd, transposed=True).reshape(*x_btd.shape[:-1], -1)
