"""What kernels were seen to reach of a data sheet: floors of a call, shares of peak, and the evidence.

``efficiency.toml`` beside this file holds a table for each kind of kernel and number format of each chip that
was measured, made by ``python -m experiments.fit_efficiency`` and never by hand. The formulas that the
constants enter are those of ``kinetics_jax.costs.efficiency``.
"""

import dataclasses
import functools
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from kinetics_jax.errors import InputError

OPS = (
    "gemm",
    "moe",
    "decode_attention",
    "prefill_attention",
    "all_reduce",
    "search",
    "pointwise",
    "host",
    "end_to_end",
)
"""Kinds of kernel; ``pointwise`` is norms and their like, ``host`` the host's part of a step, and
``end_to_end`` a whole serving stack, for chips whose kernels nobody published."""
ASSUMED = ("search", "pointwise", "host")
"""Those that no public table has: the same for all chips, unless a chip file says otherwise."""
ANY = "any"
"""Format of kernels that have but one."""
SHARED = "shared"
"""Name of the constants that all measured chips fitted together have."""
UNSEEN = "unseen"
"""Name of the tables of how far off a chip was that was predicted by another's constants."""
_SECONDS = ("floor", "per_k", "per_token", "per_peer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Constants of one kind of kernel in one number format on one kind of chip. SI units, seconds a call."""

    floor: float = 0.0
    """Seconds that a call takes however small."""
    per_k: float = 0.0
    """Seconds for each row of a matmul's inner dimension, which one block walks alone."""
    per_token: float = 0.0
    """Seconds for each token of a prefilled sequence, for the same reason."""
    per_peer: float = 0.0
    """Seconds for each further chip of an all-reduce."""
    per_row: float = 0.0
    """Reads of a routed row of hidden size, in BF16, that stand for sorting and combining it."""
    compute: float = 1.0
    """Share of the format's peak, in (0, 1]."""
    bandwidth: float = 1.0
    """Share of the HBM bandwidth, in (0, 1]; of the links' for an all-reduce."""
    cached: float = 0.0
    """The same where a loop finds what it reads in the last-level cache; 0: no such term."""
    cached_span: float = 1.0
    """Working set, as a share of the cache, at which half of that is gone."""
    skew_flops: float = 1.0
    """Work of experts whose load is not balanced over that of balanced ones."""
    skew_bytes: float = 1.0
    """The same of their weights: a skewed router touches fewer experts."""
    factor: float = 1.0
    """Of ``end_to_end``: seconds over those of the data sheet, nothing overlapping."""
    rows: int = 0
    """Public measurements that it was fitted to; 0: assumed."""
    error: float = 0.0
    """Mean of |predicted ÷ measured − 1|, on shapes, or chips, that were held apart."""
    low: float = 1.0
    """Measured ÷ predicted that one in twenty is below."""
    high: float = 1.0
    """Measured ÷ predicted that one in twenty is above."""
    source: str = ""
    basis: str = "measured"
    """``measured`` on this chip, ``like`` another chip's, ``shared``, or ``assumed``."""

    def __post_init__(self) -> None:
        for field in ("compute", "bandwidth"):
            if not 0 < getattr(self, field) <= 1:
                raise InputError(f"efficiency: {field}={getattr(self, field)!r} must be a share in (0, 1]")
        for field in ("floor", "per_k", "per_token", "per_peer", "per_row", "cached", "error"):
            if not 0 <= getattr(self, field) < math.inf:
                raise InputError(f"efficiency: {field}={getattr(self, field)!r} must be at least 0")
        if not 0 < self.low <= self.high < math.inf:
            raise InputError(
                f"efficiency: low={self.low!r} and high={self.high!r} must be ordered and above 0"
            )

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Efficiency":
        """Constants of a TOML table, whose times are microseconds: ``floor_us = 2.6``.

        Raises ``InputError`` for a key that is not known or a figure that is none.
        """
        values = {key.removesuffix("_us"): value for key, value in table.items()}
        fields = {field.name: field.type for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(fields)):
            raise InputError(f"efficiency has no {', '.join(unknown)}; it has {', '.join(fields)}")
        try:
            made: dict[str, Any] = {
                key: str(value) if key in ("source", "basis") else float(value)
                for key, value in values.items()
            }
        except (TypeError, ValueError):
            raise InputError("efficiency has a figure that is not a number") from None
        made |= {key: made[key] * 1e-6 for key in _SECONDS if key in made}
        return cls(**{**made, "rows": int(made.get("rows", 0))})

    def to_table(self) -> dict[str, float | int | str]:
        """The constants as ``from_table`` reads them, rounded to four digits; what is by default left out."""
        found: dict[str, float | int | str] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            timed = field.name in _SECONDS
            plain = value if isinstance(value, str | int) else float(f"{value * (1e6 if timed else 1):.4g}")
            found[f"{field.name}_us" if timed else field.name] = plain
        return found


Table = Mapping[str, Mapping[str, Efficiency]]
"""Kind of kernel → number format → constants."""


def read_table(tables: Mapping[str, Any]) -> Table:
    """One chip's constants from its tables ``[kind.format]``; raises ``InputError`` for what is not known."""
    if unknown := sorted(set(tables) - set(OPS)):
        raise InputError(f"efficiency has no kernel {', '.join(unknown)}; it has {', '.join(OPS)}")
    return {
        op: {form: Efficiency.from_table(table) for form, table in formats.items()}
        for op, formats in tables.items()
    }


@functools.cache
def measured() -> Mapping[str, Table]:
    """Chip → its constants, of all that were measured; ``SHARED`` and ``UNSEEN`` among the names."""
    text = resources.files(__package__).joinpath("efficiency.toml").read_text(encoding="utf-8")
    return {name: read_table(tables) for name, tables in tomllib.loads(text).items()}


def found(own: Table, like: str, op: str, form: str) -> Efficiency | None:
    """A chip's constants: its own, else those of the chip it is ``like`` with the error of an unseen chip.

    A format not timed there is that of ``SHARED``, and its basis says so. None where nobody timed it.
    What is ``ASSUMED`` is the same for all.
    """
    if form in own.get(op, {}):
        return own[op][form]
    tables = measured()
    if op in ASSUMED:
        return (tables.get(like, {}).get(op) or tables.get(SHARED, {}).get(op, {})).get(form)
    far = tables[UNSEEN].get(op, {}).get(form)
    for name in (like, SHARED) if like and far else ():
        if there := tables[name].get(op, {}).get(form):
            apart = {field: getattr(far, field) for field in ("error", "low", "high")}
            return dataclasses.replace(there, **apart, basis=name if name == SHARED else f"like {name}")
    return None


def patterns() -> list[str]:
    """What a chip can be ``like``: chips whose kernels were timed, and ``SHARED``."""
    return sorted(name for name, ops in measured().items() if name != UNSEEN and "gemm" in ops)
