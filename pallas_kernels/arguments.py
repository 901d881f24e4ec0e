"""Which dtypes each argument of an op may have: checked here once, for every op and every back end.

A kernel reads memory as the type that it was compiled for, so nothing else may reach one. Whole numbers of
any size become int32: what does not fit is as far out of range as an int32 can say. Floats are never
converted, as results depend on them.
"""

import dataclasses
import math
import numbers
import re
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pallas_kernels.errors import ArgumentError, expect
from pallas_kernels.stored import BF16_BITS

_T = TypeVar("_T")
LEAST, MOST = np.iinfo(np.int32).min, np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What an array may hold, by dtype."""

    dtypes: tuple[np.dtype, ...]

    def __str__(self) -> str:
        bits = {BF16_BITS: f"{BF16_BITS} (the bits of bfloat16)"}
        return " or ".join(bits.get(dtype, str(dtype)) for dtype in self.dtypes)


def _numbers(*dtypes: Any) -> Numbers:
    return Numbers(tuple(map(jnp.dtype, dtypes)))


WHOLE = _numbers(jnp.int32)
"""Ids, lengths and counts. Other whole numbers are converted."""
FLOATS = _numbers(jnp.bfloat16, jnp.float32)
SINGLE = _numbers(jnp.float32)
PAGES = _numbers(jnp.bfloat16, BF16_BITS, jnp.float32, jnp.int8, jnp.float8_e4m3fn)
SUMMARIES = _numbers(jnp.bfloat16, BF16_BITS, jnp.float32)
ROWS = _numbers(jnp.bfloat16, jnp.float32, jnp.float16)
WEIGHTS = _numbers(jnp.bfloat16, BF16_BITS, jnp.float32, jnp.int8, jnp.float16)


def array(numbers: Numbers, *, default: Any = dataclasses.MISSING) -> Any:
    """A field of a typed call: an array that holds ``numbers``. One whose default is None may be absent."""
    return dataclasses.field(metadata={"numbers": numbers}, default=default)


def option(check: Callable[..., Any], *limits: Any, default: Any = dataclasses.MISSING) -> Any:
    """A field that is no array but known when the call is traced: ``check(op, name, value, *limits)``."""
    metadata = {"static": True, "check": check, "limits": limits}
    return dataclasses.field(metadata=metadata, default=default)


@dataclass_transform(frozen_default=True, field_specifiers=(array, option))
def typed_call(cls: type[_T]) -> type[_T]:
    """Make a class the typed call of an op: a frozen dataclass, and a pytree of its arrays."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


def take(op: str, call: _T) -> _T:
    """A typed call as back ends may take it: `jax.Array`s of the right dtypes, options checked.

    Raises:
        ArgumentError: an argument is no array, is missing, or has a dtype that its field does not allow; an
            option is not what its field says.

    """
    taken: dict[str, Any] = {}
    for field in dataclasses.fields(call):  # type: ignore[arg-type]  # a typed call is a dataclass
        name, value, about = field.name, getattr(call, field.name), field.metadata
        if "check" in about:
            taken[name] = about["check"](op, name, value, *about["limits"])
        elif value is not None or field.default is not None:
            taken[name] = _take(op, _described(name), about["numbers"], value)
    return dataclasses.replace(call, **taken)  # type: ignore[type-var]


def _described(name: str) -> str:
    """``lengths_b`` → ``lengths are``: without the letters of its axes."""
    word = re.sub("_[bcdhjkmnprtuv]+$", "", name)
    return f"{word} are" if word.endswith("s") else f"{word} is"


def _take(op: str, what: str, wanted: Numbers, value: Any) -> jax.Array:
    array = _as_array(op, what, wanted, value)
    if wanted.dtypes == WHOLE.dtypes:
        expect(jnp.issubdtype(array.dtype, jnp.integer), op, f"{what} {wanted}, not {array.dtype}")
        return _as_int32(array)
    expect(array.dtype in wanted.dtypes, op, f"{what} {wanted}, not {array.dtype}")
    # A weak dtype may become another where arrays meet; these have been decided on.
    return lax.convert_element_type(array, array.dtype) if array.weak_type else array


def _as_array(op: str, what: str, wanted: Numbers, value: Any) -> Any:
    kind = type(value).__name__
    array = hasattr(value, "dtype") and hasattr(value, "shape")
    expect(array, op, f"{what} an array of {wanted}, not {kind} (jnp.asarray makes one)")
    if wanted.dtypes == WHOLE.dtypes and isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        fit = np.array_equal(value, value.astype(np.int32))
        expect(fit, op, f"{what} int32; some of these numbers do not fit it")
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        message = f"{op}: {what} an array of {wanted}, not {kind} of {value.dtype}"
        raise ArgumentError(message) from error


def _as_int32(array: jax.Array) -> jax.Array:
    """Whole numbers as int32; those that do not fit become the nearest that does."""
    if array.dtype == jnp.int32:
        return array
    range_ = jnp.iinfo(array.dtype)
    if range_.min < LEAST:
        array = jnp.maximum(array, LEAST)
    if range_.max > MOST:
        array = jnp.minimum(array, MOST)
    return lax.convert_element_type(array, jnp.int32)


def whole_number(op: str, name: str, value: Any, least: int) -> int:
    """An option that is a whole number, at least ``least``.

    Raises:
        ArgumentError: it is another thing, or smaller, or only known when the program runs.

    """
    known_now(op, name, value)
    right = isinstance(value, numbers.Integral | np.integer) and not isinstance(value, bool)
    expect(right, op, f"{name} is a whole number, not {value!r}")
    expect(value >= least, op, f"{name} is at least {least}, not {value}")
    return int(value)


def flag(op: str, name: str, value: Any) -> bool:
    """An option that is true or false.

    Raises:
        ArgumentError: it is another thing, or only known when the program runs.

    """
    known_now(op, name, value)
    expect(isinstance(value, bool | np.bool_), op, f"{name} is True or False, not {value!r}")
    return bool(value)


def known_now(op: str, name: str, value: Any) -> None:
    """Raise `ArgumentError` for an option that only the running program will know."""
    expect(
        not isinstance(value, jax.core.Tracer),
        op,
        f"{name} must be known when the call is traced (a Python number, static under jax.jit)",
    )


def score_scale(op: str, name: str, scale: Any) -> float | None:
    """An option that scales scores: None, or a positive, finite number.

    Raises:
        ArgumentError: it is another thing, or only known when the program runs.

    """
    if scale is None:
        return None
    if isinstance(scale, jax.core.Tracer):
        raise ArgumentError(
            f"{op}: {name} must be known when the call is traced; for one that is computed, multiply the "
            "query by it and give scale=1.0"
        )
    number = isinstance(scale, numbers.Real) or getattr(scale, "shape", None) == ()
    try:
        value = float(scale) if number and not isinstance(scale, bool) else math.nan
    except (TypeError, ValueError):  # a scalar array of something else
        value = math.nan
    expect(0 < value < math.inf, op, f"{name} is positive and finite, not {scale!r}")
    return value
