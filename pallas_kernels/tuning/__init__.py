"""Tuned constants of the kernels: one JSON file per chip, ``{op: {constant: value}}``, over the defaults.

The chip is the one being compiled for: the abstract device of the mesh in use (set one to compile for a chip
that is not here), else the first device.
"""

import contextlib
import contextvars
import functools
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jax

FILES = {
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
    "TPU7x": "tpu7x",
}


_OVERRIDES: contextvars.ContextVar[dict[str, dict[str, Any]]] = contextvars.ContextVar(
    "overrides",
    default={},  # noqa: B039  (never changed in place)
)


def tuned(op: str, device_kind: str | None = None) -> dict[str, Any]:
    """The constants of ``op`` for the chip being compiled for, or for ``device_kind``."""
    kind = compiled_for() if device_kind is None else device_kind
    constants = dict(_table("default").get(op, {}))
    if kind in FILES:
        constants |= _table(FILES[kind]).get(op, {})
    return constants | _OVERRIDES.get().get(op, {})


Overrides = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]


def overrides() -> Overrides:
    """The constants that hold here in place of the tables', hashable."""
    held = _OVERRIDES.get()
    return tuple((op, tuple(sorted(held[op].items()))) for op in sorted(held))


@contextlib.contextmanager
def restored(held: Overrides) -> Iterator[None]:
    """Within it, the `overrides` of another place hold."""
    token = _OVERRIDES.set({op: dict(constants) for op, constants in held})
    try:
        yield
    finally:
        _OVERRIDES.reset(token)


@contextlib.contextmanager
def overridden(op: str, **constants: Any) -> Iterator[None]:
    """Within it, calls of ``op`` are traced with these constants in place of the tables'."""
    before = _OVERRIDES.get()
    token = _OVERRIDES.set({**before, op: {**before.get(op, {}), **constants}})
    try:
        yield
    finally:
        _OVERRIDES.reset(token)


def compiled_for() -> str:
    """The device kind that the surrounding trace will be compiled for, as JAX spells it."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.devices()[0].device_kind if device is None else device.device_kind


@functools.cache
def _table(name: str) -> dict[str, dict[str, Any]]:
    return json.loads(resources.files(__package__).joinpath(f"{name}.json").read_text())
