"""Feed-forward blocks: the dense SwiGLU and the sparse mixture of SwiGLU experts.

Axis letters: B sequences · T tokens · D model dim · F ffn dim · E experts. A *row* is a token at one of its
experts; arrays of rows are [rows] or [rows, D].
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from kinetics_jax.models.grouped_matmul import grouped_matmul
from kinetics_jax.models.layers import Params, Projection
from kinetics_jax.models.sharding import Layout, MeshAxes
from kinetics_jax.shapes import MoE

Array = jax.Array


class SwiGLU(nnx.Module):
    """down(silu(gate(x)) · up(x)) (arXiv:2002.05202)."""

    def __init__(self, params: Params, layout: Layout) -> None:
        self.gate = Projection(params / "gate", "btd,df->btf", layout)
        self.up = Projection(params / "up", "btd,df->btf", layout)
        self.down = Projection(params / "down", "btf,fd->btd", layout)

    def __call__(self, x_btd: Array) -> Array:
        """Same shape and dtype as ``x_btd``."""
        return self.down(jax.nn.silu(self.gate(x_btd)) * self.up(x_btd))


class Experts(nnx.Module):
    """One grouped projection: the weight of every expert, and its scale where quantised."""

    def __init__(self, params: Params) -> None:
        self.weight = params.take("weight")
        self.scale = params.find("scale")


class SparseMoE(nnx.Module):
    """Each token through its few most probable experts, weighted by a softmax over all E (Qwen3-MoE)."""

    def __init__(self, params: Params, moe: MoE, layout: Layout) -> None:
        self.router = Projection(params / "router", "btd,de->bte", layout)
        self.gate = Experts(params / "gate")
        self.up = Experts(params / "up")
        self.down = Experts(params / "down")
        self.moe, self.layout = moe, layout

    def route(self, x_btd: Array) -> tuple[Array, Array]:
        """Weights (dtype of ``x_btd``) and ids [B, T, …] of each token's experts, best first."""
        probability_bte = jax.nn.softmax(self.router(x_btd).astype(jnp.float32), axis=-1)
        weights, experts = lax.top_k(probability_bte, self.moe.experts_per_token)
        if self.moe.norm_topk_prob:
            weights = weights / weights.sum(-1, keepdims=True)
        return weights.astype(x_btd.dtype), experts

    def __call__(self, x_btd: Array) -> Array:
        """Same shape and dtype as ``x_btd``."""
        weights, experts = self.route(x_btd)
        matrices = [_pair(one) for one in (self.gate, self.up, self.down)]
        if self.layout.mesh is None:
            return _mix(x_btd, weights, experts, matrices, first_expert=0)
        return self._sharded(x_btd, weights, experts, matrices)

    def _sharded(self, x_btd: Array, weight: Array, expert: Array, matrices: list) -> Array:
        """Experts stay where they are; tokens are gathered over the expert axis and summed back."""
        layout, batch = self.layout, x_btd.shape[0]
        expert_axes = layout.axes("experts")
        gathered = tuple(a for a in layout.batch_split(batch) if a in expert_axes)
        tokens = layout.spec("batch", None, None, batch=batch)
        wide = (layout.spec("experts", None, "expert_ffn"), layout.spec("experts", "expert_ffn"))
        narrow = (layout.spec("experts", "expert_ffn", None), layout.spec("experts", None))
        local = functools.partial(
            _mix_local,
            expert_axes=expert_axes,
            gathered=gathered,
            summed=tuple(a for a in expert_axes if a not in gathered) + layout.axes("expert_ffn"),
        )
        specs = [spec[: len(pair)] for spec, pair in zip((wide, wide, narrow), matrices, strict=True)]
        return jax.shard_map(
            local,
            mesh=layout.mesh,
            in_specs=(tokens, tokens, tokens, specs),
            out_specs=tokens,
            check_vma=False,
        )(x_btd, weight, expert, matrices)


def _pair(experts: Experts) -> tuple[Array, ...]:
    scale = () if experts.scale is None else (experts.scale[...],)
    return (experts.weight[...], *scale)


def _mix_local(
    x_btd: Array,
    weights: Array,
    experts: Array,
    matrices: list,
    *,
    expert_axes: MeshAxes,
    gathered: MeshAxes,
    summed: MeshAxes,
) -> Array:
    """One device's experts on every token of its data group."""
    if gathered:
        x_btd, weights, experts = (lax.all_gather(a, gathered, tiled=True) for a in (x_btd, weights, experts))
    shard = lax.axis_index(expert_axes) if expert_axes else 0
    y = _mix(x_btd, weights, experts, matrices, shard * matrices[0][0].shape[0])
    y = lax.psum(y, summed) if summed else y
    return lax.psum_scatter(y, gathered, tiled=True) if gathered else y


def _mix(x_btd: Array, weights: Array, experts: Array, matrices: list, first_expert: Array | int) -> Array:
    """Sum over each token's experts, of those held here: E ``matrices`` from ``first_expert`` on."""
    gate, up, down = matrices
    B, T, D = x_btd.shape
    each, E = experts.shape[-1], gate[0].shape[0]
    local = experts.reshape(-1) - first_expert
    local = jnp.where((local >= 0) & (local < E), local, E)  # E: held by another device
    order = jnp.argsort(local, stable=True)
    rows_e = jnp.sum(local[:, None] == jnp.arange(E), axis=0, dtype=jnp.int32)
    owner = jnp.minimum(local[order], E - 1)

    def project(x: Array, matrix: tuple[Array, ...]) -> Array:
        y = grouped_matmul(x, matrix[0], rows_e)
        if len(matrix) == 1:
            return y
        return (y.astype(jnp.float32) * matrix[1][owner]).astype(x.dtype)

    x = x_btd.reshape(-1, D)[order // each]
    y = project(jax.nn.silu(project(x, gate)) * project(x, up), down)
    y = y * weights.reshape(-1)[order][:, None]
    by_token = y[jnp.argsort(order)].reshape(B, T, each, D)
    return by_token.astype(jnp.float32).sum(2).astype(x_btd.dtype)
