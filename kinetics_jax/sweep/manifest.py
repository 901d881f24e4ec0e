"""``manifest.json``: which experiment a directory holds, so that no other one is mixed into it.

What decides a sample (weights, problems, policy, caps, sampling, seed, dtype) must stay the same; models,
policies and tasks may be added and trials raised. Beside it stand the digests of files that were read.
``sessions-….jsonl`` says when, where and with which code it ran.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from kinetics_jax._version import __version__
from kinetics_jax.errors import InputError
from kinetics_jax.scaling.traces.csv_format import policy_text
from kinetics_jax.storage import Place, place
from kinetics_jax.storage.line_log import LineLog, PathLike, is_object_store
from kinetics_jax.sweep.digests import FileDigests
from kinetics_jax.sweep.experiment import EngineChoice, Experiment, ModelChoice
from kinetics_jax.sweep.model_sources import fingerprint, pinned, resolved_dtype
from kinetics_jax.tasks import Task

FILE = "manifest.json"
FORMAT = "kinetics-jax sweep"
_VERSION = 1
_OURS = (".lock", "lock.json", f".{FILE}.part")
"""What a run killed before its manifest may leave."""
_LIBRARIES = ("jax", "jaxlib", "flax", "numpy", "libtpu", "math-verify")


def describe(
    experiment: Experiment,
    tasks: Mapping[str, Task],
    *,
    earlier: Mapping[str, Any] | None = None,
    files: FileDigests | None = None,
    decodes: bool = True,
) -> dict[str, Any]:
    """What decides the samples, ready for JSON.

    Args:
      experiment: what is run.
      tasks: its tasks by name.
      earlier: the description in the directory's manifest: hub names stay at the revision it has.
      files: digests of files that need not be read again.
      decodes: False where stored samples are only graded: weights and an ``auto`` dtype are then as the
        manifest says, and need not be here.

    Raises ``InputError`` where the weights are not to be had.
    """
    before = earlier or {}
    dtype = before.get("dtype") if experiment.engine.dtype == "auto" and not decodes else None

    def weights(choice: ModelChoice) -> str:
        known = before.get("models", {}).get(choice.name, {}).get("weights")
        return known if known and not decodes else fingerprint(choice, files, known=known)

    return {
        "name": experiment.name,
        "models": {
            choice.name: {"weights": weights(choice), "trials": choice.trials} for choice in experiment.models
        },
        "policies": {policy_text(policy): True for policy in experiment.policies},
        "tasks": {
            name: {
                "problems": problems_hash(task),
                "count": len(task.problems),
                "max_tokens": experiment.cap(task),
            }
            for name, task in tasks.items()
        },
        "sampling": dataclasses.asdict(experiment.sampling),
        "stop_strings": list(experiment.stop_strings),
        "thinking": experiment.thinking,
        **_given(system_prompt=experiment.system_prompt, date=experiment.date),
        "repetition": experiment.repetition and dataclasses.asdict(experiment.repetition),
        "page_size": experiment.engine.page_size,
        "exact_masks": experiment.engine.exact_masks,
        "dtype": dtype or resolved_dtype(experiment.engine),
        "quantize": experiment.engine.quantize,
    }


def _given(**options: str) -> dict[str, str]:
    """Options that are newer than some directories: what is not given is not written down."""
    return {name: value for name, value in options.items() if value}


def date_of(folder: PathLike, given: str) -> str:
    """The day that chat templates take for today: as given, else as it was when the sweep began.

    Empty for a directory from before dates were written down, whose templates saw the day at hand.
    """
    if given:
        return given
    if (place(folder) / FILE).exists():
        return str(read(folder).get("date", ""))
    return datetime.date.today().isoformat()


def problems_hash(task: Task) -> str:
    """SHA-256 of a task's problems: names, prompts and known answers, in order."""
    digest = hashlib.sha256()
    for problem in task.problems:
        fields = (problem.problem_id, problem.prompt, repr(problem.answer))
        digest.update(json.dumps(fields).encode() + b"\n")
    return digest.hexdigest()


def pin(experiment: Experiment, described: Mapping[str, Any]) -> Experiment:
    """The experiment with every model of the hub at the revision that is described."""
    weights = {name: model["weights"] for name, model in described["models"].items()}
    models = tuple(pinned(choice, weights[choice.name]) for choice in experiment.models)
    return dataclasses.replace(experiment, models=models)


def check_place(folder: PathLike) -> bool:
    """Whether a directory has a manifest. Raises ``InputError`` for one that holds anything else.

    A directory that is absent or empty is fine.
    """
    root = place(folder)
    if not root.exists():
        return False
    if not root.is_dir():
        raise InputError(f"{folder} is a file: name a directory")
    if (root / FILE).exists():
        return True
    if foreign := sorted(path.name for path in root.iterdir() if path.name not in _OURS):
        raise InputError(f"{folder} holds {foreign[0]} and no {FILE}: give a new or empty --out")
    return False


def check(folder: PathLike, described: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for a directory of another experiment, naming a difference, or of anything else.

    A directory that is absent or empty is fine.
    """
    if check_place(folder) and (what := difference(_adopted(read(folder), described), described)):
        raise InputError(f"{folder} holds another experiment: {what}. Give another --out")


def _adopted(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of an earlier version, with what it left open as it is now.

    It held ``auto`` where the dtype depends on the devices, and hub names without a revision.
    """
    models = {name: dict(model) for name, model in earlier["models"].items()}
    for name, model in models.items():
        here = now["models"].get(name, model)["weights"]
        if here.partition("@")[0] == model["weights"]:
            model["weights"] = here
    dtype = earlier["dtype"]
    if dtype == "auto" != now["dtype"]:
        dtype = resolved_dtype(EngineChoice())
    return {**earlier, "models": models, "dtype": dtype}


def write(folder: PathLike, described: Mapping[str, Any], files: FileDigests | None = None) -> None:
    """Write the manifest where it is absent, or lacks what the experiment or ``files`` has added."""
    path = place(folder) / FILE
    known = known_files(folder) if path.exists() else {}
    stamps = (files.stamps() if files else {}) or known
    if not path.exists() or read(folder) != described or stamps != known:
        fields = {"format": FORMAT, "version": _VERSION, "experiment": described, "files": stamps}
        write_whole(path, json.dumps(fields, indent=1) + "\n")


def read(folder: PathLike) -> dict[str, Any]:
    """The description in a directory's manifest. Raises ``InputError`` where it is none of ours."""
    described = _read(folder)["experiment"]
    whole = isinstance(described, dict) and all(
        isinstance(described.get(kind), dict) for kind in ("models", "policies", "tasks")
    )
    models = described["models"].values() if whole else ()
    if not whole or "dtype" not in described or not all(_is_model(model) for model in models):
        raise InputError(f"{place(folder) / FILE}: not the manifest of a sweep of this version")
    return described


def known_files(folder: PathLike) -> dict[str, Any]:
    """Digests that need not be made again, for ``FileDigests``. Raises as ``read``."""
    found = _read(folder).get("files", {})
    return found if isinstance(found, dict) else {}


def _read(folder: PathLike) -> dict[str, Any]:
    path = place(folder) / FILE
    try:
        fields = json.loads(path.read_text())
        known = fields["format"] == FORMAT and fields["version"] == _VERSION
        known = known and "experiment" in fields
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        known = False
    if not known:
        raise InputError(f"{path}: not the manifest of a sweep of this version")
    return fields


def _is_model(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("weights"), str)


def difference(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first difference that no addition explains, in words; empty where there is none."""
    for kind in ("models", "policies", "tasks"):
        if gone := [name for name in earlier[kind] if name not in now[kind]]:
            return f"it has {kind[:-1] if kind != 'policies' else 'policy'} {gone[0]}"
    for path, there, here in _pairs(earlier, now, ()):
        if path[0] == "models" and path[-1] == "trials":
            if here < there:
                return f"it has {there} trials of {path[1]}, not {here}"
        elif there != here:
            return f"its {' '.join(path)} is {_short(there)}, not {_short(here)}"
    return ""


def _pairs(
    earlier: Mapping[str, Any], now: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Every leaf that both have, and what only one has where nothing may be added."""
    may_grow = path in (("models",), ("policies",), ("tasks",))
    for name in dict.fromkeys([*earlier, *now]):
        there, here = earlier.get(name), now.get(name)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _pairs(there, here, (*path, name))
        elif not (may_grow and name not in earlier):
            yield (*path, name), there, here


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:16] + "…"


def write_whole(path: Place, text: str) -> None:
    """Write a file that is there whole or not at all. Raises ``InputError`` where it cannot (disk full …)."""
    if is_object_store(path):
        path.write_text(text)
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path}: not written ({error.strerror or error})") from None


def note_session(folder: PathLike, **more: Any) -> None:
    """Append a line on this start: when, where, code, libraries, and what the caller adds."""
    session = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": socket.gethostname(),
        "command": sys.argv,
        "kinetics_jax": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": _libraries(),
        **more,
    }
    with LineLog(folder, "sessions") as log:
        log.append(json.dumps(session))


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of the checkout that this code is run from, with ``+`` where it was changed."""
    root = pathlib.Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        head, changed = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head + "+" * bool(changed)
