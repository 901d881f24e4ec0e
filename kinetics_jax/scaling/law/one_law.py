"""The law of one family of traces on one chip: frontiers, optima, fits, threshold, with intervals.

Axes: G costs of the grid (tera-eFLOPs by default, so that fits read like the paper's) · M models.
"""

import functools
from typing import Any

from kinetics_jax.costs import Chip
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.frontier.bootstrap import bootstrap_frontier
from kinetics_jax.scaling.frontier.choose_and_score import Sharing
from kinetics_jax.scaling.frontier.frontiers import cost_grid
from kinetics_jax.scaling.law import estimates
from kinetics_jax.scaling.law.deployments import Deployed, cost_under, deploy
from kinetics_jax.scaling.law.evidence import evidence
from kinetics_jax.scaling.law.frontier_results import frontier_result
from kinetics_jax.scaling.law.measures import WAITING
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.price_evidence import law_evidence
from kinetics_jax.scaling.law.priced_study import cell_summary, peak_of, priced_study, reader_price
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.without_oracle import without_oracle
from kinetics_jax.scaling.prediction import leave_out
from kinetics_jax.scaling.traces.comparable import Family


def find_law(
    family: Family,
    chip: Chip,
    options: LawOptions,
    *,
    project: Policy | None = None,
    where: Deployed | None = None,
) -> Law:
    """The law of a family on a chip.

    Args:
      family: comparable cells.
      chip: what the traces are priced on.
      options: how.
      where: how the models are deployed; None: as ``options`` say.
      project: a sparse policy to price every dense cell with *besides* its own, under the assumption
        that it changes no answer. The result is a projection and is labelled as one.

    Raises:
      InputError: a model that does not fit the chip, or too few questions for a bootstrap.
    """
    where = deploy(family, chip, options, project) if where is None else where
    study = priced_study(family, chip, options, where, project)
    choice: Sharing = "question" if study.samples >= 2 else "shared"
    given: dict[str, Any] = {"resamples": options.bootstrap, "splits": options.splits, "seed": options.seed}
    costs = cost_grid(study, options.grid_points)
    resampled: Any = functools.partial(bootstrap_frontier, costs=costs, choice=choice, **given)
    frontiers = {flavour: resampled(study, flavour=flavour) for flavour in options.flavours}
    best, waits = options.flavours[-1], options.counted.name == "latency"
    sizes = {name: float(family.shapes[name].total_params) for name in study.models}
    models = tuple(sorted(study.models, key=lambda name: (sizes[name], name)))
    return Law(
        dataset=family.dataset,
        source=family.source,
        chip=chip.name,
        chip_label=chip.label or chip.name,
        usd_per_hour=chip.usd_per_hour,
        price_basis=chip.price_basis,
        price_date=chip.price_date,
        peak_flops=peak_of(chip, options),
        cost_mode=options.cost_mode,
        overlap=options.overlap,
        measure=options.counted.name,
        prices=options.prices,
        price_evidence=law_evidence(family.cells, cost_under(family, chip, options, where), project),
        projected_policy=project.label if project else "",
        without_oracle=None
        if project or waits
        else without_oracle(
            study, family, options, reader_price(family, chip, options, where), resampled, frontiers[best]
        ),
        questions=len(study.questions),
        dropped_questions=study.dropped_questions,
        models=models,
        sizes=tuple(sizes[name] for name in models),
        cells=tuple(map(cell_summary, family.cells)),
        costs=frontiers[best].costs * options.counted.inside,
        model_curves=frontiers[best].frontier.curves,
        frontiers={
            flavour: frontier_result(study, found, choice, models, options.counted.inside)
            for flavour, found in frontiers.items()
        },
        optimism=estimates.optimism(frontiers, choice),
        threshold=estimates.threshold(frontiers[best], sizes),
        sparse=None if project else estimates.sparse_gain(study, functools.partial(resampled, flavour=best)),
        **({} if project else evidence(study, sizes, frontiers, resampled, options)),
        left_out=() if project else leave_out(family.cells),
        notes=(*family.notes, *where.notes, *([WAITING] if waits else [])),
        warnings=family.warnings,
        not_comparable=family.not_comparable,
        deployments=where.found,
    )
