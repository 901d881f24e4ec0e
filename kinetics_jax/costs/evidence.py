"""How far a mode's prices were off public deployments, as data: ``validation.toml`` beside this file.

Made by ``python -m experiments.validate_prices --write``, never by hand.
"""

import dataclasses
import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from statistics import NormalDist

import numpy as np

from kinetics_jax.errors import InputError

LEVEL = 0.9
"""Level that ``low`` and ``high`` of all evidence are of."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """What stands behind seconds and dollars: how often such prices were held against what was measured."""

    rows: int
    """Public deployments that were compared; 0: none."""
    error: float
    """Mean of |predicted ÷ measured − 1| of the time per token."""
    bias: float
    """Median of predicted ÷ measured, less one."""
    low: float
    """Measured ÷ predicted that one in twenty was below."""
    high: float
    """Measured ÷ predicted that one in twenty was above."""
    covered: float = 0.0
    """Share of the deployments that lay in the price's own 90 % interval; 0: it has none of its own."""
    source: str = ""
    assumed: tuple[str, ...] = ()
    """Kinds of kernel in it whose constants nobody measured: ``search``, ``pointwise``, ``host``."""

    @property
    def sentence(self) -> str:
        """The error in words: ``on 899 public deployments … was off by 13 % (90 % within −23 … +30 %)``."""
        if not self.rows:
            return "these prices were held against no measurement"
        low, high = (100 * (1 / bound - 1) for bound in (self.high, self.low))
        return (
            f"on {self.rows:,} public deployments this model's time per token was off by "
            f"{100 * self.error:.0f} % (90 % within {low:+.0f} … {high:+.0f} %)"
        ).replace("-", "−")


@functools.cache
def _validated() -> Mapping[str, Mapping[str, Mapping[str, float | int | str]]]:
    text = resources.files(__package__).joinpath("validation.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def calibration(mode: str, chip: str, assumed: tuple[str, ...] = ()) -> Calibration:
    """How far prices of ``mode`` were off: on the chip's own static decodes where it has only those.

    Modes of the paper were held against nothing: ``rows`` is 0.
    """
    tables = _validated().get(mode, {})
    table = tables.get(chip) or tables.get("serving") or {}
    empty = {"rows": 0, "error": np.nan, "bias": np.nan, "low": np.nan, "high": np.nan}
    return Calibration(**{**empty, **table}, assumed=assumed)  # type: ignore[arg-type]


def stretched(low: float, high: float, level: float) -> tuple[float, float]:
    """The factors ``low`` and ``high`` of ``LEVEL``, at another level; log-normal on either side.

    Raises ``InputError`` unless ``level`` lies in (0, 1).
    """
    if not isinstance(level, float) or not 0 < level < 1:
        raise InputError(f"interval({level!r}): the level must lie between 0 and 1, such as 0.9")
    normal = NormalDist()
    ratio = normal.inv_cdf((1 + level) / 2) / normal.inv_cdf((1 + LEVEL) / 2)
    return low**ratio, high**ratio
