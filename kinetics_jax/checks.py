"""Checks that several option classes share: each raises ``InputError`` with one line.

A number may be Python's, NumPy's or an array without dims, and comes back as Python's own: options are
written to JSON, hashed and compared. A truth value is no number, and a number no truth value.
"""

import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from kinetics_jax.errors import InputError

MAX_INT32 = 2**31 - 1
MAX_SEED = 2**64 - 1
MOST_STOP_STRINGS = 256
MOST_STOP_CHARACTERS = 4096
"""Of one stop string: each token's text is searched together with as much of what stands before it."""
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
    raise InputError(f"{name}={shown(value)} must be true or false")


def check_token_ids(name: str, values: Any) -> tuple[int, ...]:
    """Token ids from a list, a tuple, a set, a range or an array [T], as ints."""
    one_dim = getattr(values, "ndim", None) == 1
    if not isinstance(values, list | tuple | set | frozenset | range) and not one_dim:
        raise InputError(f"{name}={shown(values)} must be a tuple of token ids")
    return tuple(check_whole(f"{name}: token", token, 0) for token in values)


def check_stop_strings(values: Any) -> tuple[str, ...]:
    """Texts that end a sample; one text is one stop string, not one a letter, and None is none."""
    if values is None or isinstance(values, str):
        values = () if values is None else (values,)
    if not isinstance(values, Iterable) or isinstance(values, bytes | Mapping):
        raise InputError(f"stop_strings={shown(values)} must be a text or a list of texts")
    texts = tuple(values)
    for text in texts:
        if not isinstance(text, str) or not text:
            raise InputError(f"stop_strings: {shown(text)} must be a text that is not empty")
        if len(text) > MOST_STOP_CHARACTERS:
            raise InputError(
                f"stop_strings: {shown(text)} has {len(text):,} characters, and at most "
                f"{MOST_STOP_CHARACTERS:,} are looked for"
            )
        if not is_text(text):
            raise InputError(f"stop_strings: {shown(text)} holds half of a character")
    if len(texts) > MOST_STOP_STRINGS:
        raise InputError(f"at most {MOST_STOP_STRINGS} stop_strings, got {len(texts):,}")
    return texts


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
