"""Frontiers for who picks the answer and for whom a configuration is chosen, side by side, for one law.

Axes: G costs of the grid.
"""

import dataclasses
from collections.abc import Callable

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.choose_and_score import Sharing
from kinetics_jax.scaling.frontier.frontiers import NOTHING
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.selection_results import SelectionResult, StoppingResult, WithoutOracle
from kinetics_jax.scaling.selection.adaptive import FEWEST, KINDS, compare_stopping
from kinetics_jax.scaling.selection.judged import ReaderPrice, judged_study, why_no_vote
from kinetics_jax.scaling.selection.verifiers import Perfect, Verifier, parse_verifiers
from kinetics_jax.scaling.traces.comparable import Family

FEWEST_TRIALS = 4
"""Of a number of samples that a rule is compared with."""
RESAMPLES = 200
"""Of the questions, for each of these frontiers."""
Resampled = Callable[..., FrontierBootstrap]
"""A partial ``bootstrap_frontier`` with the law's grid, splits and seed."""


def without_oracle(
    study: Study,
    family: Family,
    options: LawOptions,
    readers: ReaderPrice,
    resampled: Resampled,
    best: FrontierBootstrap,
) -> WithoutOracle:
    """The law's own frontier, every verifier of the options with one configuration for all, stopping rules.

    Only the first chooses a configuration per question: that takes graded samples of that very question.

    Args:
        study: of the family's cells.
        family: its cells, which know answers.
        options: verifiers, rule of choosing, resamples.
        readers: what a reader of samples asks for, counted as the study.
        resampled: the law's own bootstrap; its choice, flavour and resamples are replaced.
        best: the law's own frontier, which assumes a perfect verifier.
    """
    found: list[SelectionResult] = []
    left_out: list[str] = []
    if study.samples >= 2:
        found.append(_selection(best, Perfect(), "question"))
    else:
        left_out.append("no configuration per question: some question has one sample only")
    enough = len(study.questions) >= FEWEST
    if not enough:
        left_out.append(f"no one configuration for all, and no stopping rule: fewer than {FEWEST} questions")
    for verifier in parse_verifiers(options.verifiers) if enough else ():
        try:
            judged = judged_study(study, family.cells, verifier, readers)
        except InputError as error:
            left_out.append(str(error))
            continue
        resamples = min(options.bootstrap, RESAMPLES)
        boot = resampled(judged, choice="shared", flavour=options.flavours[-1], resamples=resamples)
        found.append(_selection(boot, verifier, "shared"))
    stopping = _stopping(study, family, options, left_out) if enough else []
    return WithoutOracle(selections=tuple(found), stopping=tuple(stopping), left_out=tuple(left_out))


def _selection(boot: FrontierBootstrap, verifier: Verifier, choice: Sharing) -> SelectionResult:
    ends = boot.accuracy_interval()
    frontier = boot.frontier
    reached = frontier.accuracy > NOTHING * frontier.accuracy.max()
    return SelectionResult(
        verifier=verifier.label,
        choice=choice,
        flavour=frontier.flavour,
        accuracy=frontier.accuracy,
        low=ends.low,
        high=ends.high,
        model=tuple(str(name) if ok else "" for name, ok in zip(frontier.model, reached, strict=True)),
        trials=frontier.optima["trials"],
        length=frontier.optima["length"],
    )


def _stopping(study: Study, family: Family, options: LawOptions, left_out: list[str]) -> list[StoppingResult]:
    """Each cell's largest N against rules that draw at most so many; not of cells that solve nothing.

    ``left_out`` grows by what cannot be compared.
    """
    found = []
    for cell, priced in zip(family.cells, study.cells, strict=True):
        at = {setting.trials: c for c, setting in enumerate(priced.settings) if setting.length is None}
        trials = max(at, default=1)
        if trials < FEWEST_TRIALS or not cell.correct.any():
            continue
        alone, together = priced.cost_qcs[:, at[1]], priced.cost_qcs[:, at[trials]]
        for kind in KINDS:
            if kind == "majority" and why_no_vote([cell]):
                continue  # said once, where frontiers are made
            try:
                rule = compare_stopping(cell, alone, together, trials, kind, seed=options.seed)
            except InputError as error:  # no vote may be right where samples are
                left_out.append(f"no stopping rule: {error}")
                continue
            fields = dataclasses.asdict(rule) | {
                name: getattr(rule, name) * options.counted.inside for name in ("fixed_cost", "cost")
            }
            found.append(
                StoppingResult(model=cell.model, policy=cell.policy.label, rule=kind, trials=trials, **fields)
            )
    return found
