"""The alphabet of the register machine: token ids, and the text that a person reads.

Ids: 0 begin · 1 end (stops a sample) · 2 halt · then the values · then the addresses, bank by bank.
"""

from collections.abc import Iterable
from typing import TypeVar, overload

import numpy as np

from kinetics_jax.errors import InputError

REGISTERS = 64
"""M: registers of a bank, and values that a register can hold."""
BANKS = 3
"""Banks of memory; round r writes bank r mod 3 and reads the one before it."""

BEGIN, END, HALT = 0, 1, 2
_VALUES = 3
_ADDRESSES = _VALUES + REGISTERS
VOCABULARY = _ADDRESSES + BANKS * REGISTERS
"""V: number of token ids."""
_NAMES = ("begin", "end", "halt")
_BANK_NAMES = "abc"


Numbers = TypeVar("Numbers", int, np.ndarray)


def value(number: Numbers) -> Numbers:
    """Token of the value ``number`` (0…M−1), any shape."""
    return _VALUES + number


@overload
def address(bank: int, register: int) -> int: ...
@overload
def address(bank: np.ndarray | int, register: np.ndarray) -> np.ndarray: ...
def address(bank, register):
    """Token of a register of a bank; banks count modulo ``BANKS``, shapes broadcast."""
    return _ADDRESSES + (bank % BANKS) * REGISTERS + register


def write_text(tokens: Iterable[int]) -> str:
    """``a17 5 b0 12``: bank and register, or a value, or a word. Raises ``InputError`` for other ids."""
    return " ".join(_write(int(token)) for token in tokens)


def _write(token: int) -> str:
    if not 0 <= token < VOCABULARY:
        raise InputError(f"token {token} is not a symbol; ids are 0…{VOCABULARY - 1}")
    if token < _VALUES:
        return _NAMES[token]
    if token < _ADDRESSES:
        return str(token - _VALUES)
    bank, register = divmod(token - _ADDRESSES, REGISTERS)
    return f"{_BANK_NAMES[bank]}{register}"


_TOKENS = {_write(token): token for token in range(VOCABULARY)}


def read_text(text: str) -> tuple[int, ...]:
    """Token ids of what ``write_text`` wrote. Raises ``InputError`` at the first word it never writes."""
    words = text.split()
    for place, word in enumerate(words):
        if word not in _TOKENS:
            raise InputError(f"word {place + 1}, {word[:20]!r}, is no symbol of the register machine")
    return tuple(_TOKENS[word] for word in words)
