"""A family's study, priced as its models are deployed. Here a trace meets ``costs.price``."""

import dataclasses
from typing import Any

import numpy as np

from kinetics_jax.costs import Chip, price
from kinetics_jax.policies import Dense, Policy
from kinetics_jax.scaling.frontier.study import LENGTHS, TRIALS, Study, build_study
from kinetics_jax.scaling.law.deployments import Deployed, cost_under
from kinetics_jax.scaling.law.measures import amount
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.result_parts import CellSummary
from kinetics_jax.scaling.selection.judged import ReaderPrice
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.independent_trials import Cell
from kinetics_jax.shapes import presets

SHORT_LENGTHS = (128, 256, 512, 1024)
"""Cuts below the paper's 2,048, for data sets whose answers are short."""


def peak_of(chip: Chip, options: LawOptions) -> float:
    """FLOP/s that a law's eFLOPs are counted against."""
    return chip.peak(options.serving.compute_dtype) if options.cost_mode == "exact" else chip.paper_peak


def priced_study(
    family: Family, chip: Chip, options: LawOptions, where: Deployed, project: Policy | None
) -> Study:
    """All configurations in the count of ``options.counted``; tera-eFLOPs are against ``peak_of``."""
    cells = list(family.cells)
    if project is not None:
        dense = [cell for cell in cells if cell.policy.kv_budget is None]
        cells += [dataclasses.replace(cell, policy=project) for cell in dense]
    cost, peak = cost_under(family, chip, options, where), peak_of(chip, options)
    waits = options.counted.name == "latency"

    def counted(name: str, *request: Any) -> np.ndarray:
        *sample, trials = request
        found = cost(name, *sample, 1) if waits else cost(name, *request)
        return amount(found, options.counted, peak, trials)

    lengths = (*SHORT_LENGTHS, *LENGTHS)
    study = build_study(cells, counted, trials=TRIALS, lengths=lengths, search=options.search)
    if not waits:
        return study
    return dataclasses.replace(study, cells=tuple(dataclasses.replace(c, slowest=True) for c in study.cells))


def reader_price(family: Family, chip: Chip, options: LawOptions, where: Deployed) -> ReaderPrice:
    """What a model asks for reading tokens and writing one, as ``priced_study`` counts; never for latency.

    A model of the family is deployed as in its law; another as ``price`` would deploy it.
    """
    deployed, peak = cost_under(family, chip, options, where), peak_of(chip, options)

    def cost(name: str, tokens: np.ndarray) -> np.ndarray:
        if name in family.shapes:
            found = deployed(name, Dense(), tokens, 1, 1)
        else:
            mode, overlap = options.mode, options.overlap
            found = price(presets[name], Dense(), tokens, 1, chip=chip, mode=mode, overlap=overlap)
        return np.asarray(amount(found, options.counted, peak, 1))

    return cost


def cell_summary(cell: Cell) -> CellSummary:
    """What stands beside a law of one of its cells."""
    return CellSummary(
        source=cell.source,
        model=cell.model,
        policy=cell.policy.label,
        variant=cell.variant,
        max_tokens=cell.max_tokens,
        questions=len(cell.questions),
        samples=int(cell.samples.sum()),
        accuracy=cell.accuracy,
        mean_tokens=float(cell.generated_tokens[cell.present].mean()),
    )
