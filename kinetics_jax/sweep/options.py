"""Options of a sweep, as config files and flags give them, → ``Experiment``.

Models and tasks are groups of options of their own: ``config.models.qwen3_32b.trials = 8``,
``--config.models.qwen3_32b.slice.slots=14``, ``config.tasks.gsm8k.limit = 50``. The key is any word; what
records call the model is its ``name``.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from kinetics_jax import storage
from kinetics_jax.chips import get_chip, priced_chips
from kinetics_jax.commands.configs import Config
from kinetics_jax.commands.deployment_options import CHIP_PRICE, DEPLOYMENT, PRICES, SENSITIVITY, Option
from kinetics_jax.commands.values import typed
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import parse_policy
from kinetics_jax.records import RepetitionRule, SamplingParams
from kinetics_jax.scaling import LawOptions
from kinetics_jax.scaling.law.options import VERIFIERS
from kinetics_jax.sweep.experiment import EngineChoice, Experiment, ModelChoice, Slice, TaskChoice

SLICE = {"chip": "", "data": 1, "model": 1, "expert": 1, "slots": 0}
"""How a model lies on devices: see ``experiment.Slice``."""
MODEL = {"name": "", "source": "", "trials": 0, "slice": SLICE}
"""A model's own options; 0 trials: as many as the others. The slice of the experiment holds where it has no
chip of its own and nothing else."""
TASK = {"name": "", "path": "", "limit": 0, "options": {}}
"""A task's own options; ``options`` go to its ``load``."""
GROUPS: dict[str, dict[str, Option]] = {
    "Experiment": {
        "name": Option("sweep", "What records call this run."),
        "models": Option({}, "NAME=SOURCE,…: a preset's name; a folder, hub name, GGUF file, or random."),
        "weights": Option("", "Folder that holds a folder (or link) SOURCE for each model."),
        "policies": Option(("dense",), "Attention policies, such as dense,topk(k=512)."),
        "tasks": Option({}, "NAME or NAME=PATH,… of kinetics_jax.tasks."),
        "data": Option("", "Folder of the problems of tasks that name no path."),
        "limit": Option(0, "Problems of each task, the first ones; 0 takes all."),
        "trials": Option(1, "Samples of each problem."),
        "max_tokens": Option(0, "Most tokens to generate; 0 is the task's own cap."),
        "lengths": Option((), "Shorter caps at which samples are cut and graded again."),
        "slice": Option(SLICE, "Devices of models that name none: chip, data, model, expert, slots."),
        "chip": Option(("b200",), "Chips to price on: names, or chip files (.toml)."),
        "expected_tokens": Option(0, "Mean tokens of a sample that the plan assumes; 0: half the cap."),
    },
    "Prompts and sampling": {
        "system_prompt": Option("", "System turn before every prompt; empty: none."),
        "thinking": Option(True, "False asks chat templates for answers without reasoning."),
        "date": Option("", "YYYY-MM-DD, today for chat templates; empty: the day the sweep began."),
        "temperature": Option(0.6, "Of the sampling; 0 is greedy."),
        "top_p": Option(0.95, "Nucleus; 1 is off."),
        "top_k": Option(20, "Likeliest tokens kept; 0 is off."),
        "min_p": Option(0.0, "Least share of the likeliest token; 0 is off."),
        "seed": Option(0, "Of the samples, and of the laws' resamples."),
        "stop_strings": Option((), "Texts that end a sample."),
        "repetition": Option(True, "Stop samples that are caught in a loop."),
    },
    "Engine": {
        "max_context": Option(0, "Prompt and generation; 0: what the longest prompt and the cap need."),
        "page_size": Option(0, "Tokens in a page; 0: the policy's blocks, else 64."),
        "chunk_steps": Option(64, "Decode steps between two visits of the host."),
        "prefill_chunk": Option(512, "Prompt tokens read at a time."),
        "prompt_rows": Option(2, "Prompts that may be read ahead."),
        "exact_masks": Option(False, "Run the reference's exact index sets by masking every score."),
        "dtype": Option("auto", "Of weights: auto | bfloat16 | float16 | float32."),
        "quantize": Option("", "int8, or nothing."),
        "unroll": Option(False, "Layers apart: faster steps on a CPU, slower compilation."),
    },
    "Grading, law and report": {
        "grade": Option(True, "Grade samples while decoding goes on."),
        "grading_processes": Option(0, "0: half of the CPUs."),
        "report": Option(True, "End with law and report."),
        "cost_mode": Option("exact", "exact | paper | reference: see kinetics_jax.costs.price."),
        "overlap": Option("sum", "sum | max | roofline."),
        **PRICES,
        **DEPLOYMENT,
        **CHIP_PRICE,
        **SENSITIVITY,
        "frontier": Option("both", "paper | held_out | both."),
        "search": Option("both", "best_of_n | long_cot | both | grid."),
        "bootstrap": Option(1000, "Resamples of the questions."),
        "splits": Option(5, "Random halves of the held-out rule."),
        "verifiers": Option(
            VERIFIERS, "Who picks one of N answers, side by side: see docs/without_an_oracle.md."
        ),
        "min_questions": Option(10, "Families with fewer common questions are left out of the laws."),
    },
}
"""Options by the heading that they stand under in the help."""
OPTIONS = {name: option for group in GROUPS.values() for name, option in group.items()}
"""Every option, so that none can be set and not read."""


def defaults() -> ConfigDict:
    """Every option with its default: what configs start from."""
    usual = {name: option.default for name, option in OPTIONS.items()}
    return Config({name: Config(v) if isinstance(v, dict) else v for name, v in usual.items()})


def key(name: str) -> str:
    """``name`` as the key of a ``ConfigDict``: ``qwen3-0.6b`` is ``qwen3_0_6b``."""
    return re.sub(r"\W", "_", name)


def model(name: str, source: str, *, trials: int = 0, **slice_fields: Any) -> ConfigDict:
    """A model for ``config.models``, with every option there, so that a flag can set each."""
    return Config({"name": name, "source": source, "trials": trials, "slice": Config(SLICE | slice_fields)})


def task(name: str, path: str = "", *, limit: int = 0, **options: Any) -> ConfigDict:
    """A task for ``config.tasks``; ``options`` go to its ``load``."""
    return Config(TASK | {"name": name, "path": path, "limit": limit, "options": options})


def choose(group: str, config: Mapping[str, Any], text: Any) -> dict[str, Any]:
    """The models or tasks that a flag names, ``NAME=VALUE,…``, each with its other options of the config.

    Args:
      group: ``models`` or ``tasks``.
      config: that group of the config.
      text: of the flag, or its parts; a value is a model's source, or a task's path, which may be left out.
    """
    by_name = {fields.get("name") or word: fields for word, fields in config.items()}
    value, found = ("source" if group == "models" else "path"), {}
    for part in split(text) if isinstance(text, str) else text:
        name, equals, rest = (piece.strip() for piece in str(part).partition("="))
        if not name or ((group == "models" or equals) and not rest):
            raise InputError(f"{group}: {part!r} must be of the form NAME=VALUE")
        if key(name) in found:
            raise InputError(f"{group} names {name} twice")
        found[key(name)] = {**by_name.get(name, {}), "name": name, value: rest}
    return found


_LAW = (
    "cost_mode",
    "overlap",
    "frontier",
    "search",
    "bootstrap",
    "splits",
    "verifiers",
    "seed",
    *PRICES,
    *DEPLOYMENT,
    *SENSITIVITY,
)
"""Options that are fields of ``LawOptions``."""


def read(options: Mapping[str, Any] | ConfigDict) -> Experiment:
    """The experiment that these options describe; what is not given has its default.

    ``models`` and ``tasks`` may be texts, as flags give them. Raises ``InputError`` for an option that is
    unknown or wrong, in one line that names it.
    """
    options = options.to_dict() if isinstance(options, ConfigDict) else options
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise InputError(f"config has no option {', '.join(unknown)}; it has {', '.join(OPTIONS)}")
    given = {name: option.default for name, option in OPTIONS.items()} | dict(options)
    for name, option in OPTIONS.items():
        if not isinstance(option.default, dict):
            given[name] = typed(name, given[name], option.default, split)
    for group in ("models", "tasks"):
        if not isinstance(given[group], Mapping):
            given[group] = choose(group, {}, given[group])
    priced_chips(given["chip"], given["price_basis"], given["usd_per_hour"])
    if not given["name"]:
        raise InputError("name is empty: records need one")
    engine = ("chunk_steps", "prefill_chunk", "prompt_rows", "exact_masks", "dtype", "unroll")
    sampling = ("temperature", "top_p", "top_k", "min_p", "seed")
    same: tuple[str, ...] = (
        "name",
        "stop_strings",
        "thinking",
        "system_prompt",
        "date",
        "grade",
        "report",
        "min_questions",
    )
    return Experiment(
        models=_models(given),
        tasks=_tasks(given),
        chips=given["chip"],
        policies=tuple(_policy(text) for text in given["policies"]),
        lengths=_wholes("lengths", given["lengths"]),
        sampling=SamplingParams(**{name: given[name] for name in sampling}),
        repetition=RepetitionRule() if given["repetition"] else None,
        engine=EngineChoice(
            page_size=given["page_size"] or None,
            max_context=given["max_context"] or None,
            quantize=given["quantize"] or None,
            **{name: given[name] for name in engine},
        ),
        law=LawOptions(**{name: given[name] for name in _LAW} | _weights_as_run(given)),
        price_basis=given["price_basis"],
        usd_per_hour=given["usd_per_hour"] or None,
        max_tokens=given["max_tokens"] or None,
        expected_tokens=given["expected_tokens"] or None,
        grading_processes=given["grading_processes"] or None,
        **{name: given[name] for name in same},
    )


def _weights_as_run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Weights are priced as the sweep quantises them, unless another dtype is given."""
    free = given["cost_mode"] != "exact" or given["deployment"] == "as_run"
    if free or given["weight_dtype"] or not given["quantize"]:
        return {}
    return {"weight_dtype": given["quantize"]}


def split(text: str) -> tuple[str, ...]:
    """Parts of ``text`` between commas that stand in no brackets: ``a,b(1, 2)`` is two."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return tuple(part.strip() for part in [*parts, text[start:]] if part.strip())


def _fields(where: str, given: Any, usual: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a group, each of its type; what is not given has its default."""
    if not isinstance(given, Mapping):
        raise InputError(f"{where}={given!r} must be a group of options: {', '.join(usual)}")
    for name in given:
        if name not in usual:
            raise UnknownNameError(f"option of {where}", str(name), usual)
    found = {**usual, **given}
    return {
        name: value if isinstance(usual[name], dict) else typed(f"{where}.{name}", value, usual[name], split)
        for name, value in found.items()
    }


def _policy(text: Any) -> Any:
    try:
        return parse_policy(str(text))
    except InputError as error:
        raise InputError(f"policies: {error}") from None


def _wholes(name: str, values: Sequence[Any]) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in values)
    except ValueError:
        raise InputError(f"{name}: {values!r} must be whole numbers") from None


def _models(given: Mapping[str, Any]) -> tuple[ModelChoice, ...]:
    if not given["models"]:
        raise InputError("models is empty: name at least one, as NAME=SOURCE")
    found = []
    for word, fields in given["models"].items():
        mine = _fields(f"models.{word}", fields, MODEL)
        own = _fields(f"models.{word}.slice", mine["slice"], SLICE)
        common = _fields("slice", given["slice"], SLICE)
        found.append(
            ModelChoice(
                name=mine["name"] or word,
                source=_source(f"models.{word}", mine["source"], given["weights"]),
                trials=mine["trials"] or given["trials"],
                slice=_slice(f"models.{word}.slice", common if own == SLICE else own),
            )
        )
    return tuple(found)


def _slice(where: str, fields: Mapping[str, Any]) -> Slice:
    if fields["chip"]:
        get_chip(fields["chip"])
    try:
        return Slice(**{**fields, "slots": fields["slots"] or None})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _source(where: str, source: str, weights: str) -> str:
    """``weights`` is where the checkpoints were put, each under the last part of its name."""
    if not source:
        raise InputError(f"{where}.source is empty: a folder, hub name, GGUF file, or random")
    if source.partition(":")[0] == "random":
        return source
    if not weights:
        return storage.source(source, "models")
    # Begins with . or /, so that it is never taken for a name of the hub.
    folder = os.path.join(os.curdir, storage.local(weights, "weights"))
    return os.path.join(folder, os.path.basename(source))


def _tasks(given: Mapping[str, Any]) -> tuple[TaskChoice, ...]:
    found = []
    for word, fields in given["tasks"].items():
        mine = _fields(f"tasks.{word}", fields, TASK)
        if not isinstance(mine["options"], Mapping):
            raise InputError(f"tasks.{word}.options={mine['options']!r} must be a group of options")
        name = mine["name"] or word
        found.append(
            TaskChoice(
                name=name,
                path=_path(f"tasks {name}", mine["path"]) or _path("data", given["data"]),
                limit=mine["limit"] or given["limit"] or None,
                options=dict(mine["options"]),
            )
        )
    return tuple(found)


def _path(name: str, text: str) -> str | None:
    return str(storage.local(text, name)) if text else None
