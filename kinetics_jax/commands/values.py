"""Values of options in plain Python types: what config files hold, as flags would have given it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kinetics_jax.checks import shown
from kinetics_jax.errors import InputError

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
"""What an option of each type must be, in words."""


def plain(value: Any) -> Any:
    """``value`` with scalars of NumPy and JAX, inside of lists too, as those of Python."""
    if isinstance(value, list | tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return tuple(value.tolist())
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value


def typed(name: str, value: Any, default: Any, listed: Callable[[str], tuple[str, ...]]) -> Any:
    """``value`` in the type of ``default``; ``listed`` splits a text where that is a tuple.

    Raises ``InputError`` where it is of another type.
    """
    value = plain(value)
    if isinstance(default, tuple):
        if isinstance(value, str):
            return listed(value)
        if isinstance(value, tuple) and all(isinstance(v, str | int) for v in value):
            return value
        raise InputError(f"{name}={shown(value)} must be a list of texts")
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise InputError(f"{name}={shown(value)} must be {KINDS[type(default)]}")
    return value
