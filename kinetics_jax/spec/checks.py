"""Checks that several option classes share: each raises ``InputError`` with one line."""

import math

from kinetics_jax.spec.errors import InputError

MAX_INT32 = 2**31 - 1


def check_whole(name: str, value: object, least: int, most: int = MAX_INT32) -> None:
    """Raise unless ``value`` is an int in least…most; a bool is not one."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= most:  # type: ignore[operator]
        raise InputError(f"{name}={value!r} must be a whole number in {least}…{most}")


def check_number(name: str, value: object) -> None:
    """Raise unless ``value`` is a finite int or float; a bool is not one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):  # type: ignore[arg-type]
        raise InputError(f"{name}={value!r} must be a finite number")
