"""What can go wrong with a user's input, as types: one clear line that says what, where and how to fix it."""

import difflib
from collections.abc import Iterable


class KineticsError(Exception):
    """Base of every error this library raises on purpose; its text is one line for a person."""

    def __str__(self) -> str:
        return self.args[0] if self.args else self.__class__.__name__


class InputError(KineticsError, ValueError):
    """An argument, file or record is wrong. The text names what, where and how to fix it."""


class OutOfMemoryError(KineticsError, MemoryError):
    """The host or a device has not the memory for what was asked. The text says for what, and what to do."""


class UnknownNameError(InputError, KeyError):
    """A name (model, chip, policy …) is not in the list that holds it."""

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        close = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.5)
        remedy = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        super().__init__(f"unknown {kind} {str(name)!r}: {remedy}{' ' + hint if hint else ''}")
