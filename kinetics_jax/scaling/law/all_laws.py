"""From a trials table to results: every comparable family on every chip, in parallel, in words."""

import dataclasses
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from kinetics_jax._version import __version__
from kinetics_jax.chips import mixed_markets
from kinetics_jax.costs import Chip
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.law.break_even import break_even_sentences
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.paper_claims import claims, claims_answer
from kinetics_jax.scaling.law.price_moves import moves_sentence
from kinetics_jax.scaling.law.priced_run import PricedRun
from kinetics_jax.scaling.law.results import Results
from kinetics_jax.scaling.law.sensitivity import sensitivity, survival_sentence
from kinetics_jax.scaling.law.sentences import answers
from kinetics_jax.scaling.law.tasks import find_laws, law_tasks
from kinetics_jax.scaling.law.without_traces import shape_answers, shape_results
from kinetics_jax.scaling.traces.comparable import Family, comparable_families
from kinetics_jax.scaling.traces.trials import Trials

_FILLED = "{:,} of {:,} rows record no prompt length: that of their problem or data set, or {} tokens"


def find_results(
    trials: Trials | None,
    chips: Sequence[Chip],
    options: LawOptions,
    *,
    project: Policy | None = None,
    min_questions: int = 10,
    default_prompt_tokens: int = 200,
    jobs: int = 1,
    settings: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Results:
    """Everything one run finds.

    Args:
      trials: the table, or None for what needs no accuracy.
      chips: to price on; shapes and projections are for the first.
      options: how laws are found.
      project: a sparse policy to project the families of several sizes with (see ``find_law``) that were
        decoded densely only.
      min_questions: families with fewer are left out and listed.
      default_prompt_tokens: prompt length of rows that record none, nor any of their data set.
      jobs: processes; more than one needs an importable main module.
      settings: recorded with the results as they are.
      on_progress: called with (laws found, laws in all).

    Raises:
      InputError: no family is left, or a model fits no chip.
    """
    _check_chips(chips)
    for name, value, least in (
        ("min_questions", min_questions, 2),
        ("default_prompt_tokens", default_prompt_tokens, 0),
        ("jobs", jobs, 1),
    ):
        if value < least:
            raise InputError(f"{name}={value} must be at least {least}")
    if project is not None and project.kv_budget is None:
        raise InputError(f"project={project.label}: give a sparse policy, such as block_topk(16, 64)")
    families: list[Family] = []
    skipped: list[str] = []
    if trials is not None:
        unknown = int(np.isnan(trials.prompt_tokens).sum())
        filled = trials.with_prompt_tokens(default_prompt_tokens)
        families, skipped = comparable_families(filled, min_questions=min_questions)
        if not families:
            raise InputError(f"no traces are left to compare: {'; '.join(skipped) or 'no rows'}")
        if unknown:
            skipped.append(_FILLED.format(unknown, len(trials), default_prompt_tokens))
    tasks, measured = law_tasks(families, chips, options, project)
    laws, refused = find_laws(tasks, jobs, on_progress)
    if families and not laws:
        raise InputError(f"no law could be found: {'; '.join(dict.fromkeys(refused))}")
    shapes = shape_results(chips)
    priced = PricedRun(families, chips, options)
    verdicts = claims(laws, priced.attention_share(options.each[0])) if laws else ()
    survives = sensitivity(families, chips[0], options, jobs=jobs) if options.sensitivity and laws else ()
    moves = priced.moves(laws)
    pays, unknown_chips = priced.break_evens(project)
    said = list(answers(laws))
    if said and verdicts:  # the first answer also says what does not hold, so that nobody reads on without
        said[0] += f" {claims_answer(verdicts)}"
    words = (*moves_sentence(moves), *survival_sentence(survives), *break_even_sentences(pays))
    return Results(
        laws=tuple(laws),
        shapes=shapes,
        answers=(*said, *words, *shape_answers(shapes)),
        claims=verdicts,
        inputs=tuple(dataclasses.asdict(file) for file in trials.inputs) if trials else (),
        skipped=(*skipped, *measured, *dict.fromkeys(refused), *unknown_chips, *mixed_markets(chips)),
        settings=dict(settings or {}),
        versions=versions(),
        sensitivity=survives,
        price_moves=moves,
        break_even=pays,
        price_evidence=priced.evidence(laws),
    )


def versions() -> dict[str, str]:
    """Versions of what computed the results."""
    found = {"kinetics-jax": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("numpy", "scipy", "matplotlib")}


def _check_chips(chips: Sequence[Chip]) -> None:
    """Raise ``InputError`` unless there is a chip, and each but once."""
    names = [chip.name for chip in chips]
    if not chips or len(set(names)) < len(names):
        raise InputError(f"give at least one chip, each once; got {', '.join(names) or 'none'}")
