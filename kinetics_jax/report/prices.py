"""What other prices move, and from where on sparse attention pays, as rows: law.json, CSV files, the page."""

import csv
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TextIO

from kinetics_jax.scaling.law.break_even_results import BreakEven
from kinetics_jax.scaling.law.results import Results
from kinetics_jax.scaling.traces.spreadsheet_text import to_cell

BREAK_EVEN_UNITS = {
    "num_chips": "chips of a copy",
    "batch": "sequences decoded together",
    "context": "tokens from which on a step's attention is cheaper than dense; null: not up to longest",
    "most_context": "tokens that so many sequences can have in memory",
    "longest": "tokens",
}
_MOVES = ("dataset", "source", "chip", "measure", "statement", "data_sheet", "calibrated", "same")
_BREAK_EVEN = (
    "chip",
    "model",
    "policy",
    "chips_per_copy",
    "batch",
    "break_even_context",
    "most_context",
    "search_constants",
)
SHOWN_BATCHES = (1, 4, 16, 64, 256, 1024)


def prices_data(results: Results) -> dict[str, Any]:
    """How far off prices were, what others move, and break-evens, as data for JSON."""
    return {
        "price_evidence": [one.to_data() for one in results.price_evidence],
        "price_moves": [dataclasses.asdict(one) for one in results.price_moves],
        "break_even": [dataclasses.asdict(one) for one in results.break_even],
        "break_even_units": BREAK_EVEN_UNITS if results.break_even else {},
    }


def write_moves_csv(results: Results, stream: TextIO) -> None:
    """One row for each thing that a law says, under both kinds of prices."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_MOVES)
    for one in results.price_moves:
        where = [to_cell(text) for text in (one.dataset, one.source, one.chip, one.measure)]
        for row in one.rows:
            texts = [to_cell(text) for text in (row.statement, row.data_sheet, row.calibrated)]
            writer.writerow([*where, *texts, "yes" if row.same else "no"])


def write_break_even_csv(results: Results, stream: TextIO) -> None:
    """One row a policy, model, chip and batch; tokens, empty where sparse attention never pays."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_BREAK_EVEN)
    for one in results.break_even:
        names = [to_cell(text) for text in (one.chip, one.model, one.policy)]
        kind = "assumed" if one.assumed else "measured"
        for batch, context, most in zip(one.batch, one.context, one.most_context, strict=True):
            tokens = f"{context:.0f}" if math.isfinite(context) else ""
            writer.writerow([*names, one.num_chips, f"{batch:.0f}", tokens, f"{most:.0f}", kind])


def shown_columns(one: BreakEven) -> Sequence[int]:
    """Batches that a table shows, as indices."""
    batches = [round(float(batch)) for batch in one.batch]
    return [batches.index(batch) for batch in SHOWN_BATCHES if batch in batches]
