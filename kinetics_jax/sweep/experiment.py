"""What a sweep is made of, as data: models, policies, tasks, trials, caps, seeds, chips. No JAX.

A *cell* is one model under one policy on one task. Numbers of trials up to n share the same n samples, and
shorter lengths are the same samples cut and graded again: neither is a cell of its own.
"""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from kinetics_jax import tasks
from kinetics_jax.checks import check_stop_strings, check_whole
from kinetics_jax.chips import Chip, get_chip, priced_chips
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.records import RepetitionRule, SamplingParams
from kinetics_jax.scaling.law.one_law import LawOptions
from kinetics_jax.tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
    """The devices that a model is laid out on, and how many samples run at once."""

    chip: str = ""
    """Chip that the plan is made for; empty: the experiment's first."""
    data: int = 1
    """Copies of the model."""
    model: int = 1
    """Ways of tensor parallelism."""
    expert: int = 1
    """Ways that experts (and, for attention, sequences) are spread."""
    slots: int | None = None
    """Samples at once in each of the ``data`` × ``expert`` shares; None: what the memory holds."""

    def __post_init__(self) -> None:
        for field in ("data", "model", "expert"):
            ways = check_whole(f"slice: {field}", getattr(self, field), 1, 4096)
            object.__setattr__(self, field, ways)
        if self.slots is not None:
            object.__setattr__(self, "slots", check_whole("slice: slots", self.slots, 1))

    @property
    def devices(self) -> int:
        """Chips in all."""
        return self.data * self.model * self.expert


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model, where its weights are, and how it is run."""

    name: str
    """What records call it: a name of ``shapes.presets``, so that it can be priced."""
    source: str
    """Folder or hub name of a checkpoint, a GGUF file, or ``random`` (weights of a preset's shape)."""
    trials: int
    """n: samples of each problem."""
    slice: Slice = dataclasses.field(default_factory=Slice)

    def __post_init__(self) -> None:
        trials = check_whole(f"{self.name}: trials", self.trials, 1)
        object.__setattr__(self, "trials", trials)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskChoice:
    """A task and where its problems are."""

    name: str
    """What records call it. Given as ``my_task.py`` it becomes ``my_task``."""
    source: str = ""
    """What ``tasks.load`` is asked for; empty: the name."""
    path: str | None = None
    limit: int | None = None
    """Keep the first so many problems."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", self.source or self.name)
        object.__setattr__(self, "name", tasks.name_of(self.name))

    def load(self) -> Task:
        """The problems and the grader. Raises as ``kinetics_jax.tasks.load``."""
        return tasks.load(self.source, self.path, self.limit, **self.options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Options of the engine that are the same for all cells; see ``engine.Engine``."""

    page_size: int | None = None
    max_context: int | None = None
    """Prompt and generation together; None: what the longest prompt and the cap need."""
    chunk_steps: int = 64
    prefill_chunk: int = 512
    prompt_rows: int = 2
    exact_masks: bool = False
    dtype: str = "auto"
    """Of the weights: bfloat16, float16, float32; ``auto`` is float32 on a CPU, else bfloat16."""
    quantize: str | None = None
    """``int8`` or None."""
    unroll: bool = False
    """Layers apart: faster steps on a CPU, slower compilation."""

    def __post_init__(self) -> None:
        for field in ("chunk_steps", "prefill_chunk", "prompt_rows"):
            object.__setattr__(self, field, check_whole(field, getattr(self, field), 1))
        for field in ("page_size", "max_context"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, check_whole(field, getattr(self, field), 1))
        if self.dtype not in ("auto", "bfloat16", "float16", "float32"):
            raise InputError(f"dtype={self.dtype!r} must be auto, bfloat16, float16 or float32")
        if self.quantize not in (None, "int8"):
            raise InputError(f"quantize={self.quantize!r} must be int8, or left out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that a sweep does. ``options.read`` makes one from a config and flags."""

    name: str
    """What records call the run."""
    models: tuple[ModelChoice, ...]
    policies: tuple[Policy, ...]
    tasks: tuple[TaskChoice, ...]
    chips: tuple[str, ...]
    """Chips to price on, the one to plan for first."""
    max_tokens: int | None = None
    """Cap on generated tokens; None: each task's own."""
    lengths: tuple[int, ...] = ()
    """Shorter caps at which stored samples are cut and graded again."""
    sampling: SamplingParams = dataclasses.field(default_factory=SamplingParams)
    stop_strings: tuple[str, ...] = ()
    thinking: bool = True
    """Whether models shall reason first: what chat templates that know the switch are told."""
    system_prompt: str = ""
    """System turn put before every prompt; empty: none."""
    date: str = ""
    """YYYY-MM-DD: what chat templates that print the date take for today; empty: the day at hand."""
    repetition: RepetitionRule | None = dataclasses.field(default_factory=RepetitionRule)
    engine: EngineChoice = dataclasses.field(default_factory=EngineChoice)
    expected_tokens: int | None = None
    """Mean tokens of a sample that the plan assumes; None: half of the cap."""
    grade: bool = True
    grading_processes: int | None = None
    """None: half of the CPUs."""
    report: bool = True
    """Whether the run ends with law and report."""
    law: LawOptions = dataclasses.field(default_factory=LawOptions)
    min_questions: int = 10
    price_basis: str = "list"
    """Market that dollars are of; see ``chips.PRICE_BASES``."""
    usd_per_hour: float | None = None
    """The user's price of a chip-hour, where there is one chip; None: that of ``price_basis``."""

    def __post_init__(self) -> None:
        for field in ("models", "policies", "tasks", "chips"):
            values = getattr(self, field)
            names = [getattr(value, "name", value) if field != "policies" else value for value in values]
            if not names:
                raise InputError(f"{field} is empty: name at least one")
            for value in names:
                if names.count(value) > 1:
                    raise InputError(f"{field} names {value} twice")
        for field in ("max_tokens", "expected_tokens", "grading_processes"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, check_whole(field, getattr(self, field), 1))
        object.__setattr__(self, "stop_strings", check_stop_strings(self.stop_strings))
        lengths = tuple(check_whole("lengths", length, 1) for length in self.lengths)
        object.__setattr__(self, "lengths", lengths)
        if len(set(self.lengths)) < len(self.lengths):
            raise InputError(f"lengths={self.lengths} names one twice")
        if self.date:
            try:
                datetime.date.fromisoformat(self.date)
            except ValueError:
                raise InputError(f"date={self.date!r} must be a date such as 2025-01-31") from None
        if self.report and not self.grade:
            raise InputError("grade=False leaves nothing to report: set report=False too")

    def cap(self, task: Task) -> int:
        """Cap on the generated tokens of a task."""
        return self.max_tokens or task.max_tokens

    def shorter(self, task: Task) -> tuple[int, ...]:
        """The lengths below the cap of a task, ascending."""
        return tuple(sorted(length for length in self.lengths if length < self.cap(task)))

    @property
    def priced_chips(self) -> list[Chip]:
        """The chips to price on, with dollars as they are asked for."""
        return priced_chips(self.chips, self.price_basis, self.usd_per_hour)

    def priced_chip(self, name: str) -> Chip:
        """A chip by name, with dollars as they are asked for; the user's price is of the experiment's own."""
        mine = [chip for given, chip in zip(self.chips, self.priced_chips, strict=True) if given == name]
        return mine[0] if mine else get_chip(name).priced(self.price_basis)

    @property
    def cells(self) -> tuple["Cell", ...]:
        """Every cell, model by model, then policy by policy: the order in which they are decoded.

        But tasks that share an engine are decoded one after another.
        """
        return tuple(
            Cell(model=model, policy=policy, task=task.name)
            for model in self.models
            for policy in self.policies
            for task in self.tasks
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One model under one policy on one task."""

    model: ModelChoice
    policy: Policy
    task: str

    @property
    def label(self) -> str:
        """A short text for tables."""
        return f"{self.model.name}, {self.policy.label}, {self.task}"
