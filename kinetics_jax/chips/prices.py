"""What an hour of a chip costs: one price a *basis*, each with its date and source. No figure stands here.

Prices of different markets order chips differently, so dollars are compared within one basis only.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from kinetics_jax.errors import InputError, UnknownNameError

PRICE_BASES = {
    "list": "on-demand list price of a hyperscale cloud",
    "specialty": "on-demand price of a cloud that rents accelerators only",
    "spot": "price of capacity that may be taken away",
}
"""Basis → what it is the price of."""
USER = "user"
"""Basis of a price that the user gave, which holds whatever basis is asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChipPrice:
    """One price of one chip-hour."""

    usd_per_hour: float
    date: str = ""
    """When it was that: ``2026-05-07``, ``2026-06``; empty where the source is not dated."""
    source: str = ""
    """Whose price it is, and where it was read."""

    def __post_init__(self) -> None:
        if not 0 < self.usd_per_hour < math.inf:
            raise InputError(f"usd_per_hour={self.usd_per_hour!r} must be positive")


def check_basis(basis: str) -> str:
    """``basis`` as it is; raises ``UnknownNameError`` for one that is none of ``PRICE_BASES``."""
    if basis not in PRICE_BASES:
        raise UnknownNameError("price_basis", basis, PRICE_BASES)
    return basis


def read_prices(tables: Mapping[str, Any]) -> dict[str, ChipPrice]:
    """Prices by basis of a ``usd`` table: ``usd.spot = { per_hour = 1, date = "2026-05", source = "…" }``.

    Raises KeyError, TypeError, ValueError or ``InputError`` where a basis is not known, or a price not whole.
    """
    found = {}
    for basis, table in tables.items():
        rest = dict(table)
        price = ChipPrice(
            usd_per_hour=float(rest.pop("per_hour")),
            date=str(rest.pop("date", "")),
            source=str(rest.pop("source", "")),
        )
        if rest:
            raise ValueError(f"unknown {', '.join(sorted(rest))}")
        found[check_basis(basis)] = price
    return found
