"""Typed access to the fields of a Hugging Face ``config.json``; a failure names the file and the field."""

import json
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.storage.impostors import impostor


class ConfigError(InputError):
    """A ``config.json`` that is malformed, or describes a model this library does not compute."""


class ConfigWarning(UserWarning):
    """Something beside the weights was passed over: an unknown field, a broken ``generation_config.json``."""


_MOST_LISTED = 12
"""Fields that a warning names; a file of thousands must not make a line of thousands."""
_LARGEST_INT = 2**31 - 1
_LARGEST_NUMBER = 1e30


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The JSON object in ``path``; ``ConfigError`` where it is missing, malformed or not an object."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    if path.exists() and not path.is_file():  # a pipe or a device might never end
        raise ConfigError(f"{path}: cannot be read (not a plain file)")
    try:
        found = json.loads(path.read_text("utf-8-sig"), parse_constant=refuse)
    except OSError as error:
        problem = impostor(path) or f"cannot be read ({error.strerror or error})"
        raise ConfigError(f"{path}: {problem}") from error
    except (ValueError, RecursionError) as error:
        problem = impostor(path) or f"not valid JSON ({error})"
        raise ConfigError(f"{path}: {problem}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds a {type(found).__name__}, not a JSON object")
    return found


def warn_passed_over(where: str, passed: list[str], *, stacklevel: int) -> None:
    """One ``ConfigWarning`` for all fields of a file that are not known; none where there are none."""
    if not passed:
        return
    more = f" and {len(passed) - _MOST_LISTED} more" if len(passed) > _MOST_LISTED else ""
    warnings.warn(
        f"{where}: passed over, as fields that do not change the forward pass: "
        f"{', '.join(passed[:_MOST_LISTED])}{more}",
        ConfigWarning,
        stacklevel=stacklevel + 1,
    )


class Fields:
    """One object of the file, its fields read by type. ``prefix`` is the path of an inner object."""

    def __init__(self, fields: Mapping[str, Any], where: str, prefix: str = "") -> None:
        self.fields, self.where, self.prefix = fields, where, prefix

    def given(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.fields.get(name) is not None

    def fail(self, name: str, problem: str) -> ConfigError:
        """The error to raise for a field."""
        return ConfigError(f"{self.where}: {self.label(name)} {problem}")

    def integer(self, name: str, default: int | None = None) -> int:
        """A positive integer that fits 31 bits. Where the field is absent, ``default`` or an error."""
        value = self.fields.get(name, default)
        if value is None:
            raise ConfigError(f"{self.where}: {self.prefix}{name} is missing")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _LARGEST_INT:
            raise self.fail(name, f"must be an integer in 1…{_LARGEST_INT}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A positive finite number. Where the field is absent or null, ``default`` or an error."""
        value = self.fields.get(name)
        value = default if value is None else value
        if value is None:
            raise ConfigError(f"{self.where}: {self.prefix}{name} is missing")
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.fail(name, "must be a number")
        if not 0 < value < _LARGEST_NUMBER:
            raise self.fail(name, "must be positive and finite")
        return float(value)

    def boolean(self, name: str, default: bool = False) -> bool:
        """True or false; ``default`` where the field is absent or null."""
        value = self.fields.get(name)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.fail(name, "must be true or false")
        return value

    def tokens(self, name: str) -> tuple[int, ...]:
        """Token ids given as one integer, a list or nothing, in the order first seen."""
        given, found = self.fields.get(name), []
        for token in given if isinstance(given, list) else [given]:
            if token is None:
                continue
            if not isinstance(token, int) or isinstance(token, bool) or token < -1:
                raise self.fail(name, "must be token ids")
            if token >= 0 and token not in found:  # -1 is an old way to say "none"
                found.append(token)
        return tuple(found)

    def label(self, name: str) -> str:
        """The field and its value as a message shows them."""
        return f"{self.prefix}{_cut(repr(name)[1:-1])}={short(self.fields.get(name))}"


def short(value: Any) -> str:
    """``value`` as it may stand in a one-line message: at most 60 characters of its ``repr``."""
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
