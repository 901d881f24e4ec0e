"""The ops at the shapes that a Qwen3 decode step gives them, with the bytes that each must move.

Letters: B sequences · S context length · N query heads · K KV heads · H head dim · P pages of a sequence ·
p page size · J pages read. Devices share the heads.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

import pallas_kernels as ops
from pallas_kernels.analysis.compilation import Job, lower_for
from pallas_kernels.analysis.devices import abstract_mesh

AXIS = "heads"
POOL_BYTES = 8 * 2**30  # sequences of one prompt share pages, so a pool need not hold B·S tokens
PROMPT_SHARE = 4  # of `prefix_attention`: the prompt is a quarter of the listed pages
QWEN3_HEADS = {  # (N, K): which Qwen3 models; H = 128 in all
    (16, 8): "0.6B, 1.7B",
    (32, 8): "4B, 8B",
    (40, 8): "14B",
    (64, 8): "32B",
    (32, 4): "30B-A3B",
    (64, 4): "235B-A22B",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A decode step in bf16 that reads ``budget`` tokens of ``context``, its heads over ``devices``."""

    batch: int = 8
    context: int = 32_768
    budget: int = 1_024
    query_heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    page_size: int = 16
    devices: int = 1

    @property
    def pages(self) -> int:
        """P: pages of a sequence."""
        return self.context // self.page_size

    @property
    def listed(self) -> int:
        """J: pages read of each (sequence, KV head)."""
        return min(self.budget, self.context) // self.page_size

    @property
    def pool(self) -> int:
        """Pages of the pool: all sequences', or what fits `POOL_BYTES` on each device."""
        page = 4 * self.kv_heads * self.page_size * self.head_dim // self.devices
        return min(self.batch * self.pages, POOL_BYTES // page)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """One op at one shape.

    Attributes:
        op: its name.
        fn: what to compile.
        avals: its arguments, on one device or all.
        specs: how each argument is split over the axis `AXIS`.
        out_specs: how the results are.
        donated: arguments that are updated in place.
        must_move: HBM bytes of one device that no implementation can avoid: what the op is asked to read of
            the cache, and its queries, lists and results.

    """

    op: str
    fn: Callable[..., Any]
    avals: tuple[jax.ShapeDtypeStruct, ...]
    specs: tuple[Spec, ...]
    out_specs: Any
    donated: tuple[int, ...] = ()
    must_move: int

    def lower(self, chip: str, devices: int = 1) -> Job:
        """The program lowered for `compile_all`: over ``devices`` in `jax.shard_map` when more than one."""
        if devices == 1:
            return lower_for(chip, self.fn, *self.avals, donate_argnums=self.donated)
        mesh = abstract_mesh(chip, (devices,), (AXIS,))
        sharded = jax.shard_map(
            self.fn, mesh=mesh, in_specs=self.specs, out_specs=self.out_specs, check_vma=False
        )
        avals = [_split(aval, mesh, spec) for aval, spec in zip(self.avals, self.specs, strict=True)]
        return lower_for(chip, sharded, *avals, mesh=mesh, donate_argnums=self.donated)


def programs(shape: Shape) -> dict[str, Program]:
    """Every op of one layer's sparse decode attention at ``shape``, and the four parts as one program."""
    made = (
        _page_scores(shape),
        _select_pages(shape),
        _paged_attention(shape),
        _kv_append(shape),
        _layer(shape),
        _prefix_attention(shape),
    )
    return {program.op: program for program in made}


LAYER_PARTS = ("page_scores", "select_pages", "paged_attention", "kv_append")


def _paged_attention(shape: Shape) -> Program:
    query, pool, _, lengths = _common(shape)
    ids, num = _list(shape)
    return Program(
        op="paged_attention",
        fn=ops.paged_attention,
        avals=(query, pool, ids, num, lengths),
        specs=(_HEADS, _HEADS, _HEADS, _HEADS, Spec()),
        out_specs=(_HEADS, _HEADS),
        must_move=_attended(shape, shape.listed) + _bytes(shape, query, query, ids),
    )


def _page_scores(shape: Shape) -> Program:
    query, _, summaries, lengths = _common(shape)
    scores = _scores(shape)
    return Program(
        op="page_scores",
        fn=functools.partial(ops.page_scores, page_size=shape.page_size),
        avals=(query, summaries, lengths),
        specs=(_HEADS, _HEADS, Spec()),
        out_specs=_HEADS,
        must_move=_bytes(shape, query, summaries, scores),
    )


def _select_pages(shape: Shape) -> Program:
    scores, ids = _scores(shape), _list(shape)[0]
    table = _int(shape.batch, shape.pages)
    return Program(
        op="select_pages",
        fn=functools.partial(_select, shape),
        avals=(scores, _int(shape.batch), table),
        specs=(_HEADS, Spec(), Spec()),
        out_specs=(_HEADS, _HEADS),
        must_move=_bytes(shape, scores, ids) + 4 * table.size,
    )


def _kv_append(shape: Shape) -> Program:
    _, pool, summaries, lengths = _common(shape)
    token = _bf16(shape.batch, 1, shape.kv_heads, shape.head_dim)
    table = _int(shape.batch, shape.pages)
    touched = _bf16(shape.batch, shape.kv_heads, shape.page_size, shape.head_dim)

    def append(pool: Any, key: Any, value: Any, table: Any, lengths: Any, summaries: Any) -> Any:
        grown = ops.kv_append(pool, key, value, table, lengths, summaries_mkrph=summaries)
        return grown.kv_pages, grown.summaries

    return Program(
        op="kv_append",
        fn=append,
        avals=(pool, token, token, table, lengths, summaries),
        specs=(_HEADS, Spec(None, None, AXIS), Spec(None, None, AXIS), Spec(), Spec(), _HEADS),
        out_specs=(_HEADS, _HEADS),
        donated=(0, 5),
        # the token in and out, K and V; the page's keys, of which the summary is made; the summary
        must_move=_bytes(shape, token, token, token, token, touched, token),
    )


def _layer(shape: Shape) -> Program:
    query, pool, summaries, lengths = _common(shape)
    token = _bf16(shape.batch, 1, shape.kv_heads, shape.head_dim)
    table = _int(shape.batch, shape.pages)
    parts = (_page_scores(shape), _select_pages(shape), _paged_attention(shape), _kv_append(shape))

    def layer(query: Any, pool: Any, key: Any, value: Any, table: Any, lengths: Any, summaries: Any) -> Any:
        pool, summaries, _ = ops.kv_append(pool, key, value, table, lengths, summaries_mkrph=summaries)
        lengths = lengths + 1
        scores = ops.page_scores(query, summaries, lengths, page_size=shape.page_size)
        ids, num = _select(shape, scores, lengths, table)
        out, _ = ops.paged_attention(query, pool, ids, num, lengths)
        return out, pool, summaries

    new = Spec(None, None, AXIS)
    return Program(
        op="layer",
        fn=layer,
        avals=(query, pool, token, token, table, lengths, summaries),
        specs=(_HEADS, _HEADS, new, new, Spec(), Spec(), _HEADS),
        out_specs=(_HEADS, _HEADS, _HEADS),
        donated=(1, 6),
        must_move=sum(part.must_move for part in parts),
    )


def _prefix_attention(shape: Shape) -> Program:
    query, pool, _, lengths = _common(shape)
    _, num = _list(shape)
    shared = max(1, shape.listed // PROMPT_SHARE)
    own = _int(shape.batch, shape.kv_heads, max(1, shape.listed - shared))
    prompt = _int(1, shape.kv_heads, shared)
    once = _attended(shape, shared) // shape.batch
    return Program(
        op="prefix_attention",
        fn=ops.prefix_attention,
        avals=(query, pool, prompt, _int(1, shape.kv_heads), _int(1), own, num, lengths),
        specs=(_HEADS, _HEADS, _HEADS, _HEADS, Spec(), _HEADS, _HEADS, Spec()),
        out_specs=(_HEADS, _HEADS),
        must_move=once + _attended(shape, own.shape[2]) + _bytes(shape, query, query, own),
    )


_HEADS = Spec(None, AXIS)


def _common(shape: Shape) -> tuple[jax.ShapeDtypeStruct, ...]:
    K, p, H = shape.kv_heads, shape.page_size, shape.head_dim
    return (
        _bf16(shape.batch, shape.query_heads, H),
        _bf16(shape.pool, K, 2, p, H),
        _bf16(shape.batch, K, 1, shape.pages, H),
        _int(shape.batch),
    )


def _list(shape: Shape) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    rows = (shape.batch, shape.kv_heads)
    return _int(*rows, shape.listed), _int(*rows)


def _scores(shape: Shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((shape.batch, shape.kv_heads, shape.pages), jnp.float32)


def _select(shape: Shape, scores: Any, lengths: Any, table: Any) -> Any:
    return ops.select_pages(
        scores, lengths, page_size=shape.page_size, top_k=shape.listed, page_table_bp=table
    )


def _attended(shape: Shape, listed: int) -> int:
    """Bytes of the K and V of ``listed`` pages for every (sequence, KV head) of a device."""
    page = 2 * shape.page_size * shape.head_dim * 2
    return shape.batch * shape.kv_heads * listed * page // shape.devices


def _bytes(shape: Shape, *avals: jax.ShapeDtypeStruct) -> int:
    """Bytes of arrays that are split over the devices by heads."""
    return sum(aval.size * aval.dtype.itemsize for aval in avals) // shape.devices


def _bf16(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16)


def _int(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def _split(aval: jax.ShapeDtypeStruct, mesh: AbstractMesh, spec: Spec) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=NamedSharding(mesh, spec))
