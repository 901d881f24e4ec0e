"""The machine-readable half of a result: ``law.json`` and ``frontier.csv``.

NaN (nothing fits this cost) is null in JSON and empty in CSV. Every number stands beside its unit.
"""

import csv
import dataclasses
import functools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from kinetics_jax.report import selection_tables
from kinetics_jax.report.deployments import DEPLOYMENT_UNITS, deployment_row
from kinetics_jax.report.directory import FORMAT
from kinetics_jax.report.prices import prices_data
from kinetics_jax.scaling.frontier.growing import Growth
from kinetics_jax.scaling.law.measures import Measure
from kinetics_jax.scaling.law.result_parts import SparseGain
from kinetics_jax.scaling.law.results import FrontierResult, Law, Results
from kinetics_jax.scaling.law.shape_results import ShapeResults
from kinetics_jax.scaling.statistics.bands import Bands
from kinetics_jax.scaling.statistics.intervals import Estimate
from kinetics_jax.scaling.traces.spreadsheet_text import to_cell
from kinetics_jax.shapes import ModelConfig

VERSION = 1
_HEADER = (
    "dataset,source,projected_policy,chip,cost_mode,overlap,flavour,choice,cost_eflops,chip_seconds,dollars,"
    "accuracy,low,high,model,trials,length,tokens,kv_budget,dense_share,measure,prices,latency_seconds\n"
)
CAPACITY_UNITS = {
    "num_chips": "chips per copy (0: does not fit)",
    "batch": "sequences",
    "context": "tokens",
    "weight_gib": "GiB (2³⁰ bytes)",
    "kv_gib_per_sequence": "GiB (2³⁰ bytes)",
    "dense_seconds": "chip-seconds per sample",
    "sparse_seconds": "chip-seconds per sample",
}
CELL_UNITS = {
    "max_tokens": "tokens",
    "questions": "questions",
    "samples": "samples",
    "accuracy": "share in [0, 1]",
    "mean_tokens": "tokens",
}
_OPTIMA = {
    "tokens": "generated tokens per question",
    "trials": "trials",
    "length": "tokens",
    "kv_budget": "tokens per KV head and step",
    "dense_share": "share of questions in [0, 1]",
}


def write_law_json(results: Results, files: Sequence[str], stream: TextIO) -> None:
    """Everything a run found as strict JSON.

    Args:
        results: what to write.
        files: paths, relative to the directory, of all files of this result: its manifest.
        stream: text, UTF-8.
    """
    document = {
        "format": FORMAT,
        "format_version": VERSION,
        "files": sorted(files),
        "answers": results.answers,
        "laws": [_law(law) for law in results.laws],
        "claims": [claim._asdict() for claim in results.claims],
        "shapes": _shapes(results.shapes),
        "skipped": results.skipped,
        "inputs": results.inputs,
        **prices_data(results),
        "sensitivity": [dataclasses.asdict(one) for one in results.sensitivity],
        "settings": results.settings,
        "versions": results.versions,
    }
    stream.writelines(_lines(plain(document)))
    stream.write("\n")


def write_frontier_csv(results: Results, stream: TextIO) -> None:
    """One row per law, flavour and grid point; costs per question, accuracies in [0, 1].

    No text is a formula to a spreadsheet.
    """
    writer = csv.writer(stream, lineterminator="\n")
    stream.write(_HEADER)
    for law in results.laws:
        texts = (law.dataset, law.source, law.projected_policy, law.chip, law.cost_mode, law.overlap)
        names = [to_cell(text) for text in texts]
        for result in law.frontiers.values():
            rows = _frontier_rows(law, result)
            writer.writerows((*names, result.flavour, result.choice, *row) for row in rows)


def _frontier_rows(law: Law, result: FrontierResult) -> list[list[str]]:
    unknown = np.full(len(law.costs), np.nan)
    eflops = law.costs if law.measure == "eflops" else unknown
    seconds, dollars = (unknown if known is None else known for known in (law.seconds, law.dollars))
    waiting = law.costs if law.measure == "latency" else unknown
    numbers = [eflops, seconds, dollars, result.accuracy, result.low, result.high]
    optima = [result.trials, result.length, result.tokens, result.kv_budget, result.dense_share]
    return [
        [
            *(_cell(a[g]) for a in numbers),
            to_cell(result.model[g]),
            *(_cell(a[g]) for a in optima),
            law.measure,
            law.prices,
            _cell(waiting[g]),
        ]
        for g in range(len(law.costs))
    ]


def _cell(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""


def _lines(value: Any, margin: str = "\n") -> Iterator[str]:
    """JSON text, one entry a line, but a list of plain values on one line: a person can read it."""
    inner = margin + " "
    if isinstance(value, dict) and value:
        for i, (key, item) in enumerate(value.items()):
            yield f"{',' if i else '{'}{inner}{_json(key)}: "
            yield from _lines(item, inner)
        yield margin + "}"
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for i, item in enumerate(value):
            yield f"{',' if i else '['}{inner}"
            yield from _lines(item, inner)
        yield margin + "]"
    else:
        yield _json(value)


_json = functools.partial(json.dumps, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Any of our values as what JSON has: NaN and infinity as null, arrays as lists, 12 digits.

    Raises:
        TypeError: a kind of value that has no such form.
    """
    if isinstance(value, Estimate):
        return plain(dataclasses.asdict(value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r}")


def _of(unit: str, values: Any) -> dict[str, Any]:
    return {"unit": unit, "values": values}


def _law(law: Law) -> dict[str, Any]:
    words = ("dataset", "source", "projected_policy", "chip", "chip_label", "cost_mode", "overlap")
    return {
        **{name: getattr(law, name) for name in words},
        "usd_per_hour": {
            "unit": "US$ per chip-hour",
            "value": law.usd_per_hour,
            "basis": law.price_basis,
            "date": law.price_date,
        },
        "peak_flops": {"unit": "FLOP/s", "value": law.peak_flops},
        "measure": law.measure,
        "prices": law.prices,
        "price_evidence": None if law.price_evidence is None else law.price_evidence.to_data(),
        "questions": law.questions,
        "dropped_questions": law.dropped_questions,
        "models": law.models,
        "sizes": _of("parameters", law.sizes),
        "cells": [dataclasses.asdict(cell) for cell in law.cells],
        "cell_units": CELL_UNITS,
        "without_oracle": None
        if law.without_oracle is None
        else selection_tables.plain(law.without_oracle, law.counted.unit),
        "costs": _of(f"{law.counted.unit} per question", law.costs),
        "seconds": _of("chip-seconds per question", law.seconds),
        "dollars": _of("US$ per question", law.dollars),
        "model_curves": _of("accuracy in [0, 1], paper's rule, smoothed", law.model_curves),
        "frontiers": {name: _frontier(result, law.counted) for name, result in law.frontiers.items()},
        "optimism": law.optimism,
        "threshold": law.threshold,
        "sparse": None if law.sparse is None else _sparse(law.sparse),
        "selection_bias": law.selection_bias,
        "growth": [_growth(step) for step in law.growth],
        "token_demand": law.token_demand,
        "left_out": [{**dataclasses.asdict(one), "error_points": one.error} for one in law.left_out],
        "notes": law.notes,
        "warnings": law.warnings,
        "not_comparable": law.not_comparable,
        "deployments": [deployment_row(one) for one in law.deployments],
        "deployment_units": DEPLOYMENT_UNITS if law.deployments else {},
    }


def _growth(step: Growth) -> dict[str, Any]:
    return {"beyond": {"unit": "parameters", "value": step.size}, "difference": _bands(step.difference)}


def _bands(bands: Bands) -> dict[str, Any]:
    """A difference of accuracies with pointwise (low, high) and simultaneous (sure_low …) bounds."""
    return {"unit": "difference of shares, in [−1, 1]", "level": 0.95, **bands._asdict()}


def _sparse(sparse: SparseGain) -> dict[str, Any]:
    accuracy = "share of questions solved, in [0, 1]"
    return {
        "flavour": sparse.flavour,
        "dense": _of(accuracy, sparse.dense),
        "sparse": _of(accuracy, sparse.sparse),
        "difference": _bands(sparse.difference),
        "gain": sparse.gain,
        "cheaper": sparse.cheaper,
    }


def _frontier(result: FrontierResult, counted: Measure) -> dict[str, Any]:
    cost = f"{counted.unit} per question"
    accuracy = "share of questions solved, in [0, 1]"
    return {
        "flavour": result.flavour,
        "choice": result.choice,
        "accuracy": {**_of(accuracy, result.accuracy), "low": result.low, "high": result.high},
        "model": result.model,
        "model_share": _of("share of bootstrap resamples in [0, 1]", result.model_share),
        "bands": [dataclasses.asdict(band) for band in result.bands],
        "band_units": {
            "start": cost,
            "start_low": cost,
            "start_high": f"{cost}; null in a later band: need not happen within these costs",
            "end": cost,
            "start_accuracy": accuracy,
            "end_accuracy": accuracy,
            "support": "mean share of bootstrap resamples in [0, 1]",
        },
        "optima": {name: _of(unit, getattr(result, name)) for name, unit in _OPTIMA.items()},
        "fits": result.fits,
        "refused_fits": result.refused,
        "curves": {
            name: {
                "form": "y = a·x^b + c",
                "x": f"{counted.fitted} per question",
                "y": _OPTIMA.get(name),
                **dict(zip("abc", curve, strict=True)),
            }
            for name, curve in result.curves.items()
        },
    }


def _shapes(shapes: ShapeResults) -> dict[str, Any]:
    return {
        "chip": shapes.chip,
        "intensity": {"unit": "FLOP/byte", "value": shapes.intensity},
        "models": [_model(model) for model in shapes.models],
        "phi": {
            "generated_tokens": shapes.phi_lengths,
            **_of("attention eFLOPs ÷ weights' eFLOPs", shapes.phi),
        },
        "overtakes": _of("generated tokens at which attention equals the weights", shapes.overtakes),
        "tenfold": _of("generated tokens at which attention is ten times them", shapes.tenfold),
        "kv_gib_per_32k": _of("GiB per 32,768 BF16 tokens", shapes.kv_gib_per_32k),
        "kv_trend": shapes.kv_trend,
        "kv_fit": {
            "form": "y = a·x^b",
            "x": "10⁹ parameters",
            "y": "GiB per 32,768 tokens",
            "a": shapes.kv_fit[0],
            "b": shapes.kv_fit[1],
        },
        "iso_flops": [
            {"flops": flops, **_of("generated tokens", tokens)} for flops, tokens in shapes.iso_flops.items()
        ],
        "iso_eflops": [
            {"attention_eflops": eflops, **_of("generated tokens", tokens)}
            for eflops, tokens in shapes.iso_eflops.items()
        ],
        "capacity": [dataclasses.asdict(row) for row in shapes.capacity],
        "capacity_units": CAPACITY_UNITS,
    }


def _model(model: ModelConfig) -> dict[str, Any]:
    return {
        "name": model.name,
        "total_params": {"unit": "parameters", "value": model.total_params},
        "active_params": {"unit": "parameters", "value": model.active_params},
        "kv_bytes_per_token": {"unit": "bytes (BF16)", "value": model.kv_bytes_per_token()},
    }
