"""The one table of chips: ``chips.toml`` beside this file, or a file of the user's of the same form."""

from kinetics_jax.chips.chip import Chip, chips, get_chip
from kinetics_jax.chips.dtypes import bytes_per_element

__all__ = ["Chip", "bytes_per_element", "chips", "get_chip"]
