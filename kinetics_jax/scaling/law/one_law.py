"""The law of one family of traces on one chip: frontiers, optima, fits, threshold, with intervals.

Axes: G costs of the grid (tera-eFLOPs here, so that fits read like the paper's) · M models.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np

from kinetics_jax.checks import MAX_SEED, python_number, shown
from kinetics_jax.costs import MODES, OVERLAPS, Chip, Cost, Serving, chips_per_copy, price
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap, Interval, bootstrap_frontier, interval
from kinetics_jax.scaling.frontier.choose_and_score import Flavour, Sharing
from kinetics_jax.scaling.frontier.frontiers import (
    NOTHING,
    StudyFrontier,
    cost_grid,
    held_out_frontier,
    study_frontier,
)
from kinetics_jax.scaling.frontier.gaps_and_thresholds import segments
from kinetics_jax.scaling.frontier.sparse_gain import compare
from kinetics_jax.scaling.frontier.study import LENGTHS, TRIALS, Search, Study, build_study
from kinetics_jax.scaling.law.results import Band, CellSummary, Estimate, FrontierResult, Law, SparseGain
from kinetics_jax.scaling.statistics.fits import fit_exponentiated_power_law
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.shapes import ModelConfig

TERA = 1e12
SHORT_LENGTHS = (128, 256, 512, 1024)
"""Cuts below the paper's 2,048, for data sets whose answers are short."""
FITTED = ("tokens", "trials", "length", "kv_budget")


_MOST_RESAMPLES = 1_000_000
"""More say nothing more, and fill the memory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LawOptions:
    """How laws are found. Every field is an option of the main job."""

    cost_mode: str = "exact"
    overlap: str = "sum"
    frontier: str = "both"
    """``paper``, ``held_out`` or ``both``."""
    bootstrap: int = 1000
    """Resamples of the questions."""
    splits: int = 5
    """Random halves of the held-out rule."""
    grid_points: int = 100
    search: Search = "both"
    """Configurations searched; see ``build_study``."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frontier not in ("paper", "held_out", "both"):
            raise InputError(f"frontier={self.frontier!r} must be paper, held_out or both")
        for field, words in (("cost_mode", MODES), ("overlap", OVERLAPS), ("search", get_args(Search))):
            if getattr(self, field) not in words:
                raise InputError(f"{field}={getattr(self, field)!r} must be one of {', '.join(words)}")
        for field, least in (("bootstrap", 1), ("splits", 1), ("grid_points", 2), ("seed", 0)):
            value = python_number(getattr(self, field))
            if not isinstance(value, int) or not least <= value <= MAX_SEED:
                given = shown(getattr(self, field))
                raise InputError(f"{field}={given} must be at least {least}, and a whole number")
            object.__setattr__(self, field, value)
        if self.bootstrap > _MOST_RESAMPLES:
            raise InputError(f"bootstrap={self.bootstrap} must be at most {_MOST_RESAMPLES}")

    @property
    def flavours(self) -> tuple[Flavour, ...]:
        """The rules of choosing that are asked for."""
        both: tuple[Flavour, ...] = ("paper", "held_out")
        return tuple(flavour for flavour in both if self.frontier in (flavour, "both"))


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
    grid = cost_grid(study, options.grid_points)
    frontiers: dict[str, FrontierBootstrap] = {}
    found: dict[str, StudyFrontier] = {}
    for flavour in options.flavours:
        if flavour == "paper":
            found[flavour] = study_frontier(study, grid, choice=choice)
        else:
            found[flavour] = held_out_frontier(
                study, grid, choice=choice, splits=options.splits, seed=options.seed
            )
        frontiers[flavour] = bootstrap_frontier(
            study,
            grid,
            flavour=flavour,
            choice=choice,
            resamples=options.bootstrap,
            splits=options.splits,
            seed=options.seed,
        )
    best = options.flavours[-1]
    sizes = {name: float(family.shapes[name].total_params) for name in study.models}
    models = tuple(sorted(study.models, key=lambda name: (sizes[name], name)))
    return Law(
        dataset=family.dataset,
        source=family.source,
        chip=chip.name,
        chip_label=chip.label or chip.name,
        usd_per_hour=chip.usd_per_hour,
        peak_flops=_peak(chip, options),
        cost_mode=options.cost_mode,
        overlap=options.overlap,
        projected_policy=project.label if project else "",
        questions=len(study.questions),
        dropped_questions=study.dropped_questions,
        models=models,
        sizes=tuple(sizes[name] for name in models),
        cells=tuple(_summary(cell) for cell in family.cells),
        costs=grid * TERA,
        model_curves=dict(found[best].curves),
        frontiers={
            flavour: _result(
                flavour, choice, models, found[flavour], frontiers[flavour], _on_offer(study, flavour, choice)
            )
            for flavour in options.flavours
        },
        optimism=_optimism(frontiers, choice),
        threshold=_threshold(frontiers[best], sizes),
        sparse=None if project else _sparse(study, grid, options, choice),
        notes=family.notes,
    )


def _study(family: Family, chip: Chip, options: LawOptions, project: Policy | None) -> Study:
    cells = list(family.cells)
    if project is not None:
        dense = [cell for cell in cells if cell.policy.kv_budget is None]
        cells += [dataclasses.replace(cell, policy=project) for cell in dense]
    return build_study(
        cells,
        _pricer(family, chip, options),
        measure="tera_eflops",
        trials=TRIALS,
        lengths=(*SHORT_LENGTHS, *LENGTHS),
        search=options.search,
        resolve=family.shapes.__getitem__,
    )


def _pricer(family: Family, chip: Chip, options: LawOptions) -> Callable[..., Any]:
    """``price`` on this chip in tera-eFLOPs, each model deployed once for all its cells."""
    longest: dict[str, float] = {}
    for cell in family.cells:
        most = float((cell.prompt_tokens[:, None] + cell.generated_tokens).max())
        name = family.shapes[cell.model].name
        longest[name] = max(most, longest.get(name, 0.0))

    def tera(model: ModelConfig, *ask: Any) -> SimpleNamespace:
        serving: dict[str, Any] = {}
        if options.cost_mode == "exact":
            serving["tensor_parallel"] = chips_per_copy(model, chip, longest[model.name], Serving())
        cost: Cost = price(model, *ask, chip=chip, mode=options.cost_mode, overlap=options.overlap, **serving)
        return SimpleNamespace(tera_eflops=cost.eflops / TERA)

    return tera


def _peak(chip: Chip, options: LawOptions) -> float:
    return chip.peak() if options.cost_mode == "exact" else chip.paper_peak


def _summary(cell: Any) -> CellSummary:
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


def _result(
    flavour: str,
    choice: str,
    models: tuple[str, ...],
    frontier: StudyFrontier,
    boot: FrontierBootstrap,
    on_offer: Mapping[str, int],
) -> FrontierResult:
    accuracy = boot.accuracy_interval()
    order = [boot.models.index(name) for name in models]
    share = boot.model_share()[:, order]
    reached = frontier.accuracy > NOTHING * frontier.accuracy.max()
    names = tuple(str(name) if fits else "" for name, fits in zip(frontier.model, reached, strict=True))
    fits, curves = _fits(boot, on_offer)
    optima = frontier.optima
    return FrontierResult(
        flavour=flavour,
        choice=choice,
        accuracy=frontier.accuracy,
        low=accuracy.low,
        high=accuracy.high,
        model=names,
        model_share=share,
        bands=_bands(frontier, share, models, reached),
        **{name: optima[name] for name in (*FITTED, "dense_share")},
        fits=fits,
        curves=curves,
    )


def _bands(
    frontier: StudyFrontier, share: np.ndarray, models: tuple[str, ...], reached: np.ndarray
) -> tuple[Band, ...]:
    """Who holds which stretch of cost; a stretch ends where the next begins."""
    found = []
    for part in segments(frontier):
        inside = (frontier.costs >= part.start_cost) & (frontier.costs <= part.end_cost) & reached
        if inside.any():
            found.append((part, np.flatnonzero(inside)))
    if not found:  # nothing was ever solved
        return ()
    starts = [float(frontier.costs[index[0]]) for _, index in found]
    ends = [*starts[1:], float(frontier.costs[-1])]
    return tuple(
        Band(
            model=part.model,
            start=start * TERA,
            end=end * TERA,
            start_accuracy=float(frontier.accuracy[index[0]]),
            end_accuracy=part.end_accuracy,
            support=float(share[index, models.index(part.model)].mean()),
        )
        for (part, index), start, end in zip(found, starts, ends, strict=True)
    )


def _on_offer(study: Study, flavour: Flavour, choice: Sharing) -> dict[str, int]:
    """How many values of a quantity a choice is between; two make no law, however their mix shifts."""
    if flavour == "held_out" and choice == "question":  # half of the samples score, so N goes half as far
        study = study.for_halves()
    kept = {"trials": study.trials, "length": study.length, "kv_budget": study.kv_budget}
    return {name: np.unique(values[np.isfinite(values)]).size for name, values in kept.items()}


def _fits(
    boot: FrontierBootstrap, on_offer: Mapping[str, int]
) -> tuple[Mapping[str, Estimate], Mapping[str, tuple[float, float, float]]]:
    """Power laws of the optima against cost, and the law of failure; those that can be fitted."""
    fits: dict[str, Estimate] = {}
    curves = {}
    for quantity in FITTED:
        values = boot.optima[quantity][0]
        if np.unique(values[np.isfinite(values)]).size < 3 or on_offer.get(quantity, 3) < 3:
            continue  # a constant has no exponent
        try:
            fit = boot.fit(quantity)
        except InputError:
            continue  # the points determine no law; nothing is reported for it
        note = fit.law.note
        if fit.extrapolation is not None:
            fits[f"{quantity}.miss"] = Estimate(
                value=fit.extrapolation.relative_rms,
                unit="relative root mean square error",
                note="of the law fitted on the cheaper 60 % of the costs, on the dearer 40 %",
            )
        fits[f"{quantity}.b"] = _estimate(fit.law.b, "exponent of cost", fit.b, note)
        fits[f"{quantity}.per_doubling"] = _estimate(
            fit.law.per_doubling, "× per doubling of cost", fit.per_doubling, note
        )
        curves[quantity] = (fit.law.a, fit.law.b, fit.law.c)
    failure = _failure(boot)
    if failure is not None:
        fits["failure.b"] = failure
    return fits, curves


def _estimate(value: float, unit: str, span: Interval, note: str) -> Estimate:
    if not span.low <= value <= span.high:
        odd = "the estimate lies outside its interval: these questions determine it badly"
        note = f"{note}; {odd}" if note else odd
    return Estimate(value=value, unit=unit, low=span.low, high=span.high, level=span.level, note=note)


def _failure(boot: FrontierBootstrap, rows: int = 200) -> Estimate | None:
    """Exponent of accuracy = exp(−a·C^−b), on the questions as they are and on resamples."""

    def exponent(accuracy: np.ndarray) -> float:
        inside = (accuracy > 0) & (accuracy < 1)
        try:
            return fit_exponentiated_power_law(boot.costs[inside], accuracy[inside]).b
        except InputError:
            return math.nan

    value = exponent(boot.accuracy[0])
    if math.isnan(value):
        return None
    others = np.array([exponent(row) for row in boot.accuracy[1 : 1 + rows]])
    if np.isnan(others).all():
        return None
    note = f"interval from {int(np.isfinite(others).sum())} resamples"
    return _estimate(value, "exponent b of accuracy = exp(−a·cost^−b)", interval(others), note)


def _optimism(frontiers: Mapping[str, FrontierBootstrap], choice: Sharing) -> Estimate | None:
    """Mean over the grid of what choosing on the scored samples adds, in points of accuracy.

    No interval where one configuration serves all questions: a resample weighs questions unevenly,
    which the one choice overfits, so resamples flatter more than the questions as they are.
    """
    if len(frontiers) < 2:
        return None
    gain = 100 * (frontiers["paper"].accuracy - frontiers["held_out"].accuracy)
    mean, unit = gain.mean(axis=1), "points of accuracy"
    note = f"mean over the grid; at most {gain[0].max():.1f} points"
    if choice == "shared":
        return Estimate(value=float(mean[0]), unit=unit, note=f"{note}; no interval (shared choice)")
    return _estimate(float(mean[0]), unit, interval(mean[1:]), note)


def _sparse(study: Study, grid: np.ndarray, options: LawOptions, choice: Sharing) -> SparseGain | None:
    """Sparse against dense under the last of the rules that are asked for."""
    flavour = options.flavours[-1]
    found = compare(
        study,
        grid,
        flavour=flavour,
        choice=choice,
        resamples=options.bootstrap,
        splits=options.splits,
        seed=options.seed,
    )
    if found is None:
        return None
    gain = _estimate(
        float(found.gain[0]),
        "points of accuracy",
        interval(found.gain[1:]),
        "sparse less dense, mean over the costs at which either solves something",
    )
    cheaper = _estimate(
        float(found.cheaper[0]),
        "× less cost",
        interval(found.cheaper[1:]),
        "for 95 % of the best that dense solves; 0: sparse never does",
    )
    return SparseGain(
        flavour=flavour, dense=found.dense[0], sparse=found.sparse[0], gain=gain, cheaper=cheaper
    )


def _threshold(boot: FrontierBootstrap, sizes: Mapping[str, float]) -> Estimate | None:
    if len(set(sizes.values())) < 2:
        return None
    found = boot.threshold(sizes)
    return _estimate(
        found.params,
        "parameters",
        found.interval,
        f"{found.model}, named by {found.share[found.model]:.0%} of resamples",
    )
