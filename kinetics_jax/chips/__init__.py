"""THE table of chips: ``chips.toml`` beside this file, or a file of the user's of the same form.

Nothing else in the project holds a figure of a chip; prices, compilers for chips that are not here and the
tables of ``docs`` read this one.
"""

from kinetics_jax.chips.chip import (
    Chip,
    chips,
    compiler_options,
    devices,
    get_chip,
    mixed_markets,
    priced_chips,
)
from kinetics_jax.chips.device import Cuda, Device
from kinetics_jax.chips.dtypes import bytes_per_element
from kinetics_jax.chips.prices import PRICE_BASES, ChipPrice

__all__ = [
    "PRICE_BASES",
    "Chip",
    "ChipPrice",
    "Cuda",
    "Device",
    "bytes_per_element",
    "chips",
    "compiler_options",
    "devices",
    "get_chip",
    "mixed_markets",
    "priced_chips",
]
