"""Checks that several option classes share: each raises ``InputError`` with one line.

A number may be Python's, NumPy's or an array without dims, and comes back as Python's own: options are
written to JSON, hashed and compared. A truth value is no number, and a number no truth value.
"""

import math
import numbers
from typing import Any

from kinetics_jax.spec.errors import InputError

MAX_INT32 = 2**31 - 1
_SHOWN = 80


def check_whole(name: str, value: object, least: int, most: int = MAX_INT32, hint: str = "") -> int:
    """``value`` as an int in least…most; raises for all else, a bool and 2.0 too."""
    number = python_number(value)
    if not isinstance(number, int) or not least <= number <= most:
        note = f" ({hint})" if hint else ""
        raise InputError(f"{name}={shown(value)} must be a whole number in {least}…{most}{note}")
    return number


def check_number(name: str, value: object) -> int | float:
    """``value`` as a finite int or float; raises for all else, a bool too."""
    number = python_number(value)
    try:
        finite = number is not None and math.isfinite(number)
    except OverflowError:  # an int beyond any float
        finite = False
    if number is None or not finite:
        raise InputError(f"{name}={shown(value)} must be a finite number")
    return number


def check_flag(name: str, value: object) -> bool:
    """``value`` as a bool; raises for all else: the text "no" and a count are not meant as True."""
    if isinstance(value, bool):
        return value
    if _dtype(value) == "bool" and getattr(value, "ndim", None) == 0:
        return bool(value)
    raise InputError(f"{name}={shown(value)} must be True or False")


def python_number(value: Any) -> int | float | None:
    """The int or float that ``value`` is, of whichever library; None where it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if type(value) in (int, float) else _plain(value)
    dtype = _dtype(value)
    if dtype.startswith(("int", "uint")) and getattr(value, "ndim", None) == 0:
        return int(value)
    if dtype.startswith(("float", "bfloat")) and getattr(value, "ndim", None) == 0:
        return float(value)
    return float(value) if not dtype and isinstance(value, numbers.Real) else None


def is_text(text: str) -> bool:
    """Whether ``text`` can be written down: half of a UTF-16 pair (a lone surrogate) cannot."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def shown(value: object) -> str:
    """``value`` for an error: one line, not long, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - a stranger's repr, or an int of too many digits
        text = f"(a value of type {type(value).__name__})"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _plain(value: int | float) -> int | float:
    return int(value) if isinstance(value, int) else float(value)


def _dtype(value: object) -> str:
    """The name of an array's or NumPy scalar's dtype; empty for everything else."""
    return str(getattr(value, "dtype", "")).rpartition(".")[2]
