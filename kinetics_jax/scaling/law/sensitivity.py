"""Which sentences of a law survive other deployments of its models, and where each first says something else.

A law is found anew for each deployment from the same traces and resamples, so that only prices differ.
Chips of a copy and batch are tried together; dtypes, prefix sharing and overlap one at a time.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kinetics_jax.costs import Chip
from kinetics_jax.errors import InputError
from kinetics_jax.processes.sharing import map_in_processes
from kinetics_jax.scaling.law.choices import main_bands
from kinetics_jax.scaling.law.deployments import (
    Deployed,
    chip_counts_of,
    cost_under,
    deploy,
    deploy_by,
    nearest_deployment,
)
from kinetics_jax.scaling.law.one_law import find_law
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.paper_claims import SHARES_OF, attention_share, claims
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.sensitivity_results import Sensitivity, Survival
from kinetics_jax.scaling.traces.comparable import Family

RESAMPLES = 20
"""Of the questions for each deployment: enough to see a verdict turn, few enough for dozens of laws."""
BATCHES = (
    (1.0, "the batch that fits"),
    (0.5, "half that batch"),
    (0.25, "a quarter of it"),
    (0.0, "batch 1"),
)
"""Shares of the batch that fits; 0 is a batch of one."""
MOST_COUNTS = 5
"""Numbers of chips a copy that are tried: with more, the fewest, the most and some between."""
SIMILAR = 1.5
"""A saving within this factor of the law's own counts as the same saving."""


class Said(NamedTuple):
    """What a law says of one thing."""

    text: str
    key: str | float
    """What must stay for it to be said still; a number, within a factor of ``SIMILAR``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One deployment to try."""

    label: str
    options: LawOptions
    num_chips: int | None = None
    """Chips a copy, or the nearest on which a model fits; None: as ``options`` choose."""


@dataclasses.dataclass(frozen=True)
class _Task:
    family: Family
    chip: Chip
    variant: Variant


def sensitivity(
    families: Sequence[Family],
    chip: Chip,
    options: LawOptions,
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Sensitivity, ...]:
    """What survives, family by family, on one chip.

    Args:
      families: comparable cells.
      chip: what they are priced on.
      options: the law's own; its deployment is the one that the others are held against.
      jobs: processes.
      on_progress: called with (laws found, laws in all).

    Raises ``InputError`` for a cost mode without deployments.
    """
    if options.cost_mode != "exact":
        raise InputError(
            f"sensitivity needs cost_mode=exact, not {options.cost_mode}: its prices have no deployment"
        )
    few = dataclasses.replace(options, bootstrap=min(options.bootstrap, RESAMPLES), sensitivity=False)
    tried = [[Variant(label="", options=few), *variants(family, chip, few)] for family in families]
    tasks = [
        _Task(family, chip, variant) for family, mine in zip(families, tried, strict=True) for variant in mine
    ]
    several = min(jobs, len(tasks)) > 1
    found = map_in_processes(_statements, tasks, jobs) if several else (_statements(task) for task in tasks)
    said = []
    with contextlib.closing(found):
        for done, one in enumerate(found, 1):
            on_progress(done, len(tasks))
            said.append(one)
    results, at = [], 0
    for family, mine in zip(families, tried, strict=True):
        own, others = said[at], said[at + 1 : at + len(mine)]
        at += len(mine)
        if not isinstance(own, str):  # a family without a law has none to hold against others
            results.append(_compared(family, chip, few, own, mine[1:], others))
    return tuple(results)


def variants(family: Family, chip: Chip, options: LawOptions) -> list[Variant]:
    """What is tried besides the law's own deployment, the nearest to it first."""
    overlaps = ("max", "roofline") if options.prices == "data_sheet" else ()  # kernels as measured just run
    one_change: list[tuple[str, dict[str, object]]] = [
        *((f"overlap={name}", dict[str, object](overlap=name)) for name in overlaps),
        ("prefixes not shared", {"share_prefix": False}),
        ("int8 weights", {"weight_dtype": "int8"}),
        ("int8 KV", {"kv_dtype": "int8"}),
        ("int8 weights and KV", {"weight_dtype": "int8", "kv_dtype": "int8"}),
        ("the fewest chips", {"deployment": "fewest_chips", "tensor_parallel": None, "batch": None}),
    ]
    if "fp8" in chip.flops:
        fp8 = dict.fromkeys(("weight_dtype", "kv_dtype", "compute_dtype"), "fp8")
        one_change.append(("fp8 weights, KV and compute", {**fp8}))
    found = []
    for label, fields in one_change:
        changed = dataclasses.replace(options, **fields)  # type: ignore[arg-type]
        if changed != options:
            found.append(Variant(label=label, options=changed))
    counts = _spread(chip_counts_of(family, chip, _open(options)))
    for share, words in BATCHES:
        for count in reversed(counts):
            batch = {"occupancy": share} if share else {"batch": 1}
            changed = dataclasses.replace(_open(options), **batch)
            label = f"{count} {'chip' if count == 1 else 'chips'} a copy, {words}"
            found.append(Variant(label=label, options=changed, num_chips=count))
    return found


def _open(options: LawOptions) -> LawOptions:
    """``options`` with chips of a copy and batch to be chosen."""
    return dataclasses.replace(
        options, deployment="cheapest", tensor_parallel=None, batch=None, occupancy=None
    )


def _spread(counts: Sequence[int]) -> list[int]:
    if len(counts) <= MOST_COUNTS:
        return list(counts)
    at = [round(i * (len(counts) - 1) / (MOST_COUNTS - 1)) for i in range(MOST_COUNTS)]
    return [counts[i] for i in dict.fromkeys(at)]


def _deployed(task: _Task) -> Deployed:
    variant = task.variant
    if variant.num_chips is None:
        return deploy(task.family, task.chip, variant.options)
    choose = nearest_deployment(task.chip, variant.options, variant.num_chips)
    return deploy_by(task.family, task.chip, variant.options, choose)


def _statements(task: _Task) -> dict[str, Said] | str:
    """What the law says under a deployment, by statement; or why there is none."""
    family, chip, options = task.family, task.chip, task.variant.options
    try:
        where = _deployed(task)
        law = find_law(family, chip, options, where=where)
    except InputError as error:
        return str(error)
    share = attention_share([(family, cost_under(family, chip, options, where))], SHARES_OF[options.prices])
    verdicts = [claim for claim in claims([law], share) if claim.verdict != "untested"]
    return statements(law) | {claim.short: Said(claim.verdict, claim.verdict) for claim in verdicts}


def statements(law: Law) -> dict[str, Said]:
    """The sentences of a law that a deployment may change, in a few words each."""
    said = {}
    if len(law.models) > 1:
        bands = main_bands(law.best_frontier.bands)
        order = " → ".join(band.model for band in bands) or "nothing is solved"
        last = bands[-1].model if bands else order
        said["models from cheap to dear"] = Said(order, order)
        said["best model at the dear end"] = Said(last, last)
    if law.sparse is not None:
        gain, cheaper = law.sparse.gain.value, law.sparse.cheaper.value
        said["sparse against dense at equal cost"] = Said(
            f"{gain:+.1f} points", "gains" if gain > 0 else "loses"
        )
        less = f"{cheaper:.1f}× less" if cheaper else "never reaches it"
        said["cost of 95 % of what dense solves, sparse"] = Said(less, float(cheaper))
    return said


NOTHING = Said("no longer said", "")
"""Where a law has no such sentence."""


def same(one: Said, other: Said) -> bool:
    """Whether two say the same."""
    if isinstance(one.key, str) or isinstance(other.key, str):
        return one.key == other.key
    low, high = sorted((one.key, other.key))
    return low == high or high <= SIMILAR * low


def _compared(
    family: Family,
    chip: Chip,
    options: LawOptions,
    own: Mapping[str, Said],
    tried: Sequence[Variant],
    said: Sequence[Mapping[str, Said] | str],
) -> Sensitivity:
    priced = [
        (variant.label, one) for variant, one in zip(tried, said, strict=True) if not isinstance(one, str)
    ]
    rows = []
    for statement, mine in own.items():
        others = [(label, one.get(statement, NOTHING)) for label, one in priced]
        flips = [(label, other) for label, other in others if not same(mine, other)]
        first = flips[0] if flips else ("", Said("", ""))
        rows.append(
            Survival(
                statement=statement,
                said=mine.text,
                survives=len(others) - len(flips),
                tried=len(others),
                flips_at=first[0],
                becomes=first[1].text,
                flips=tuple(label for label, _ in flips),
            )
        )
    return Sensitivity(
        dataset=family.dataset,
        source=family.source,
        chip=chip.name,
        resamples=options.bootstrap,
        deployments=tuple(label for label, _ in priced),
        refused=tuple(
            f"{variant.label}: {one}"
            for variant, one in zip(tried, said, strict=True)
            if isinstance(one, str)
        ),
        rows=tuple(rows),
        sentences=_in_words(rows),
    )


def survival_sentence(found: Sequence[Sensitivity]) -> tuple[str, ...]:
    """How many sentences of all laws survive everything that was tried; none where nothing was."""
    rows = [row for one in found for row in one.rows]
    if not rows:
        return ()
    whole = sum(row.survives == row.tried for row in rows)
    tried = sorted({len(one.deployments) for one in found})
    span = f"{tried[0]}" if len(tried) == 1 else f"{tried[0]} to {tried[-1]}"
    return (
        f"{whole} of {len(rows)} sentences of these laws survive all {span} other deployments that were "
        f"tried on {found[0].chip} (modelled).",
    )


def _in_words(rows: Sequence[Survival]) -> tuple[str, ...]:
    """Each sentence that does not survive all, and where it first flips."""
    return tuple(
        f"{row.statement}, “{row.said}”: survives {row.survives} of {row.tried} deployments; flips first at "
        f"{row.flips_at}, to “{row.becomes}”"
        for row in rows
        if row.survives < row.tried
    )
