"""Our weights ↔ tensors of a Hugging Face checkpoint: names, and which dims are merged or reordered.

A layout such as ``heads*head_dim model_dim`` lists a tensor's dims by our logical axes; ``*`` merges two.
Linear layers are stored output-first there and input-first here.
"""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from kinetics_jax.models.weights import Weight
from kinetics_jax.shapes import ModelConfig

_OUTER = {
    "embed.weight": ("model.embed_tokens.weight", "vocab model_dim"),
    "final_norm.weight": ("model.norm.weight", "model_dim"),
    "head.weight": ("lm_head.weight", "vocab model_dim"),
}
_LAYER = {
    "attention_norm.weight": ("input_layernorm.weight", "model_dim"),
    "attention.query.weight": ("self_attn.q_proj.weight", "heads*head_dim model_dim"),
    "attention.key.weight": ("self_attn.k_proj.weight", "kv_heads*head_dim model_dim"),
    "attention.value.weight": ("self_attn.v_proj.weight", "kv_heads*head_dim model_dim"),
    "attention.out.weight": ("self_attn.o_proj.weight", "model_dim heads*head_dim"),
    "attention.query.bias": ("self_attn.q_proj.bias", "heads*head_dim"),
    "attention.key.bias": ("self_attn.k_proj.bias", "kv_heads*head_dim"),
    "attention.value.bias": ("self_attn.v_proj.bias", "kv_heads*head_dim"),
    "attention.out.bias": ("self_attn.o_proj.bias", "model_dim"),
    "attention.query_norm.weight": ("self_attn.q_norm.weight", "head_dim"),
    "attention.key_norm.weight": ("self_attn.k_norm.weight", "head_dim"),
    "ffn_norm.weight": ("post_attention_layernorm.weight", "model_dim"),
}
_DENSE = {
    "ffn.gate.weight": ("mlp.gate_proj.weight", "ffn model_dim"),
    "ffn.up.weight": ("mlp.up_proj.weight", "ffn model_dim"),
    "ffn.down.weight": ("mlp.down_proj.weight", "model_dim ffn"),
}
_ROUTER = {"ffn.router.weight": ("mlp.gate.weight", "experts model_dim")}
_EXPERT = {
    "ffn.gate.weight": ("mlp.experts.{}.gate_proj.weight", "expert_ffn model_dim"),
    "ffn.up.weight": ("mlp.experts.{}.up_proj.weight", "expert_ffn model_dim"),
    "ffn.down.weight": ("mlp.experts.{}.down_proj.weight", "model_dim expert_ffn"),
}
# As transformers 5 holds experts in memory, and some checkpoints are saved. Gate comes before up.
_FUSED = {
    "ffn.gate.weight": ("mlp.experts.gate_up_proj", "experts gate_up model_dim"),
    "ffn.up.weight": ("mlp.experts.gate_up_proj", "experts gate_up model_dim"),
    "ffn.down.weight": ("mlp.experts.down_proj", "experts model_dim expert_ffn"),
}
# As GGUF files hold them: all experts in one tensor, gate and up apart.
_STACKED = {
    "ffn.gate.weight": ("mlp.experts.gate_proj.weight", "experts expert_ffn model_dim"),
    "ffn.up.weight": ("mlp.experts.up_proj.weight", "experts expert_ffn model_dim"),
    "ffn.down.weight": ("mlp.experts.down_proj.weight", "experts model_dim expert_ffn"),
}
ExpertLayout = Literal["apart", "fused", "stacked"]
"""How a checkpoint holds a layer's experts: apart, or all in one tensor, with gate and up fused or not."""


def expert_layout(tensors: Collection[str]) -> ExpertLayout:
    """Which it is, told by the names that a checkpoint holds."""
    if any(name.endswith(".mlp.experts.gate_up_proj") for name in tensors):
        return "fused"
    if any(name.endswith(".mlp.experts.gate_proj.weight") for name in tensors):
        return "stacked"
    return "apart"


@dataclasses.dataclass(frozen=True)
class Source:
    """The checkpoint tensor that one weight (of one layer, of one expert) is stored in."""

    key: str
    shape: tuple[int, ...]
    """What the checkpoint must give."""
    dims: tuple[tuple[str, ...], ...]
    """Our axes that each of its dims merges."""
    sizes: Mapping[str, int]
    starts: tuple[int, ...]
    """Where our part begins along each of its dims (the up half of a fused gate_up)."""

    def holds(self, axis: str) -> bool:
        """Whether ``axis`` is one of the tensor's own."""
        return any(axis in merged for merged in self.dims)

    def region(self, part: Mapping[str, slice]) -> tuple[slice, ...]:
        """The tensor's slices that hold these slices of our axes (the inner of two merged is whole)."""
        found = []
        for axes, start in zip(self.dims, self.starts, strict=True):
            inner = math.prod(self.sizes[axis] for axis in axes[1:])
            first, last, _ = part[axes[0]].indices(self.sizes[axes[0]])
            found.append(slice(start + first * inner, start + last * inner))
        return tuple(found)

    def to_ours(self, stored: np.ndarray, axes: Sequence[str]) -> np.ndarray:
        """A region as read → its dims split and ordered as ``axes`` (a view where possible)."""
        flat = [axis for merged in self.dims for axis in merged]
        shape: list[int] = []
        for size, merged in zip(stored.shape, self.dims, strict=True):
            inner = [self.sizes[axis] for axis in merged[1:]]
            shape += [size // math.prod(inner), *inner]
        return stored.reshape(shape).transpose([flat.index(axis) for axis in axes])

    def to_theirs(self, ours: np.ndarray, axes: Sequence[str]) -> np.ndarray:
        """The inverse of ``to_ours`` for a whole tensor."""
        flat = [axis for merged in self.dims for axis in merged]
        moved = ours.transpose([list(axes).index(axis) for axis in flat])
        return np.ascontiguousarray(moved).reshape(self.shape)


def sources(
    config: ModelConfig,
    name: str,
    weight: Weight,
    *,
    layer: int | None = None,
    experts: ExpertLayout = "apart",
) -> Iterator[Source]:
    """Where weight ``name`` (without its layer prefix) is stored: one ``Source``, or one per expert.

    ``weight`` gives the sizes of its axes, ``experts`` says how the checkpoint holds experts.
    """
    sizes = dict(zip(weight.axes, weight.shape, strict=True))
    if layer is None:
        yield _source(*_OUTER[name], sizes)
        return
    before = f"model.layers.{layer}."
    if config.moe is None or not config.has_experts(layer):
        key, layout = (_LAYER | _DENSE)[name]
        yield _source(before + key, layout, sizes)
    elif name not in _EXPERT:
        key, layout = (_LAYER | _ROUTER)[name]
        yield _source(before + key, layout, sizes)
    elif experts != "apart":
        key, layout = (_FUSED if experts == "fused" else _STACKED)[name]
        yield _source(before + key, layout, sizes, second_half=name == "ffn.up.weight")
    else:
        key, layout = _EXPERT[name]
        for expert in range(config.moe.num_experts):
            yield _source(before + key.format(expert), layout, sizes)


def _source(key: str, layout: str, sizes: Mapping[str, int], *, second_half: bool = False) -> Source:
    doubled = "gate_up" in layout
    layout = layout.replace("gate_up", "expert_ffn")
    dims = tuple(tuple(part.split("*")) for part in layout.split())
    shape = [math.prod(sizes[axis] for axis in axes) for axes in dims]
    starts = [0] * len(dims)
    if doubled:  # gate and up in one, gate first
        starts[1] = shape[1] if second_half else 0
        shape[1] *= 2
    return Source(key, tuple(shape), dims, sizes, tuple(starts))
