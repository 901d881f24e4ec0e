"""What of a law other prices move, as data: filled in by ``price_moves``."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moved:
    """One thing that a law says, under both kinds of prices."""

    statement: str
    """What it is about, such as ``models from cheap to dear``."""
    data_sheet: str
    calibrated: str
    same: bool
    """Whether it is said still: the same words, or a number within a factor of 1.5."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriceMove:
    """One family of traces on one chip, by the data sheet and by kernels as measured."""

    dataset: str
    source: str
    chip: str
    chip_label: str
    measure: str
    rows: tuple[Moved, ...]
    sentence: str
    """In words: what stays, and what each kind says of what does not."""
