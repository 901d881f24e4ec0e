"""Accelerators as data: peaks, memory, links and price of one chip, all in SI units.

The figures stand in chips.toml with their sources. A user's own chip is a file of the same form or a
``Chip`` made by hand.
"""

import dataclasses
import functools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from kinetics_jax import references, storage
from kinetics_jax.chips.device import Device
from kinetics_jax.chips.dtypes import peak_name
from kinetics_jax.chips.efficiency import Efficiency, Table, found, measured, patterns, read_table
from kinetics_jax.chips.prices import PRICE_BASES, USER, ChipPrice, check_basis, read_prices
from kinetics_jax.errors import InputError, UnknownNameError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator chip (a TPU7x is one chip of two JAX devices)."""

    name: str
    flops: Mapping[str, float]
    """Dense peak FLOP/s by operand format: ``bf16``, ``fp8``, ``int8``, ``fp4`` (those it has)."""
    hbm_bytes: float
    """HBM in bytes by the data sheet; what a compiler lets a program have is ``device.hbm_bytes``."""
    hbm_bandwidth: float
    """HBM bandwidth in byte/s."""
    link_bandwidth: float = math.inf
    """Scale-up interconnect in byte/s, one way, all links together."""
    l2_bytes: float = 0.0
    """Last cache on the chip that HBM reads pass, in bytes by the data sheet; 0 where none is known."""
    scale_up_world: int = 1
    """Chips that one scale-up domain joins (NVLink island, TPU pod)."""
    usd_per_hour: float | None = None
    """Price of one chip-hour in US dollars on ``price_basis``; None where none was found on it."""
    price_basis: str = ""
    """Basis that dollars are counted on: one of ``PRICE_BASES`` (``priced`` changes it), or ``user``."""
    price_date: str = ""
    """When it was that, as far as known: ``2026-05-07``, ``2026-06``."""
    price_source: str = ""
    """Whose price it is, and where it was read."""
    prices: Mapping[str, ChipPrice] = dataclasses.field(default_factory=dict)
    """Every price that was found, by basis."""
    label: str = ""
    source: str = ""
    notes: str = ""
    device: Device | None = None
    """What the chip's compiler is told, where one compiles for it."""
    efficiency: Table = dataclasses.field(default_factory=dict)
    """What kernels were seen to reach of the figures above; see ``reached``."""
    efficiency_like: str = ""
    """Measured chip whose constants stand for what was not measured on this one; ``shared``: all of them."""

    def __post_init__(self) -> None:
        figures = {
            "hbm_bytes": self.hbm_bytes,
            "hbm_bandwidth": self.hbm_bandwidth,
            "link_bandwidth": self.link_bandwidth,
            "scale_up_world": self.scale_up_world,
            **{f"flops[{dtype}]": peak for dtype, peak in self.flops.items()},
        }
        for field, value in figures.items():
            if not value > 0:
                raise InputError(f"chip {self.name}: {field}={value!r} must be positive")
        if not 0 <= self.l2_bytes < math.inf:
            raise InputError(f"chip {self.name}: l2_bytes={self.l2_bytes!r} must be 0 or more")
        if not self.flops:
            raise InputError(f"chip {self.name}: flops is empty; give at least bf16")
        if self.usd_per_hour is not None and not 0 < self.usd_per_hour < math.inf:
            raise InputError(f"chip {self.name}: usd_per_hour={self.usd_per_hour!r} must be positive")
        if self.usd_per_hour is not None and not self.price_basis:
            object.__setattr__(self, "price_basis", USER)

    def priced(self, basis: str = "list", usd_per_hour: float | None = None) -> "Chip":
        """The chip with dollars on another basis, or at a price of the user's own.

        Args:
          basis: one of ``PRICE_BASES``; a chip without a price on it has no dollars. A price that the user
            gave stays.
          usd_per_hour: US dollars per chip-hour, recorded as the user's.

        Raises ``InputError`` for a basis that is not known, or a price that is not positive.
        """
        check_basis(basis)
        if usd_per_hour is not None:
            given = ChipPrice(usd_per_hour=usd_per_hour, source="given by the user")
            return self._at(USER, given)
        return self if self.price_basis == USER else self._at(basis, self.prices.get(basis))

    def _at(self, basis: str, price: ChipPrice | None) -> "Chip":
        return dataclasses.replace(
            self,
            usd_per_hour=price.usd_per_hour if price else None,
            price_basis=basis,
            price_date=price.date if price else "",
            price_source=price.source if price else "",
        )

    @property
    def no_price(self) -> str:
        """Why it has no dollars, and how it gets them, in a few words; empty where it has."""
        if self.usd_per_hour is not None:
            return ""
        others = ", ".join(basis for basis in PRICE_BASES if basis in self.prices)
        hint = f"price_basis={others} has one, or set usd_per_hour" if others else "set usd_per_hour"
        return f"no {self.price_basis or 'public'} price: {hint}"

    def peak(self, dtype: str = "bfloat16") -> float:
        """Dense peak FLOP/s of a matmul with operands of ``dtype``; InputError where it has none."""
        name = peak_name(dtype)
        if name not in self.flops:
            raise InputError(f"chip {self.name} has no {name} peak; it has {', '.join(sorted(self.flops))}")
        return self.flops[name]

    def intensity(self, dtype: str = "bfloat16") -> float:
        """FLOP that the chip can do per byte it can read, at the peak of ``dtype``."""
        return self.peak(dtype) / self.hbm_bandwidth

    @property
    def paper_peak(self) -> float:
        """The peak the paper divides by: FP8 dense where the chip has it (B200: 4500e12), else BF16."""
        return self.flops.get("fp8") or self.peak("bfloat16")

    @property
    def paper_intensity(self) -> float:
        """The paper's I: FP8 peak over bandwidth while bytes are counted at BF16 (B200: 562.5)."""
        return self.paper_peak / self.hbm_bandwidth

    def reached(self, op: str, form: str) -> Efficiency:
        """What kernels of one kind and number format reach on this chip, with the evidence.

        Raises ``InputError`` where nothing says it: what is not known is not guessed.
        """
        eff = found(self.efficiency, self.efficiency_like, op, form)
        if eff is None:
            raise InputError(
                f"chip {self.name}: no {op} kernel ({form}) was measured on it; price with "
                f'mode="exact", or give a chip file with [{self.name}.efficiency] like = "h100" (or "shared")'
            )
        return eff

    def calibrated(self, *, flops: float = 1.0, bandwidth: float = 1.0) -> "Chip":
        """The chip as it was seen to perform: shares of its peak FLOP/s and bandwidth, each in (0, 1]."""
        for name, share in (("flops", flops), ("bandwidth", bandwidth)):
            if not 0 < share <= 1:
                raise InputError(f"calibrated({name}={share!r}) must be a share in (0, 1]")
        return dataclasses.replace(
            self,
            flops={dtype: peak * flops for dtype, peak in self.flops.items()},
            hbm_bandwidth=self.hbm_bandwidth * bandwidth,
            notes=f"{self.notes}; calibrated to {flops:.0%} FLOP/s, {bandwidth:.0%} bandwidth".strip("; "),
        )

    @classmethod
    def from_toml(cls, path: str | Path, name: str | None = None) -> "Chip":
        """The one chip of a TOML file, or the one called ``name``.

        Raises:
          InputError: no such file, not TOML, several chips and no name, or figures missing or wrong.
        """
        try:
            tables = tomllib.loads(storage.input_path(path, "chip", folder=False).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot read the chip file ({error})") from None
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path}: not TOML ({error}); see kinetics_jax/chips/chips.toml") from None
        names = [key for key, table in tables.items() if isinstance(table, dict)]
        if name is None and len(names) != 1:
            raise InputError(f"{path}: holds {len(names)} chips; a chip file has one [name] table")
        key = name or names[0]
        if key not in names:
            raise UnknownNameError(f"chip in {path}", key, names)
        return _from_table(key, tables[key], where=str(path))


_FIGURES = {
    "hbm_gb": ("hbm_bytes", 1e9),
    "hbm_gbps": ("hbm_bandwidth", 1e9),
    "link_gbps": ("link_bandwidth", 1e9),
    "l2_mb": ("l2_bytes", 1e6),
}
"""Key of a table → field and its unit."""
_WORDS = {
    "label": "label",
    "source": "source",
    "notes": "notes",
    "usd_basis": "price_source",
    "usd_date": "price_date",
}
_KEYS = {
    *_FIGURES,
    *_WORDS,
    "tflops",
    "link",
    "scale_up_world",
    "usd",
    "usd_per_hour",
    "device",
    "efficiency",
}


def _from_table(name: str, table: Mapping[str, Any], where: str) -> Chip:
    unknown = sorted(set(table) - _KEYS)
    missing = [key for key in ("tflops", "hbm_gb", "hbm_gbps") if key not in table]
    if unknown or missing:
        what = f"unknown {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise InputError(f"{where}: chip {name} {what}; known keys: {', '.join(sorted(_KEYS))}")
    try:
        values: dict[str, Any] = {
            to: float(table[key]) * unit for key, (to, unit) in _FIGURES.items() if key in table
        }
        values["flops"] = {dtype: float(x) * 1e12 for dtype, x in table["tflops"].items()}
        values["scale_up_world"] = int(table.get("scale_up_world", 1))
        if "usd_per_hour" in table:
            values["usd_per_hour"] = float(table["usd_per_hour"])
    except (TypeError, ValueError, AttributeError):
        raise InputError(f"{where}: chip {name} has a figure that is not a number") from None
    if "device" in table:
        peak, bandwidth = values["flops"].get("bf16", 0.0), values["hbm_bandwidth"]
        try:
            values["device"] = Device.from_table(name, table["device"], peak, bandwidth)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: [{name}.device] is wrong or not whole ({error!r})") from None
    if "usd" in table:
        try:
            values["prices"] = read_prices(table["usd"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: a price of chip {name} is wrong or not whole ({error})") from None
    values |= _efficiency(name, table.get("efficiency", {}), where)
    values |= {to: str(table[key]) for key, to in _WORDS.items() if key in table}
    return Chip(name=name, **values).priced()


def _efficiency(name: str, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``efficiency`` and ``efficiency_like`` of a chip's table, beside what was measured of a known chip."""
    if not isinstance(table, dict):
        raise InputError(f"{where}: chip {name}: efficiency must be a table, [{name}.efficiency]")
    like = str(table.get("like", ""))
    if like not in ("", *patterns()):
        raise UnknownNameError(f"{where}: chip {name}: efficiency.like", like, patterns())
    try:
        own = read_table({op: formats for op, formats in table.items() if op != "like"})
    except (InputError, AttributeError) as error:
        raise InputError(f"{where}: chip {name}: {error}") from None
    known = measured().get(name, {}) if where == TABLE else {}
    return {"efficiency": {**known, **own}, "efficiency_like": like}


TABLE = "chips.toml"
_ALIASES = {
    "v4": "tpu_v4",
    "v5e": "tpu_v5e",
    "v5p": "tpu_v5p",
    "v6e": "tpu_v6e",
    "v7x": "tpu7x",
    "tpu8i": "tpu_8i",
    "tpu8t": "tpu_8t",
}


class _Chips(Mapping[str, Chip]):
    """A read-only mapping from name to ``Chip``; each is an attribute too (``chips.b200``)."""

    @functools.cached_property
    def _chips(self) -> dict[str, Chip]:
        text = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
        tables = tomllib.loads(text)
        return {name: _from_table(name, table, TABLE) for name, table in tables.items()}

    def __getitem__(self, name: str) -> Chip:
        key = str(name).lower().replace("-", "_")
        key = _ALIASES.get(key, key)
        if key not in self._chips:
            raise UnknownNameError("chip", name, self._chips, "(or a path to a .toml file)")
        return self._chips[key]

    def __getattr__(self, name: str) -> Chip:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except UnknownNameError as error:
            raise AttributeError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._chips)

    def __len__(self) -> int:
        return len(self._chips)


chips = _Chips()
"""Every chip of chips.toml, by name: ``chips["b200"]`` or ``chips.b200``."""


def get_chip(chip: "Chip | str | Path") -> Chip:
    """A chip from a chip, a name of ``chips``, or a path to a TOML file that ends in ``.toml``.

    An installed package offers its own in the entry points ``kinetics_jax.chips``: a ``Chip``, or the path
    of a TOML file.
    """
    if isinstance(chip, Chip):
        return chip
    if str(chip).endswith(".toml"):
        return Chip.from_toml(chip)
    if chip not in chips and (found := references.entry_point("kinetics_jax.chips", str(chip))):
        return get_chip(found)
    return chips[str(chip)]


def priced_chips(
    names: "Sequence[Chip | str | Path]", basis: str = "list", usd_per_hour: float | None = None
) -> list[Chip]:
    """Chips as ``get_chip`` finds them, with dollars on one basis, or at the user's price (0: not given).

    Raises ``InputError`` for an unknown chip or basis, or a price of the user's for several chips.
    """
    found = [get_chip(name).priced(basis) for name in names]
    if not usd_per_hour:
        return found
    if len(found) != 1:
        listed = ", ".join(chip.name for chip in found)
        raise InputError(f"usd_per_hour={usd_per_hour!r} is a price of one chip, and there are {listed}")
    return [found[0].priced(basis, usd_per_hour)]


def mixed_markets(found: Sequence[Chip]) -> tuple[str, ...]:
    """One line where dollars of these chips are of several markets, and so do not compare; else none."""
    priced = [chip for chip in found if chip.usd_per_hour is not None]
    if len({chip.price_basis for chip in priced}) < 2:
        return ()
    listed = ", ".join(f"{chip.name} ({chip.price_basis})" for chip in priced)
    return (f"dollars are of several markets and do not compare: {listed}",)


@functools.cache
def devices() -> dict[str, Device]:
    """Name → device of each chip of the table that can be compiled for where it is not, TPUs first."""
    found = [chip.device for chip in chips.values() if chip.device]
    return {device.name: device for device in sorted(found, key=lambda device: device.platform != "tpu")}


def compiler_options(device_kind: str) -> dict[str, bool | str]:
    """``compiler_options`` of ``jax.jit`` for decode steps on devices of ``jax.Device.device_kind``.

    Empty for most. They change memory and time, not what is computed. Found by compiling ahead of time with
    libtpu 0.0.42, not by running on the chip.
    """
    kinds = {device.kind: device.compiler_options for device in devices().values()}
    return dict(kinds.get(device_kind, {}))
