"""Every op compiles with the real TPU compiler for every chip, at the shapes of the Qwen3 models.

No chip is needed, only libtpu. The fast tests take one shape a chip; the slow ones every head layout of
Qwen3, batches to 256, texts to 131,072 tokens, and tensor parallelism inside `shard_map`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import pallas_kernels
from pallas_kernels.analysis import device_mesh

pytest.importorskip("libtpu", reason="the TPU compiler is in the extra `aot`")

CHIPS = ("v4", "v5e", "v5p", "v6e", "tpu7x")
# (query heads, KV heads) of Qwen3 0.6B and 1.7B, 4B and 8B, 14B, 32B
HEADS = ((16, 8), (32, 8), (40, 8), (64, 8))
H = 128


def mesh_of(chip: str, parallel: int) -> Mesh:
    return device_mesh(chip, (parallel,), ("heads",))


def sparse_layer(
    query: Any,
    pool: Any,
    key: Any,
    value: Any,
    table: Any,
    lengths: Any,
    summaries: Any,
    *,
    page_size: int,
    top_k: int,
) -> Any:
    """Append, score, select, attend: one layer's decode step."""
    pool, summaries, _ = pallas_kernels.kv_append(pool, key, value, table, lengths, summaries_mkrph=summaries)
    lengths = lengths + 1
    scores = pallas_kernels.page_scores(query, summaries, lengths, page_size=page_size)
    ids, num = pallas_kernels.select_pages(
        scores, lengths, page_size=page_size, top_k=top_k, page_table_bp=table
    )
    out, _ = pallas_kernels.paged_attention(query, pool, ids, num, lengths)
    return out, pool, summaries


def compile_layer(
    chip: str,
    *,
    batch: int,
    tokens: int,
    page_size: int,
    heads: tuple[int, int] = (32, 8),
    parallel: int = 1,
    dtype: Any = jnp.bfloat16,
) -> Any:
    """Compile `sparse_layer`, its heads split over ``parallel`` devices."""
    mesh = mesh_of(chip, parallel)
    N, K = heads
    P = tokens // page_size
    pages = min(batch * P, (6 << 30) * parallel // (K * 2 * page_size * H * 2))  # fits a small chip
    by = PartitionSpec
    head, everywhere = by(None, "heads"), by()
    specs = (head, head, by(None, None, "heads"), by(None, None, "heads"), everywhere, everywhere, head)
    shapes = (
        ((batch, N, H), dtype),
        ((pages, K, 2, page_size, H), dtype),
        ((batch, 1, K, H), dtype),
        ((batch, 1, K, H), dtype),
        ((batch, P), jnp.int32),
        ((batch,), jnp.int32),
        ((batch, K, 1, P, H), dtype),
    )
    arguments = [
        jax.ShapeDtypeStruct(shape, kind, sharding=NamedSharding(mesh, spec))
        for (shape, kind), spec in zip(shapes, specs, strict=True)
    ]
    step = functools.partial(sparse_layer, page_size=page_size, top_k=1024 // page_size)
    sharded = jax.shard_map(step, mesh=mesh, in_specs=specs, out_specs=(head, head, head), check_vma=False)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return jax.jit(sharded, donate_argnums=(1, 6)).lower(*arguments).compile()


def assert_kernels_in_place(compiled: Any) -> None:
    """The kernels were picked (not XLA's path), and no copy of the pool was made."""
    text = compiled.as_text()
    for name in ("paged_attention", "page_scores", "kv_append"):
        assert f"%{name}" in text, f"{name} is not the kernel"
    assert compiled.memory_analysis().temp_size_in_bytes < 64 << 20


@pytest.mark.parametrize("chip", CHIPS)
def test_a_sparse_layer_compiles(chip: str) -> None:
    assert_kernels_in_place(compile_layer(chip, batch=8, tokens=32_768, page_size=32))


def test_tensor_parallel_heads() -> None:
    compiled = compile_layer("v5e", batch=8, tokens=32_768, page_size=64, parallel=8)
    assert_kernels_in_place(compiled)
    assert "all-" not in compiled.as_text(), "heads are independent: no collective is needed"


@pytest.mark.slow
@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("parallel", [1, 2, 4, 8])
@pytest.mark.parametrize("chip", CHIPS)
def test_every_model_and_split(chip: str, heads: tuple[int, int], parallel: int) -> None:
    compiled = compile_layer(chip, batch=16, tokens=32_768, page_size=64, heads=heads, parallel=parallel)
    assert_kernels_in_place(compiled)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "tokens", "page_size"),
    [
        (1, 4096, 16),
        (1, 131_072, 16),
        (8, 131_072, 16),
        (64, 32_768, 16),
        (256, 32_768, 64),
        (256, 131_072, 256),
        (3, 8192, 128),
    ],
)
@pytest.mark.parametrize("chip", CHIPS)
def test_every_batch_and_length(chip: str, batch: int, tokens: int, page_size: int) -> None:
    assert_kernels_in_place(compile_layer(chip, batch=batch, tokens=tokens, page_size=page_size))


def attention_arguments(
    mesh: Mesh, batch: int, J: int, p: int, pool: Any, query: Any, stored: int
) -> list[Any]:
    sharding = NamedSharding(mesh, PartitionSpec())
    shapes: list[tuple[tuple[int, ...], Any]] = [
        ((batch, 32, H), query),
        ((4096, 8, 2, p, stored), pool),
        ((batch, 8, J), jnp.int32),
        ((batch, 8), jnp.int32),
        ((batch,), jnp.int32),
    ]
    if jnp.dtype(pool).itemsize == 1:
        shapes.append(((4096, 8, 2), jnp.float32))
    return [jax.ShapeDtypeStruct(shape, kind, sharding=sharding) for shape, kind in shapes]


def compile_attention(chip: str, J: int, p: int, pool: Any, query: Any, batch: int = 8) -> Any:
    mesh = mesh_of(chip, 1)

    def attend(*arrays: jax.Array) -> Any:
        scales = arrays[5] if len(arrays) > 5 else None
        return pallas_kernels.paged_attention(*arrays[:5], kv_scales=scales, implementation="tpu")

    arguments = attention_arguments(mesh, batch, J, p, pool, query, H)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return jax.jit(attend).lower(*arguments).compile()


DTYPES = [
    (jnp.bfloat16, jnp.bfloat16),
    (jnp.float32, jnp.float32),
    (jnp.int8, jnp.bfloat16),
    (jnp.float8_e4m3fn, jnp.bfloat16),
    (jnp.bfloat16, jnp.float32),
]


@pytest.mark.slow
@pytest.mark.parametrize(("pool", "query"), DTYPES, ids=str)
@pytest.mark.parametrize(("J", "p"), [(16, 64), (512, 64), (4, 256)])
@pytest.mark.parametrize("chip", CHIPS)
def test_every_dtype(chip: str, J: int, p: int, pool: Any, query: Any) -> None:
    compile_attention(chip, J, p, pool, query)


@pytest.mark.parametrize(("pool", "query"), DTYPES[1:4], ids=str)
def test_dtypes(pool: Any, query: Any) -> None:
    compile_attention("v5e", 16, 64, pool, query)


def test_a_dense_list_larger_than_scalar_memory_compiles() -> None:
    compiled = compile_attention("v5e", 8192, 16, jnp.bfloat16, jnp.bfloat16, batch=4)
    assert compiled.memory_analysis().temp_size_in_bytes < 64 << 20


def test_illegal_requests_fail_with_our_message() -> None:
    mesh = mesh_of("v5e", 1)
    arguments = attention_arguments(mesh, 8, 4, 64, jnp.bfloat16, jnp.bfloat16, stored=192)
    with pytest.raises(pallas_kernels.UnsupportedError, match="multiple of 128 numbers a head"):
        jax.jit(functools.partial(pallas_kernels.paged_attention, implementation="tpu")).lower(*arguments)
    arguments = attention_arguments(mesh, 8, 4, 24, jnp.bfloat16, jnp.bfloat16, stored=128)
    with pytest.raises(pallas_kernels.UnsupportedError, match="page size must be a multiple"):
        jax.jit(functools.partial(pallas_kernels.paged_attention, implementation="tpu")).lower(*arguments)
