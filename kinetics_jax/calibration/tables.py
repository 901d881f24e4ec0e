"""Public kernel timings as columns: what each table says of a call, and which calls belong together.

A folder holds ``gemm.csv.gz``, ``moe.csv.gz``, ``decode_attention.csv.gz``, ``prefill_attention.csv.gz`` and
``all_reduce.csv.gz``, one row a timing, with ``chip``, ``framework``, the shape of the call and ``us``,
microseconds a call in a loop.
"""

import csv
import dataclasses
import gzip
import io
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from kinetics_jax.chips import Chip
from kinetics_jax.chips.efficiency import ANY
from kinetics_jax.costs import efficiency
from kinetics_jax.errors import InputError

Columns = Mapping[str, np.ndarray]
"""Column → values, all of one length; numbers where all are."""
MOST_REDUCED = 1 << 28
"""Largest tensor of an all-reduce that is looked at, bytes: larger ones are no step's."""


@dataclasses.dataclass(frozen=True)
class KernelTable:
    """One kind of kernel: its columns, its constants, and how a call is predicted."""

    op: str
    form: str
    """Column of the number format; empty where there is but one."""
    shape: tuple[str, ...]
    """Columns of the call."""
    together: tuple[str, ...]
    """Columns whose combinations are kept apart as a whole when errors are found."""
    constants: Mapping[str, float]
    """Constant → where its fit starts."""
    seconds: Callable[[Chip, Columns, str], np.ndarray]
    """Chip, columns and format → seconds a call."""


def _gemm(chip: Chip, c: Columns, form: str) -> np.ndarray:
    return efficiency.gemm(chip, c["m"], c["n"], c["k"], form)


def _moe(chip: Chip, c: Columns, form: str) -> np.ndarray:
    shape = efficiency.Experts(*(c[name] for name in ("hidden", "inter", "topk", "experts", "tp", "ep")))
    calls = [efficiency.moe(chip, c["tokens"], shape, form, balanced) for balanced in (True, False)]
    return np.where(c["distribution"] == "balanced", *calls)


def _decode(chip: Chip, c: Columns, form: str) -> np.ndarray:
    return efficiency.decode_attention(chip, c["q_heads"], c["kv_heads"], c["batch"], c["context"], form)


def _prefill(chip: Chip, c: Columns, form: str) -> np.ndarray:
    return efficiency.prefill_attention(chip, c["q_heads"], c["kv_heads"], c["batch"], c["tokens"], form)


def _all_reduce(chip: Chip, c: Columns, form: str) -> np.ndarray:
    del form
    return efficiency.all_reduce(chip, c["gpus"], c["bytes"])


_CACHED = {"cached": 1.5, "cached_span": 0.5}
TABLES = (
    KernelTable(
        "gemm",
        "dtype",
        ("m", "n", "k"),
        ("n", "k"),
        {"floor": 4e-6, "per_k": 5e-10, "compute": 0.7, "bandwidth": 0.8, **_CACHED},
        _gemm,
    ),
    KernelTable(
        "moe",
        "dtype",
        ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "distribution"),
        ("hidden", "inter", "topk", "experts"),
        {
            "floor": 2e-5,
            "per_row": 4.0,
            "compute": 0.5,
            "bandwidth": 0.7,
            "skew_flops": 1.5,
            "skew_bytes": 0.9,
        },
        _moe,
    ),
    KernelTable(
        "decode_attention",
        "kv_dtype",
        ("q_heads", "kv_heads", "batch", "context"),
        ("q_heads", "kv_heads"),
        {"floor": 6e-6, "bandwidth": 0.6, **_CACHED},
        _decode,
    ),
    KernelTable(
        "prefill_attention",
        "kv_dtype",
        ("q_heads", "kv_heads", "batch", "tokens"),
        ("q_heads", "kv_heads"),
        {"floor": 1.5e-5, "per_token": 1e-9, "compute": 0.5, "bandwidth": 0.6},
        _prefill,
    ),
    KernelTable(
        "all_reduce",
        "",
        ("gpus", "bytes"),
        ("bytes",),
        {"floor": 5e-6, "per_peer": 5e-7, "bandwidth": 0.6},
        _all_reduce,
    ),
)


def read_columns(file: Path) -> Columns:
    """A CSV file, packed or not, as columns; raises ``InputError`` where it is none or has no rows."""
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot read the table ({error})") from None
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"{file}: not a table of rows of equal length below one header")
    return {name: _column(values) for name, *values in zip(*rows, strict=True)}


def _column(values: list[str]) -> np.ndarray:
    """Numbers, empty ones as NaN, where every value is one; else texts."""
    try:
        return np.array([float(value or "nan") for value in values])
    except ValueError:
        return np.array(values)


def read_kernels(folder: Path, table: KernelTable) -> Columns:
    """The rows of one kind of kernel that are looked at: none launched one by one, none huge.

    Raises ``InputError`` where the file is missing, or lacks a column.
    """
    file = folder / f"{table.op}.csv.gz"
    columns = read_columns(file)
    needed = {"chip", "framework", "us", *table.shape, *filter(None, (table.form,))}
    if missing := sorted(needed - set(columns)):
        raise InputError(f"{file}: lacks the column {', '.join(missing)}")
    if table.op != "all_reduce":
        return columns
    if "kernel" not in columns:
        raise InputError(f"{file}: lacks the column kernel")
    graphs = np.array(["eager" not in kernel for kernel in columns["kernel"]])
    return select(columns, graphs & (columns["bytes"] <= MOST_REDUCED))


def select(columns: Columns, rows: np.ndarray) -> Columns:
    """Some of the rows, by mask or index."""
    return {name: values[rows] for name, values in columns.items()}


def forms(table: KernelTable, columns: Columns) -> list[str]:
    """Number formats in the rows."""
    return sorted(set(columns[table.form])) if table.form else [ANY]


def of_form(table: KernelTable, columns: Columns, form: str) -> Columns:
    """The rows of one number format."""
    return select(columns, columns[table.form] == form) if table.form else columns
