"""Feed-forward blocks: the dense SwiGLU and the sparse mixture of SwiGLU experts.

Axis letters: B sequence · T token · D model · F ffn · E experts · J experts per token · M = B·T·J rows.
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
    """Each token through its J most probable experts, weighted by a softmax over all E (Qwen3-MoE)."""

    def __init__(self, params: Params, moe: MoE, layout: Layout) -> None:
        self.router = Projection(params / "router", "btd,de->bte", layout)
        self.gate = Experts(params / "gate")
        self.up = Experts(params / "up")
        self.down = Experts(params / "down")
        self.moe, self.layout = moe, layout

    def route(self, x_btd: Array) -> tuple[Array, Array]:
        """Weights (dtype of ``x_btd``) and ids of each token's experts, both [B, T, J], best first."""
        probability_bte = jax.nn.softmax(self.router(x_btd).astype(jnp.float32), axis=-1)
        weight_btj, expert_btj = lax.top_k(probability_bte, self.moe.experts_per_token)
        if self.moe.norm_topk_prob:
            weight_btj = weight_btj / weight_btj.sum(-1, keepdims=True)
        return weight_btj.astype(x_btd.dtype), expert_btj

    def __call__(self, x_btd: Array) -> Array:
        """Same shape and dtype as ``x_btd``."""
        weight_btj, expert_btj = self.route(x_btd)
        matrices = [_pair(experts) for experts in (self.gate, self.up, self.down)]
        if self.layout.mesh is None:
            return _mix(x_btd, weight_btj, expert_btj, matrices, first_expert=0)
        return self._sharded(x_btd, weight_btj, expert_btj, matrices)

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
    weight_btj: Array,
    expert_btj: Array,
    matrices: list,
    *,
    expert_axes: MeshAxes,
    gathered: MeshAxes,
    summed: MeshAxes,
) -> Array:
    """One device's experts on every token of its data group."""
    if gathered:
        x_btd, weight_btj, expert_btj = (
            lax.all_gather(a, gathered, tiled=True) for a in (x_btd, weight_btj, expert_btj)
        )
    shard = lax.axis_index(expert_axes) if expert_axes else 0
    y = _mix(x_btd, weight_btj, expert_btj, matrices, shard * matrices[0][0].shape[0])
    y = lax.psum(y, summed) if summed else y
    return lax.psum_scatter(y, gathered, tiled=True) if gathered else y


def _mix(
    x_btd: Array, weight_btj: Array, expert_btj: Array, matrices: list, first_expert: Array | int
) -> Array:
    """Sum over each token's experts, of those held here: E ``matrices`` from ``first_expert`` on."""
    gate, up, down = matrices
    B, T, D = x_btd.shape
    J, E = expert_btj.shape[-1], gate[0].shape[0]
    local_m = expert_btj.reshape(-1) - first_expert
    local_m = jnp.where((local_m >= 0) & (local_m < E), local_m, E)  # E: held by another device
    order = jnp.argsort(local_m, stable=True)
    rows_e = jnp.sum(local_m[:, None] == jnp.arange(E), axis=0, dtype=jnp.int32)
    owner_m = jnp.minimum(local_m[order], E - 1)

    def project(x: Array, matrix: tuple[Array, ...]) -> Array:
        y = grouped_matmul(x, matrix[0], rows_e)
        if len(matrix) == 1:
            return y
        return (y.astype(jnp.float32) * matrix[1][owner_m]).astype(x.dtype)

    x_md = x_btd.reshape(-1, D)[order // J]
    y_md = project(jax.nn.silu(project(x_md, gate)) * project(x_md, up), down)
    y_md = y_md * weight_btj.reshape(-1)[order][:, None]
    by_token = y_md[jnp.argsort(order)].reshape(B, T, J, D)
    return by_token.astype(jnp.float32).sum(2).astype(x_btd.dtype)
