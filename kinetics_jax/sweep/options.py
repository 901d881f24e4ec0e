"""Options of a sweep as flat names and values, as config files and flags give them, → ``Experiment``."""

import ast
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kinetics_jax import storage
from kinetics_jax.commands.values import typed
from kinetics_jax.costs import get_chip
from kinetics_jax.errors import InputError
from kinetics_jax.policies import parse_policy
from kinetics_jax.records import RepetitionRule, SamplingParams
from kinetics_jax.scaling.law.one_law import LawOptions
from kinetics_jax.sweep.experiment import EngineChoice, Experiment, ModelChoice, Slice, TaskChoice


class Option(NamedTuple):
    """One option: what it is unless given, and what it means."""

    default: Any
    """An empty text, empty tuple or 0 means: not given."""
    help: str


OPTIONS: dict[str, Option] = {
    "name": Option("sweep", "What records call this run."),
    "models": Option((), "NAME=SOURCE: a preset's name; a folder, hub name, GGUF file, or random."),
    "weights": Option("", "Folder that holds a folder (or link) SOURCE for each model."),
    "policies": Option(("dense",), "Attention policies, such as dense,topk(k=512)."),
    "tasks": Option((), "NAME or NAME=PATH of kinetics_jax.tasks."),
    "data": Option("", "Folder of the problems of tasks that name no path."),
    "limit": Option(0, "Problems of each task, the first ones; 0 takes all."),
    "task_options": Option((), "TASK.OPTION=VALUE; {seed} stands for the seed."),
    "trials": Option(1, "Samples of each problem."),
    "trials_of": Option((), "NAME=N: models that have another number of samples."),
    "max_tokens": Option(0, "Most tokens to generate; 0 is the task's own cap."),
    "lengths": Option((), "Shorter caps at which samples are cut and graded again."),
    "temperature": Option(0.6, "Of the sampling; 0 is greedy."),
    "top_p": Option(0.95, "Nucleus; 1 is off."),
    "top_k": Option(20, "Likeliest tokens kept; 0 is off."),
    "min_p": Option(0.0, "Least share of the likeliest token; 0 is off."),
    "seed": Option(0, "Of the samples, and of the laws' resamples."),
    "stop_strings": Option((), "Texts that end a sample."),
    "thinking": Option(True, "False asks chat templates for answers without reasoning."),
    "system_prompt": Option("", "System turn before every prompt; empty: none."),
    "date": Option("", "YYYY-MM-DD, today for chat templates; empty: the day the sweep began."),
    "repetition": Option(True, "Stop samples that are caught in a loop."),
    "chip": Option(("b200",), "Chips to price on: names, or chip files (.toml)."),
    "slices": Option((), "NAME=CHIP data=D model=M expert=E slots=S, for each model."),
    "expected_tokens": Option(0, "Mean tokens of a sample that the plan assumes; 0: half the cap."),
    "page_size": Option(0, "Tokens in a page; 0: the policy's blocks, else 64."),
    "max_context": Option(0, "Prompt and generation; 0: what the longest prompt and the cap need."),
    "chunk_steps": Option(64, "Decode steps between two visits of the host."),
    "prefill_chunk": Option(512, "Prompt tokens read at a time."),
    "prompt_rows": Option(2, "Prompts that may be read ahead."),
    "exact_masks": Option(False, "Run the reference's exact index sets by masking every score."),
    "dtype": Option("auto", "Of weights: auto | bfloat16 | float16 | float32."),
    "quantize": Option("", "int8, or nothing."),
    "unroll": Option(False, "Layers apart: faster steps on a CPU, slower compilation."),
    "grade": Option(True, "Grade samples while decoding goes on."),
    "grading_processes": Option(0, "0: half of the CPUs."),
    "report": Option(True, "End with law and report."),
    "cost_mode": Option("exact", "exact | paper | reference: see kinetics_jax.costs.price."),
    "overlap": Option("sum", "sum | max | roofline."),
    "frontier": Option("both", "paper | held_out | both."),
    "search": Option("both", "best_of_n | long_cot | both | grid."),
    "bootstrap": Option(1000, "Resamples of the questions."),
    "splits": Option(5, "Random halves of the held-out rule."),
    "min_questions": Option(10, "Families with fewer common questions are left out of the laws."),
}
"""Every option, so that none can be set and not read."""


def read(options: Mapping[str, Any]) -> Experiment:
    """The experiment that these options describe; what is not given has its default.

    Raises ``InputError`` for an option that is unknown or wrong, in one line that names it.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise InputError(f"config has no option {', '.join(unknown)}; it has {', '.join(OPTIONS)}")
    given = {name: option.default for name, option in OPTIONS.items()} | dict(options)
    for name, option in OPTIONS.items():
        given[name] = typed(name, given[name], option.default, split)
    for chip in given["chip"]:
        get_chip(chip)
    if not given["name"]:
        raise InputError("name is empty: records need one")
    law = ("cost_mode", "overlap", "frontier", "search", "bootstrap", "splits", "seed")
    engine = ("chunk_steps", "prefill_chunk", "prompt_rows", "exact_masks", "dtype", "unroll")
    return Experiment(
        name=given["name"],
        models=_models(given),
        tasks=_tasks(given),
        chips=given["chip"],
        policies=tuple(_policy(text) for text in given["policies"]),
        max_tokens=given["max_tokens"] or None,
        lengths=_wholes("lengths", given["lengths"]),
        sampling=SamplingParams(
            **{name: given[name] for name in ("temperature", "top_p", "top_k", "min_p", "seed")}
        ),
        stop_strings=given["stop_strings"],
        thinking=given["thinking"],
        system_prompt=given["system_prompt"],
        date=given["date"],
        repetition=RepetitionRule() if given["repetition"] else None,
        engine=EngineChoice(
            page_size=given["page_size"] or None,
            max_context=given["max_context"] or None,
            quantize=given["quantize"] or None,
            **{name: given[name] for name in engine},
        ),
        expected_tokens=given["expected_tokens"] or None,
        grade=given["grade"],
        grading_processes=given["grading_processes"] or None,
        report=given["report"],
        law=LawOptions(**{name: given[name] for name in law}),
        min_questions=given["min_questions"],
    )


def split(text: str) -> tuple[str, ...]:
    """Parts of ``text`` between commas that stand in no brackets: ``a,b(1, 2)`` is two."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return tuple(part.strip() for part in [*parts, text[start:]] if part.strip())


def _policy(text: Any) -> Any:
    try:
        return parse_policy(str(text))
    except InputError as error:
        raise InputError(f"policies: {error}") from None


def _pairs(name: str, values: Sequence[Any]) -> dict[str, str]:
    found = {}
    for value in values:
        key, equals, rest = str(value).partition("=")
        if not equals or not key.strip() or not rest.strip():
            raise InputError(f"{name}: {value!r} must be of the form NAME=VALUE")
        found[key.strip()] = rest.strip()
    return found


def _whole(name: str, text: Any) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name}: {text!r} must be a whole number") from None


def _wholes(name: str, values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(_whole(name, value) for value in values)


def _models(given: Mapping[str, Any]) -> tuple[ModelChoice, ...]:
    if not given["models"]:
        raise InputError("models is empty: name at least one, as NAME=SOURCE")
    sources = _pairs("models", given["models"])
    if len(sources) < len(given["models"]):
        raise InputError("models names one twice")
    trials, slices = _pairs("trials_of", given["trials_of"]), _pairs("slices", given["slices"])
    return tuple(
        ModelChoice(
            name=name,
            source=_source(source, given["weights"]),
            trials=_whole(f"trials_of {name}", trials.get(name, given["trials"])),
            slice=_slice(name, slices[name]) if name in slices else Slice(),
        )
        for name, source in sources.items()
    )


def _source(source: str, weights: str) -> str:
    """``weights`` is where the checkpoints were put, each under the last part of its name."""
    if source.partition(":")[0] == "random":
        return source
    if not weights:
        return storage.source(source, "models")
    # Begins with . or /, so that it is never taken for a name of the hub.
    folder = os.path.join(os.curdir, storage.local(weights, "weights"))
    return os.path.join(folder, os.path.basename(source))


def _slice(name: str, text: str) -> Slice:
    chip, *parts = text.split()
    fields = _pairs(f"slices {name}", parts)
    known = {"data", "model", "expert", "slots"}
    if "=" in chip or set(fields) - known:
        raise InputError(f"slices: {name}={text!r} must be CHIP data=D model=M expert=E slots=S")
    get_chip(chip)
    return Slice(chip=chip, **{k: _whole(f"slices {name}: {k}", v) for k, v in fields.items()})


def _tasks(given: Mapping[str, Any]) -> tuple[TaskChoice, ...]:
    options: dict[str, dict[str, Any]] = {}
    for name, text in _pairs("task_options", given["task_options"]).items():
        task, dot, option = name.partition(".")
        if not dot:
            raise InputError(f"task_options: {name!r} must be of the form TASK.OPTION")
        options.setdefault(task, {})[option] = _value(text.replace("{seed}", str(given["seed"])))
    found = []
    for text in given["tasks"]:
        name, _, path = str(text).partition("=")
        found.append(
            TaskChoice(
                name=name,
                path=_path(f"tasks {name}", path) or _path("data", given["data"]),
                limit=given["limit"] or None,
                options=options.pop(name, {}),
            )
        )
    if options:
        raise InputError(f"task_options: {min(options)} is none of the tasks")
    return tuple(found)


def _path(name: str, text: str) -> str | None:
    return str(storage.local(text, name)) if text else None


def _value(text: str) -> Any:
    """A number, a truth value, or the text itself."""
    if re.fullmatch(r"-?\d+(\.\d+)?([eE]-?\d+)?|True|False|None", text):
        return ast.literal_eval(text)
    return text
