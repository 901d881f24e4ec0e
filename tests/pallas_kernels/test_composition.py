"""Ops inside what JAX users wrap around them: vmap, grad, disable_jit, shard_map, x64, stricter promotion."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import pallas_kernels as pk
from pallas_kernels._back_ends import back_end_module
from tests.pallas_kernels import small
from tests.pallas_kernels.test_arguments import needs_numba

BACK_ENDS = ["reference", "xla", "cpu", None]
EVERY = pytest.mark.parametrize("op", small.OPS)
ON_EVERY = pytest.mark.parametrize("back_end", BACK_ENDS)


def call(op: str, back_end: str | None) -> tuple[Callable[..., list[Any]], dict[str, Any]]:
    """A function of the op's arrays, and the arrays."""
    needs_numba(back_end)
    given = small.arguments(op)
    arrays = small.arrays(given)
    options = {name: value for name, value in given.items() if name not in arrays}
    function = functools.partial(getattr(pk, op), **options, implementation=back_end)
    return lambda **arrays: jax.tree.leaves(function(**arrays)), arrays


def same(got: Any, want: Any) -> None:
    for ours, theirs in zip(got, want, strict=True):
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


@ON_EVERY
@EVERY
def test_vmap_is_one_call_after_the_other(op: str, back_end: str | None) -> None:
    function, arrays = call(op, back_end)
    first = next(name for name in arrays if name not in ("kv_pages", "weight", "table_vd"))
    several = jnp.stack([arrays[first], arrays[first][::-1]], axis=1)
    axes = {name: 1 if name == first else None for name in arrays}
    mapped = jax.vmap(lambda arrays: function(**arrays), in_axes=(axes,))
    got = jax.jit(mapped)(arrays | {first: several})
    for i in range(2):
        same([x[i] for x in got], jax.jit(function)(**arrays | {first: several[:, i]}))


def test_vmap_in_vmap_and_of_everything() -> None:
    function, arrays = call("paged_attention", None)
    twice = {name: jnp.stack([array] * 2) for name, array in arrays.items()}
    four = {name: jnp.stack([array] * 2) for name, array in twice.items()}
    got = jax.vmap(jax.vmap(lambda arrays: function(**arrays)))(four)
    same([x[1, 0] for x in got], function(**arrays))


SURROUNDINGS = {
    "disable_jit": jax.disable_jit,
    "x64": functools.partial(jax.enable_x64, True),
    "rank_promotion": functools.partial(jax.numpy_rank_promotion, "raise"),
    "dtype_promotion": functools.partial(jax.numpy_dtype_promotion, "strict"),
    "check_tracer_leaks": jax.checking_leaks,
}


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@ON_EVERY
@EVERY
def test_what_holds_around_a_call_does_not_change_it(op: str, back_end: str | None, surrounding: str) -> None:
    function, arrays = call(op, back_end)
    want = jax.jit(function)(**arrays)
    ways = [jax.jit(function)]
    if back_end in ("cpu", None) or surrounding == "disable_jit":  # else XLA compiles it op by op
        ways.append(function)
    for way in ways:
        with SURROUNDINGS[surrounding]():
            got = way(**arrays)
        same(got, want)
        assert [x.dtype for x in got] == [x.dtype for x in want]


def test_partials_add_up_under_stricter_rules() -> None:
    rng = np.random.default_rng(0)
    out = jnp.asarray(rng.standard_normal((3, 2, 4, 8)), jnp.bfloat16)
    lse = jnp.asarray(rng.standard_normal((3, 2, 4)), jnp.float32)
    want = pk.combine_partials(out, lse)
    with contextlib.ExitStack() as stack:
        for surrounding in ("x64", "rank_promotion", "dtype_promotion"):
            stack.enter_context(SURROUNDINGS[surrounding]())
        got = pk.combine_partials(out, lse)
    same(got, want)
    assert [x.dtype for x in got] == [x.dtype for x in want]


@pytest.mark.parametrize("back_end", ["cpu", None])
@pytest.mark.parametrize("op", small.DECODING)
@pytest.mark.parametrize("how", ["grad", "jvp", "jitted", "under vmap"])
def test_a_derivative_is_refused_in_our_words(op: str, back_end: str | None, how: str) -> None:
    function, arrays = call(op, back_end)
    name = "key_btkh" if op == "kv_append" else next(iter(arrays))
    rest = {key: value for key, value in arrays.items() if key != name}

    def loss(x: jax.Array) -> jax.Array:
        first, *_ = function(**rest, **{name: x})
        return first.astype(jnp.float32).sum()

    ways = {
        "grad": jax.grad(loss),
        "jvp": lambda x: jax.jvp(loss, (x,), (x,)),
        "jitted": jax.jit(jax.grad(loss)),
        "under vmap": lambda x: jax.vmap(jax.grad(loss))(x[None]),
    }
    with pytest.raises(pk.NotDifferentiableError, match=f"^{op} is not differentiable") as caught:
        ways[how](arrays[name])
    assert "\n" not in str(caught.value)


def test_what_is_not_differentiated_may_be_called() -> None:
    function, arrays = call("paged_attention", None)

    def loss(weight: jax.Array) -> jax.Array:
        out, _ = function(**arrays)
        return (weight * jax.lax.stop_gradient(out)).sum()

    assert jax.grad(loss)(jnp.float32(2.0)).shape == ()


@pytest.mark.parametrize("back_end", ["cpu", "xla", None])
@pytest.mark.parametrize("op", ["linear", "look_up"])
def test_derivatives_of_the_models_own_products(op: str, back_end: str | None) -> None:
    function, arrays = call(op, back_end)
    theirs, _ = call(op, "reference")
    floats = {name: x for name, x in arrays.items() if jnp.issubdtype(x.dtype, jnp.floating)}
    rest = {name: x for name, x in arrays.items() if name not in floats}

    def loss(function: Any) -> Any:
        return lambda floats: (function(**floats, **rest)[0] ** 2).sum()

    got, want = (jax.jit(jax.grad(loss(f)))(floats) for f in (function, theirs))
    for name in floats:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-4)
    one = next(iter(floats))  # and of one argument alone
    along = jax.jvp(lambda x: loss(function)(floats | {one: x}), (floats[one],), (floats[one],))[1]
    np.testing.assert_allclose(along, (want[one] * floats[one]).sum(), rtol=1e-5)


@pytest.mark.parametrize("check", [False, True])
@ON_EVERY
def test_shard_map(back_end: str | None, check: bool) -> None:
    """With its check of what varies over the mesh (its default) and without; lowered for TPU too."""
    function, arrays = call("paged_attention", back_end)
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    names = list(arrays)
    split = [PartitionSpec() if name == "kv_pages" else PartitionSpec("x") for name in names]
    spread = jax.shard_map(
        lambda *values: function(**dict(zip(names, values, strict=True))),
        mesh=mesh,
        in_specs=tuple(split),
        out_specs=PartitionSpec("x"),
        check_vma=check,
    )
    same(jax.jit(spread)(*arrays.values()), function(**arrays))


def test_shard_map_picks_the_kernel_of_the_platform() -> None:
    wide = small.problems.attention_problem(small.Case(lengths=(20, 33), listed=2))
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    split = [PartitionSpec() if name == "kv_pages" else PartitionSpec("x") for name in wide]
    spread = jax.shard_map(pk.paged_attention, mesh=mesh, in_specs=tuple(split), out_specs=PartitionSpec("x"))
    lowered = jax.jit(spread).trace(*wide.values()).lower(lowering_platforms=("tpu",))
    assert "tpu_custom_call" in lowered.as_text()


def test_a_platform_traces_its_own_kernel_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of many call sites traces a kernel once, and never that of another platform."""
    traced: list[str] = []
    for back_end in ("tpu", "gpu", "xla"):
        module = back_end_module("paged_attention", back_end)
        real = module.paged_attention

        def counted(*arrays: Any, _real: Any = real, _name: str = back_end, **more: Any) -> Any:
            traced.append(_name)
            return _real(*arrays, **more)

        monkeypatch.setattr(module, "paged_attention", counted)
    problem = small.problems.attention_problem(small.Case(lengths=(20, 35, 9), listed=3))

    def program(problem: dict[str, Any]) -> list[Any]:
        return [pk.paged_attention(**problem, scale=0.123)[0] for _ in range(3)]

    text = jax.jit(program).trace(problem).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") >= 3
    assert traced.count("tpu") == 1
    assert "gpu" not in traced
    assert traced.count("xla") <= 2  # for the shapes of the results
