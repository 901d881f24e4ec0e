"""Public serving deployments held against prices: what each row says, and what the price of its requests is.

A row of ``end_to_end.csv.gz`` is a model on some chips with its prompt and output lengths (``isl``, ``osl``),
batch, chips of a copy (``tp``), number formats, and the time per output token or the tokens a second of a
chip. A time per token of a server under load has other requests' prefill in it; that of a static batch, and a
median between tokens, have not.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kinetics_jax.calibration.tables import Columns, read_columns
from kinetics_jax.costs import Cost, price
from kinetics_jax.errors import InputError, KineticsError
from kinetics_jax.policies import Dense

STATIC = "decode_only"
_NO_PREFILL = (STATIC, "serving_median_itl")
_FORMATS = {"bf16": "bfloat16", "unstated": "bfloat16", "fp8": "fp8", "int8": "int8"}
_NEEDED = ("kind", "chip", "framework", "model", "precision", "kv_dtype", "isl", "osl", "batch", "tp", "dp")


@dataclasses.dataclass(frozen=True)
class Deployed:
    """One public measurement of a server."""

    kind: str
    chip: str
    framework: str
    model: str
    weights: str
    """Format of weights and matmuls; ``bfloat16`` where the row does not say."""
    kv: str
    """Format of the cache; where the row does not say, FP8 beside FP8 weights, except in SGLang."""
    prompt: int
    output: int
    batch: float
    """Sequences decoded together on one copy."""
    chips: int
    """Chips of a copy."""
    seconds: float
    """Measured seconds a token of one sequence."""

    def price(self, mode: str, overlap: str = "sum") -> Cost:
        """One of its requests, priced; raises ``KineticsError`` where it has no price."""
        return price(
            self.model,
            Dense(),
            self.prompt,
            self.output,
            1,
            chip=self.chip,
            mode=mode,
            overlap=overlap,
            batch=self.batch,
            tensor_parallel=self.chips,
            weight_dtype=self.weights,
            kv_dtype=self.kv,
            compute_dtype=self.weights,
            prefill=self.kind not in _NO_PREFILL,
        )

    def per_token(self, chip_seconds: np.ndarray) -> float:
        """Seconds a token of one sequence from a request's chip-seconds."""
        return float(chip_seconds) / self.output * self.batch / self.chips


def read_deployments(folder: Path) -> list[Deployed]:
    """The rows that can be compared: formats that have prices, a batch, and no data parallelism but static.

    Raises ``InputError`` where the file is missing, or lacks a column.
    """
    file = folder / "end_to_end.csv.gz"
    columns = read_columns(file)
    if missing := [name for name in (*_NEEDED, "tpot_ms", "out_tok_s_chip") if name not in columns]:
        raise InputError(f"{file}: lacks the column {', '.join(missing)}")
    return list(_rows(columns))


def _rows(columns: Columns) -> Iterator[Deployed]:
    for at in range(len(columns["kind"])):
        row = {name: values[at] for name, values in columns.items()}
        kind, copies = str(row["kind"]), float(row["dp"])
        copies = 1.0 if np.isnan(copies) else max(copies, 1.0)
        weights = _FORMATS.get(str(row["precision"]))
        if weights is None or np.isnan(row["batch"]) or (copies > 1 and kind != STATIC):
            continue
        chips_of_copy = int(row["tp"])
        measured = float(row["tpot_ms"]) / 1e3
        if np.isnan(measured):
            measured = float(row["batch"]) / float(row["out_tok_s_chip"]) / chips_of_copy
        yield Deployed(
            kind=kind,
            chip=str(row["chip"]),
            framework=str(row["framework"]),
            model=str(row["model"]),
            weights=weights,
            kv=_kv_format(str(row["kv_dtype"]), weights, str(row["framework"])),
            prompt=int(row["isl"]),
            output=int(row["osl"]),
            batch=float(row["batch"]) / copies,
            chips=chips_of_copy,
            seconds=measured,
        )


def _kv_format(said: str, weights: str, framework: str) -> str:
    if said != "unstated" and said in _FORMATS:
        return _FORMATS[said]
    return "fp8" if weights == "fp8" and not framework.startswith("sglang") else "bfloat16"


def priced(rows: list[Deployed], mode: str, overlap: str = "sum") -> list[tuple[Deployed, Cost | str]]:
    """Rows with their prices, or with the line that says why there is none."""
    found: list[tuple[Deployed, Cost | str]] = []
    for row in rows:
        try:
            found.append((row, row.price(mode, overlap)))
        except KineticsError as error:
            found.append((row, str(error)))
    return found
