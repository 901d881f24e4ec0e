"""What stored samples and records share: a line's JSON object, and checks of its values.

Each check raises ``InputError`` with one line that names the field.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from kinetics_jax.errors import InputError

MAX_COUNT = 1 << 40
"""No count of tokens or trials is larger; a number beyond it is a broken file."""
FINISH_REASONS = ("stop", "length", "repetition", "error")


def read_object(line: str, what: str, *, strict: bool = False) -> dict[str, Any]:
    """The JSON object in one line.

    Args:
      line: text.
      what: what errors call it, such as "sample".
      strict: refuse NaN and Infinity, which are no JSON.

    Raises:
      InputError: not JSON, not an object, nested too deeply, or with a field that stands there twice.
    """
    try:
        fields = json.loads(line, object_pairs_hook=_object, parse_constant=_refuse if strict else None)
    except RecursionError:
        raise InputError(f"JSON nested too deeply for a {what}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"not a whole JSON {what} ({error.msg} at column {error.colno})") from None
    except InputError:
        raise
    except ValueError as error:  # a number of more digits than Python reads
        raise InputError(f"not a whole JSON {what} ({error})") from None
    if not isinstance(fields, dict):
        raise InputError(f"a {what} is a JSON object, one a line")
    for name, value in ((what, fields), ("policy", fields.get("policy"))):
        if isinstance(value, _Twice):
            raise InputError(f"{name} has {value.field} twice")
    return fields


class _Twice(dict[str, Any]):
    """An object in which a name stands twice; who needs the object refuses it."""

    field: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    names = [name for name, _ in pairs]
    twice = _Twice(fields)
    twice.field = next(name for name in names if names.count(name) > 1)
    return twice


def _refuse(name: str) -> Any:
    raise InputError(f"{name} is no number of JSON")


def write_object(fields: Mapping[str, Any], what: str) -> str:
    """One line of JSON. Raises ``InputError`` for values that JSON has not."""
    try:
        return json.dumps(fields, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be written as JSON ({error})") from None


def check_count(name: str, value: object, least: int) -> None:
    """Raise unless ``value`` is an int in least…``MAX_COUNT``; a bool is not one."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= MAX_COUNT:  # type: ignore[operator]
        raise InputError(f"{name}={_short(value)} must be a whole number ≥ {least}")


def check_text(name: str, value: object) -> None:
    """Raise unless ``value`` is a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{name}={_short(value)} must be a text that is not empty")


def check_seed(value: object) -> None:
    """Raise unless ``value`` is an int of at most 64 bits; other engines' may be negative."""
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**64:
        raise InputError(f"seed={_short(value)} must be a whole number of 64 bits")


def check_temperature(value: object) -> None:
    """Raise unless ``value`` is None or a finite number ≥ 0."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (known and 0 <= value < math.inf):  # type: ignore[operator]
        raise InputError(f"temperature={_short(value)} must be a finite number ≥ 0, or left out")


def check_finish_reason(value: object) -> None:
    """Raise unless ``value`` is one of ``FINISH_REASONS``."""
    if value not in FINISH_REASONS:
        known = ", ".join(FINISH_REASONS)
        raise InputError(f"finish_reason={_short(value)} must be one of {known}")


def name_of_problem(value: object) -> object:
    """A problem's number as the text that names it; all else as it is."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
