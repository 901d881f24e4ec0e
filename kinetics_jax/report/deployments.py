"""Deployments of a law and what survives others, as rows of tables: law.json, sensitivity.csv, the page."""

import csv
from collections.abc import Iterator
from typing import Any, TextIO

from kinetics_jax.costs import Deployment
from kinetics_jax.scaling.law.results import Results
from kinetics_jax.scaling.traces.spreadsheet_text import to_cell

DEPLOYMENT_UNITS = {
    "tensor_parallel": "chips of a copy",
    "batch": "sequences decoded together (the one batch that reads the weights as often)",
    "least_batch": "sequences",
    "most_batch": "sequences",
    "page_size": "tokens",
    "chip_seconds": "chip-seconds of all traces, one sample each",
    "peak_share": "share of them that computes at peak, in [0, 1]",
}
_HEADER = (
    "dataset",
    "source",
    "chip",
    "statement",
    "said",
    "survives",
    "tried",
    "flips_at",
    "becomes",
    "flips",
)


def deployment_row(one: Deployment) -> dict[str, Any]:
    """A deployment as flat data."""
    serving = one.serving
    return {
        "model": one.model,
        "chip": one.chip,
        "rule": one.rule,
        "policy": one.policy,
        "tensor_parallel": serving.tensor_parallel,
        "batch_rule": "what fits" if serving.batch is None else "given",
        "batch": one.batch,
        "least_batch": one.least_batch,
        "most_batch": one.most_batch,
        "occupancy": serving.occupancy,
        "page_size": serving.page_size,
        "weight_dtype": serving.weight_dtype,
        "kv_dtype": serving.kv_dtype,
        "compute_dtype": serving.compute_dtype,
        "share_prefix": serving.share_prefix,
        "chip_seconds": one.chip_seconds,
        "peak_share": one.peak_share,
    }


def write_sensitivity_csv(results: Results, stream: TextIO) -> None:
    """One row a sentence of a law: under how many deployments it stands, and where it flips."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(_rows(results))


def _rows(results: Results) -> Iterator[list[Any]]:
    for one in results.sensitivity:
        where = [to_cell(text) for text in (one.dataset, one.source, one.chip)]
        for row in one.rows:
            texts = [to_cell(text) for text in (row.flips_at, row.becomes, "; ".join(row.flips))]
            yield [*where, to_cell(row.statement), to_cell(row.said), row.survives, row.tried, *texts]
