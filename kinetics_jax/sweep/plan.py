"""Before anything is decoded: what each cell asks, whether it fits its chips, and what it will take.

*Modelled*, not measured: seconds and dollars are those of ``kinetics_jax.costs``. Tokens are a guess until
samples are there: the expected ones and, as an upper bound, every sample as long as its cap.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kinetics_jax.costs import Chip, Cost, PriceEvidence, Requests, price_evidence
from kinetics_jax.costs.deployment import cost_of
from kinetics_jax.costs.how_far_off import merged
from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.shapes.mesh import check_mesh
from kinetics_jax.sweep.engine_contexts import rounded_up, shared_contexts
from kinetics_jax.sweep.experiment import Cell, Experiment, Slice, TaskChoice
from kinetics_jax.sweep.model_sources import shape
from kinetics_jax.sweep.planned_deployment import (
    MOST_SLOTS,
    chips_of_copy,
    plan_mode,
    planned_serving,
    policy_as_run,
    sequences_held,
    unpriced,
)
from kinetics_jax.tasks import Task

CHARACTERS_PER_TOKEN = 3.5
"""Of a prompt in English with mathematics; only plans use it."""
TEMPLATE_TOKENS = 20
_KNOWN = {
    "aime24": (30, 190, 30_768),
    "aime25": (30, 190, 30_768),
    "amc23": (40, 160, 30_768),
    "math500": (500, 150, 30_768),
    "gsm8k": (1319, 150, 4096),
    "livecodebench_v5": (167, 600, 30_500),
}
"""Problems, mean prompt tokens and cap of benchmarks, for plans made where their files are not."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """What a task asks, known or assumed."""

    prompts: tuple[int, ...]
    """Tokens of each prompt."""
    cap: int
    assumed: str = ""
    """Why the problems themselves were not looked at; empty where they were."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellPlan:
    """One cell on the chips that it is planned for."""

    cell: Cell
    load: Load
    chip: str
    chips: int
    """Of the whole slice."""
    context: int
    """``max_context`` of the engine that decodes it, which other tasks may share."""
    slots: int
    """Of that engine, in each share of the mesh axes that sequences are split over."""
    batch: int
    """Sequences decoded together in one copy of the model: of its slots, those that there are samples for."""
    samples: int
    expected_tokens: int
    """Of all samples together."""
    expected_hours: float
    """Chip-hours."""
    most_hours: float
    """Chip-hours if every sample is as long as its cap."""
    expected_dollars: float | None
    """None where the chip has no public price."""
    most_dollars: float | None
    evidence: PriceEvidence
    """How far such prices were off wherever they were compared."""

    @property
    def wall_hours(self) -> float:
        """Expected hours with all of the slice's chips at work."""
        return self.expected_hours / self.chips


def make_plan(experiment: Experiment, tasks: Mapping[str, Task | str]) -> list[CellPlan]:
    """A plan for every cell.

    Args:
      experiment: what is to be done.
      tasks: by name, the task, or the reason why its problems are not here.

    Raises ``InputError`` for the first cell that cannot be: no shape is known, a report that cannot price
    the model, a policy that is not for it, or weights and cache that do not fit the chips.
    """
    loads = {choice.name: _load(experiment, choice, tasks[choice.name]) for choice in experiment.tasks}
    return [
        _plan_cell(
            experiment, cell, loads, experiment.priced_chip(cell.model.slice.chip or experiment.chips[0])
        )
        for cell in experiment.cells
    ]


def _load(experiment: Experiment, choice: TaskChoice, task: Task | str) -> Load:
    if isinstance(task, Task):
        prompts = tuple(_prompt_tokens(problem, experiment.system_prompt) for problem in task.problems)
        return Load(prompts=prompts, cap=experiment.cap(task))
    if choice.name not in _KNOWN:
        raise InputError(task)
    count, tokens, cap = _KNOWN[choice.name]
    count = min(count, choice.limit or count)
    return Load(prompts=(tokens,) * count, cap=experiment.max_tokens or cap, assumed=task)


def _prompt_tokens(problem: Problem, system: str) -> int:
    if isinstance(problem.prompt, tuple) and not problem.has_turns and not system:
        return len(problem.prompt)
    letters = sum(len(str(turn["content"])) for turn in problem.turns(system))
    return TEMPLATE_TOKENS + round(letters / CHARACTERS_PER_TOKEN)


def _plan_cell(experiment: Experiment, cell: Cell, loads: Mapping[str, Load], chip: Chip) -> CellPlan:
    choice, config, load = cell.model, shape(cell.model), loads[cell.task]
    policy = policy_as_run(experiment, cell.policy)
    policy.check_layers(config.num_layers)
    check_mesh(config, model=choice.slice.model, expert=choice.slice.expert)
    context = _context(experiment, cell, config, loads)
    serving = planned_serving(experiment)
    samples = len(load.prompts) * choice.trials
    mean = min(experiment.expected_tokens or -(-load.cap // 2), load.cap)
    ways, slots = _slots(experiment, cell, config, chip, context, (load, mean))
    batch = min(slots * choice.slice.expert, -(-samples // choice.slice.data))
    serving = dataclasses.replace(serving, tensor_parallel=ways, batch=batch)

    def cost(tokens: int) -> Cost:
        asked = Requests(policy, np.array(load.prompts), tokens, choice.trials)
        return cost_of(config, asked, chip, serving, experiment.law.overlap, plan_mode(experiment))

    expected, most = cost(mean), cost(load.cap)
    return CellPlan(
        cell=cell,
        load=load,
        chip=chip.name,
        chips=ways * choice.slice.data,
        context=context,
        slots=slots,
        batch=batch,
        samples=samples,
        expected_tokens=samples * mean,
        expected_hours=_hours(expected),
        most_hours=_hours(most),
        expected_dollars=_dollars(expected),
        most_dollars=_dollars(most),
        evidence=price_evidence([most]),
    )


def _context(experiment: Experiment, cell: Cell, config: ModelConfig, loads: Mapping[str, Load]) -> int:
    """The context of the cell's engine; refuses one that the model does not have."""
    given = experiment.engine.max_context
    load, needed = loads[cell.task], {}
    for task, other in loads.items():
        needed[task] = given or rounded_up(max(other.prompts) + other.cap, config)
    if needed[cell.task] > config.max_context:
        raise InputError(
            f"{cell.label}: prompts of up to {max(load.prompts)} tokens and max_tokens={load.cap} need "
            f"a context of {needed[cell.task]}, and {cell.model.name}'s is {config.max_context}; lower "
            "max_tokens"
        )
    return shared_contexts(cell.model, needed)[cell.task]


def _slots(
    experiment: Experiment, cell: Cell, config: ModelConfig, chip: Chip, context: int, asked: tuple[Load, int]
) -> tuple[int, int]:
    """(chips of one copy, slots of the engine there); refuses what does not fit."""
    choice, serving = cell.model, planned_serving(experiment)
    wanted, rows = choice.slice, experiment.engine.prompt_rows
    ways = wanted.model * wanted.expert
    if not wanted.chip:
        ways = max(ways, chips_of_copy(experiment, cell, config, chip, context, (asked[0].prompts, asked[1])))
    held = sequences_held(config, chip, context, ways, wanted.model if wanted.chip else ways, serving)
    slots = wanted.slots or min(held // wanted.expert - rows, MOST_SLOTS)
    if slots < 1 or (slots + rows) * wanted.expert > held:
        weights, memory = config.total_params * serving.weight_bytes / 2**30, ways * chip.hbm_bytes / 2**30
        raise InputError(
            f"{choice.name} does not fit: {ways} × {chip.name} ({memory:.0f} GiB) hold "
            f"{weights:.1f} GiB of weights and {held} sequences of {context:,} tokens, and "
            f"{(max(slots, 1) + rows) * wanted.expert} are asked for (slots and prompt rows); use more "
            "chips or fewer slots (the model's slice), a shorter --max_context, or --quantize=int8"
        )
    return ways, slots


def _hours(cost: Cost) -> float:
    return float(cost.seconds.sum()) / 3600


def _dollars(cost: Cost) -> float | None:
    return None if cost.chip.usd_per_hour is None else float(cost.dollars.sum())


def fit_on(experiment: Experiment, plans: list[CellPlan]) -> list[str]:
    """One line for each chip of the experiment: what all cells take there.

    A cell that is planned for the chip costs what its plan says; the others are planned anew, without their
    slices: on as many chips as the model needs, with the slots that fit.
    """
    return [_on_chip(experiment, plans, chip) for chip in experiment.priced_chips]


def _on_chip(experiment: Experiment, plans: list[CellPlan], chip: Chip) -> str:
    loads = {plan.cell.task: plan.load for plan in plans}
    hours, missing = 0.0, []
    if why := unpriced(experiment, chip):
        return f"{chip.label}: {why}"
    for plan in plans:
        if plan.chip != chip.name:
            free = dataclasses.replace(plan.cell.model, slice=Slice())
            try:
                plan = _plan_cell(experiment, dataclasses.replace(plan.cell, model=free), loads, chip)
            except InputError:
                missing.append(plan.cell.model.name)
                continue
        hours += plan.expected_hours
    dollars = f"${_digits(hours * chip.usd_per_hour)}" if chip.usd_per_hour else chip.no_price
    left = f"; does not hold {', '.join(dict.fromkeys(missing))}" if missing else ""
    return f"{chip.label}: {_digits(hours)} chip-hours, {dollars}{left}"


def plan_table(experiment: Experiment, plans: list[CellPlan]) -> str:
    """The plan for a person to read."""
    head = (
        "model",
        "policy",
        "task",
        "problems × trials",
        "cap",
        "slice",
        "batch",
        "expected tokens",
        "chip-hours (at cap)",
        "hours",
        "$ (at cap)",
    )
    rows = [head, *(_row(plan) for plan in plans)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    priced = all(plan.expected_dollars is not None for plan in plans)
    dollars = f", ${_digits(sum(p.expected_dollars or 0 for p in plans))}" if priced else ""
    total = (
        f"{len(plans)} cells, {sum(p.samples for p in plans):,} samples, "
        f"{sum(p.expected_tokens for p in plans):,} tokens expected: "
        f"{_digits(sum(p.expected_hours for p in plans))} chip-hours{dollars} (at most, every sample at "
        f"its cap: {_digits(sum(p.most_hours for p in plans))} chip-hours)"
    )
    notes = dict.fromkeys(p.load.assumed for p in plans if p.load.assumed)
    # A chip that all cells are planned for has its total above.
    there, basis = {plan.chip for plan in plans}, experiment.priced_chips[0].price_basis
    others = [chip for chip in experiment.priced_chips if there != {chip.name}]
    return "\n".join(
        [
            *(f"assumed numbers of problems and prompt tokens: {note}" for note in notes),
            *table,
            "",
            total,
            *(["all cells on one kind of chip, on as many as the models need:"] if others else []),
            *(f"  {_on_chip(experiment, plans, chip)}" for chip in others),
            f"Modelled by kinetics_jax.costs, not measured; $ are {basis} prices.",
            *(f"{one.sentence}." for one in merged(plan.evidence for plan in plans)),
        ]
    )


def _row(plan: CellPlan) -> tuple[str, ...]:
    cell = plan.cell
    dollars = "–"
    if plan.expected_dollars is not None and plan.most_dollars is not None:
        dollars = f"{_digits(plan.expected_dollars)} ({_digits(plan.most_dollars)})"
    return (
        cell.model.name,
        cell.policy.label,
        cell.task,
        f"{len(plan.load.prompts)} × {cell.model.trials}",
        f"{plan.load.cap:,}",
        f"{plan.chips} × {plan.chip}",
        str(plan.batch),
        f"{plan.expected_tokens:,}",
        f"{_digits(plan.expected_hours)} ({_digits(plan.most_hours)})",
        _digits(plan.wall_hours),
        dollars,
    )


def _digits(amount: float) -> str:
    """Cents of large amounts, two digits of small ones."""
    return f"{amount:,.2f}" if amount >= 0.1 or amount == 0 else f"{amount:.1e}"
