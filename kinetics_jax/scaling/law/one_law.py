"""The law of one family of traces on one chip: frontiers, optima, fits, threshold, with intervals.

Axes: G costs of the grid (tera-eFLOPs here, so that fits read like the paper's) · M models.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from kinetics_jax.costs import Chip, Serving, chips_per_copy, price
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.frontier.bootstrap import bootstrap_frontier
from kinetics_jax.scaling.frontier.choose_and_score import Sharing
from kinetics_jax.scaling.frontier.configurations import Price
from kinetics_jax.scaling.frontier.frontiers import cost_grid
from kinetics_jax.scaling.frontier.study import LENGTHS, TRIALS, Study, build_study
from kinetics_jax.scaling.law import estimates
from kinetics_jax.scaling.law.frontier_results import frontier_result
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.result_parts import CellSummary
from kinetics_jax.scaling.law.results import TERA, Law
from kinetics_jax.scaling.law.without_oracle import without_oracle
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.independent_trials import Cell

SHORT_LENGTHS = (128, 256, 512, 1024)
"""Cuts below the paper's 2,048, for data sets whose answers are short."""


def find_law(family: Family, chip: Chip, options: LawOptions, *, project: Policy | None = None) -> Law:
    """The law of a family on a chip.

    Args:
      family: comparable cells.
      chip: what the traces are priced on.
      options: how.
      project: a sparse policy to price every dense cell with *besides* its own, under the assumption
        that it changes no answer. The result is a projection and is labelled as one.

    Raises:
      InputError: a model that does not fit the chip, or too few questions for a bootstrap.
    """
    study = _study(family, chip, options, project)
    choice: Sharing = "question" if study.samples >= 2 else "shared"
    resampled = functools.partial(
        bootstrap_frontier,
        costs=cost_grid(study, options.grid_points),
        choice=choice,
        resamples=options.bootstrap,
        splits=options.splits,
        seed=options.seed,
    )
    frontiers = {flavour: resampled(study, flavour=flavour) for flavour in options.flavours}
    best = options.flavours[-1]
    sizes = {name: float(family.shapes[name].total_params) for name in study.models}
    models = tuple(sorted(study.models, key=lambda name: (sizes[name], name)))
    found = study, family, chip, options
    return Law(
        dataset=family.dataset,
        source=family.source,
        chip=chip.name,
        chip_label=chip.label or chip.name,
        usd_per_hour=chip.usd_per_hour,
        peak_flops=chip.peak() if options.cost_mode == "exact" else chip.paper_peak,
        cost_mode=options.cost_mode,
        overlap=options.overlap,
        projected_policy=project.label if project else "",
        without_oracle=None if project else without_oracle(*found, resampled, frontiers[best]),
        questions=len(study.questions),
        dropped_questions=study.dropped_questions,
        models=models,
        sizes=tuple(sizes[name] for name in models),
        cells=tuple(map(_summary, family.cells)),
        costs=frontiers[best].costs * TERA,
        model_curves=frontiers[best].frontier.curves,
        frontiers={
            flavour: frontier_result(study, found, choice, models) for flavour, found in frontiers.items()
        },
        optimism=estimates.optimism(frontiers, choice),
        threshold=estimates.threshold(frontiers[best], sizes),
        sparse=None if project else estimates.sparse_gain(study, functools.partial(resampled, flavour=best)),
        notes=family.notes,
    )


def _study(family: Family, chip: Chip, options: LawOptions, project: Policy | None) -> Study:
    cells = list(family.cells)
    if project is not None:
        dense = [cell for cell in cells if cell.policy.kv_budget is None]
        cells += [dataclasses.replace(cell, policy=project) for cell in dense]
    lengths = (*SHORT_LENGTHS, *LENGTHS)
    tera_price = _tera_price(family, chip, options)
    return build_study(cells, tera_price, trials=TRIALS, lengths=lengths, search=options.search)


def _tera_price(family: Family, chip: Chip, options: LawOptions) -> Price:
    """``price`` on this chip in tera-eFLOPs, each model deployed once for all its cells."""
    shapes, longest = family.shapes, dict[str, float]()
    for cell in family.cells:
        most = float((cell.prompt_tokens[:, None] + cell.generated_tokens).max())
        longest[cell.model] = max(most, longest.get(cell.model, 0.0))

    def tera(name: str, *request: Any) -> np.ndarray:
        model = shapes[name]
        serving: dict[str, Any] = {}
        if options.cost_mode == "exact":
            serving["tensor_parallel"] = chips_per_copy(model, chip, longest[name], Serving())
        cost = price(model, *request, chip=chip, mode=options.cost_mode, overlap=options.overlap, **serving)
        return cost.eflops / TERA

    return tera


def _summary(cell: Cell) -> CellSummary:
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
