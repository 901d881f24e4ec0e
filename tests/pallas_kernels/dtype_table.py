"""A program: every op × argument × dtype on every back end of a CPU, a line of JSON each; ``x64``: with it.

It is a process of its own, as what it looks for may end one: memory read as another type than it holds.
"""

import functools
import importlib.util
import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pallas_kernels as pk
from tests.pallas_kernels import small

STATIC = ("page_size", "top_k")
NUMBA = importlib.util.find_spec("numba") is not None
BACK_ENDS = ("reference", "xla", *(("cpu",) if NUMBA else ()), None)
RUN = "cpu" if NUMBA else None
INTEGERS = ("int8", "int16", "int32", "uint8", "uint16", "uint32")
OTHERS = ("bool", "bfloat16", "float16", "float32", "float8_e4m3fn", "float8_e5m2", "complex64")
WIDE = ("int64", "uint64", "float64", "complex128")


def main(x64: bool) -> None:
    """Print what became of each combination: ``same``, ``close``, ``refused: …`` or what went wrong.

    Only one back end runs, numba's where it is installed; the others are traced (``traced``), as XLA knows
    what its memory holds, and once: with x64, which has every dtype.
    """
    jax.config.update("jax_enable_x64", x64)
    dtypes = INTEGERS + OTHERS + (WIDE if x64 else ())
    for op in small.OPS:
        given = small.arguments(op)
        for back_end in BACK_ENDS if x64 else (RUN,):
            plain = _outcome(op, given, back_end) if back_end == RUN else []
            for name in small.arrays(given):
                for dtype in dtypes:
                    changed = given | {name: given[name].astype(dtype)}
                    row = {"op": op, "back_end": back_end, "argument": name, "dtype": dtype}
                    print(json.dumps(row | {"outcome": _judge(op, changed, back_end, plain)}), flush=True)


def _judge(op: str, given: dict[str, Any], back_end: str | None, plain: list[np.ndarray]) -> str:
    try:
        if back_end != RUN:
            jax.eval_shape(functools.partial(_call, op, back_end), given)
            return "traced"
        got = _outcome(op, given, back_end)
        if _equal(got, plain, 0):
            return "same"
        meant = _outcome(op, given, "reference")
    except (pk.ArgumentError, pk.UnsupportedError) as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001 - what a user would see; a test reads it
        return f"{type(error).__name__}: {error}"
    return "close" if _equal(got, meant, 2e-2) else "differs from the reference"


def _outcome(op: str, given: dict[str, Any], back_end: str | None) -> list[np.ndarray]:
    results = _call(op, back_end, given)
    return [np.asarray(x, np.float64) for x in jax.tree.leaves(results)]


def _call(op: str, back_end: str | None, given: dict[str, Any]) -> Any:
    static = {name: value for name, value in small.arguments(op).items() if name in STATIC}
    arrays = {name: value for name, value in given.items() if name not in STATIC}
    return getattr(pk, op)(**arrays, **static, implementation=back_end)


def _equal(ours: list[np.ndarray], theirs: list[np.ndarray], tolerance: float) -> bool:
    return all(
        x.shape == y.shape and np.allclose(x, y, rtol=0, atol=tolerance * _largest(y), equal_nan=True)
        for x, y in zip(ours, theirs, strict=True)
    )


def _largest(numbers: np.ndarray) -> float:
    finite = numbers[np.isfinite(numbers)]
    return max(1.0, float(np.abs(finite).max())) if finite.size else 1.0


if __name__ == "__main__":
    jnp.zeros(())  # devices first
    main(sys.argv[1:] == ["x64"])
