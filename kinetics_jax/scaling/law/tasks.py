"""The laws that a run finds: every family on every chip under every kind of prices, in parallel."""

import contextlib
from collections.abc import Callable, Sequence

from kinetics_jax.costs import Chip
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.processes.sharing import map_in_processes
from kinetics_jax.scaling.law.measures import NAMES
from kinetics_jax.scaling.law.one_law import find_law
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.traces.comparable import Family

Task = tuple[Family, Chip, LawOptions, Policy | None]


def law_tasks(
    families: Sequence[Family], chips: Sequence[Chip], options: LawOptions, project: Policy | None
) -> tuple[list[Task], list[str]]:
    """The laws to find, and what is not projected because it was measured.

    Of both kinds of prices, a chip's laws stand together, data sheet first.
    """
    tasks: list[Task] = []
    measured = []
    for family in families:
        tasks += [(family, chip, one, None) for chip in chips for one in options.each]
        if project is None or family.num_sizes < 2:
            continue
        if any(cell.policy.kv_budget is not None for cell in family.cells):
            name = f"{family.dataset} ({family.source})"
            measured.append(f"{name} is not projected: it was decoded sparsely, which is measured")
        else:
            tasks += [(family, chips[0], one, project) for one in options.each]
    return tasks, measured


def find_laws(
    tasks: Sequence[Task], jobs: int, on_progress: Callable[[int, int], None]
) -> tuple[list[Law], list[str]]:
    """Laws in the order of the tasks, and why any task has none."""
    laws, refused = [], []
    several = min(jobs, len(tasks)) > 1
    found = map_in_processes(_find, tasks, jobs) if several else (_find(task) for task in tasks)
    with contextlib.closing(found):
        for done, (task, law) in enumerate(zip(tasks, found, strict=True), 1):
            on_progress(done, len(tasks))
            if isinstance(law, Law):
                laws.append(law)
            else:
                refused.append(_refusal(task, law))
    return laws, refused


def _refusal(task: Task, why: str) -> str:
    family, chip, options, _ = task
    by = "" if options.prices == "data_sheet" else f", {NAMES[options.prices]}"
    return f"{family.dataset} ({family.source}) on {chip.name}{by}: {why}"


def _find(task: Task) -> Law | str:
    """The law of a task, or the reason why there is none (too few questions, does not fit …)."""
    family, chip, options, project = task
    try:
        return find_law(family, chip, options, project=project)
    except InputError as error:
        return str(error)
