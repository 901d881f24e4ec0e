"""Ask a model something: ``kinetics decode --model=PATH --prompt="…"``.

One sample is printed as it is drawn. Several (``--n``), or prompts from a file, are printed as they finish,
and kept in the folder ``--out``; samples that are there already are not made again.
"""

import contextlib
import json
import pathlib
import stat
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import jax

from kinetics_jax import models, storage
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.engine import Engine, Piece, Progress
from kinetics_jax.engine.sample_log import SampleLog
from kinetics_jax.errors import InputError
from kinetics_jax.policies import parse_policy
from kinetics_jax.records import Problem, Sample, SamplingParams

flags = Flags()
_MODEL = flags.DEFINE_string("model", None, "Checkpoint: folder, GGUF file or hub name.")
_PROMPT = flags.DEFINE_string("prompt", None, "The user's turn; - reads standard input.")
_PROMPTS = flags.DEFINE_string(
    "prompts", None, "File of JSON lines, each with 'prompt' or 'messages', perhaps 'problem_id'."
)
_SYSTEM = flags.DEFINE_string("system", "", "System turn before every prompt.")
_POLICY = flags.DEFINE_string("policy", "dense", "Attention policy, such as block_topk(16, 64).")
_N = flags.DEFINE_integer("n", 1, "Samples per prompt.")
_MAX_TOKENS = flags.DEFINE_integer("max_tokens", 1024, "Most tokens to generate.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.6, "0 takes the most likely token.")
_TOP_P = flags.DEFINE_float("top_p", 0.95, "Nucleus; 1 is off.")
_TOP_K = flags.DEFINE_integer("top_k", 20, "Most likely tokens to choose from; 0 is off.")
_MIN_P = flags.DEFINE_float("min_p", 0.0, "Least probability relative to the likeliest; 0 is off.")
_SEED = flags.DEFINE_integer("seed", 0, "Names the random streams.")
_STOP = flags.DEFINE_multi_string("stop", [], "Text that ends a sample; may be repeated.")
_THINKING = flags.DEFINE_bool(
    "thinking", None, "Reason first, or (--nothinking) not; default: as the chat template has it."
)
_CONTEXT = flags.DEFINE_integer("max_context", 4096, "Longest prompt and generation together.")
_SLOTS = flags.DEFINE_integer("slots", None, "Samples at once per share of the mesh; default: what fits.")
_DTYPE = flags.DEFINE_enum(
    "dtype", None, ["bfloat16", "float16", "float32"], "Weights; default bfloat16, float32 on a CPU."
)
_QUANTIZE = flags.DEFINE_enum("quantize", None, ["int8"], "Quantise matmul weights.")
_MESH = flags.DEFINE_string("mesh", "", "Such as data=2,model=4; default: one device.")
_OUT = flags.DEFINE_string("out", None, "Folder to keep the samples in, and to go on from.")
_METRICS = flags.DEFINE_string("metrics", None, "File of progress snapshots (JSON lines).")
_PROFILE = flags.DEFINE_string("profile", None, "Folder for a jax.profiler trace of the run.")


def main(_: list[str]) -> None:
    """Load, decode, print."""
    with contextlib.ExitStack() as stack:
        _run(stack)


def _run(stack: contextlib.ExitStack) -> None:
    if not _MODEL.value:
        raise InputError("--model names the checkpoint to load")
    problems = _problems()
    sampling = SamplingParams(
        temperature=_TEMPERATURE.value,
        top_p=_TOP_P.value,
        top_k=_TOP_K.value,
        min_p=_MIN_P.value,
        seed=_SEED.value,
    )
    policy = parse_policy(_POLICY.value)
    path = storage.source(_MODEL.value, "--model")
    out, profile = _folder("out", path), _folder("profile", path)
    metrics = storage.output_file(_METRICS.value, "--metrics") if _METRICS.value else None
    alone = len(problems) == 1 and _N.value == 1 and not out
    tokenizer = models.load_tokenizer(path)  # what it lacks is said before the weights are read
    engine = Engine(
        _load(path),
        policy=policy,
        tokenizer=tokenizer,
        max_context=_CONTEXT.value,
        slots=_SLOTS.value or (1 if alone else None),
        observe=_Observer(_opened(metrics, stack), quiet=alone),
    )
    log = stack.enter_context(SampleLog(out)) if out else None
    if profile:
        stack.enter_context(jax.profiler.trace(profile))
    drawn: Iterator[Any] = engine.generate(
        problems,
        n=_N.value,
        sampling=sampling,
        max_tokens=_MAX_TOKENS.value,
        stop_strings=_STOP.value,
        thinking=_THINKING.value,
        system=_SYSTEM.value,
        stream=alone,
        done=log.done if log else (),
    )
    for item in drawn:
        if isinstance(item, Piece):
            print(item.text, end="", flush=True)
        else:
            if log:
                log.append(item)
            _show(item, alone)


def _folder(name: str, model: str) -> str | None:
    """The folder that the flag ``name`` gives, if it may be written."""
    if flags[name] is None:
        return None
    only_here = "give a folder here" if name == "profile" else ""
    return storage.output_folder(flags[name], f"--{name}", sources=[("--model", model)], stores=only_here)


def _show(sample: Sample, alone: bool) -> None:
    if alone:
        print(f"\n[{sample.generated_tokens} tokens, {sample.finish_reason}]", file=sys.stderr)
    else:
        head = f"## {sample.problem_id}, trial {sample.trial} ({sample.finish_reason})"
        print(f"\n{head}\n{sample.text}")


def _problems() -> list[Problem]:
    """The prompts that the flags give. Raises ``InputError`` for none, or a file that is not right."""
    if (_PROMPT.value is None) == (_PROMPTS.value is None):
        raise InputError("give --prompt=TEXT or --prompts=FILE, one of them")
    if _PROMPTS.value is not None:
        return _read_prompts(_PROMPTS.value)
    text = _standard_input() if _PROMPT.value == "-" else _PROMPT.value or ""
    if not _is_text(text):
        raise InputError("--prompt is not UTF-8 text")
    return [Problem(task="prompt", problem_id="0", prompt=text)]


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError(f"--prompt=-: standard input is not UTF-8 text ({error})") from None


def _read_prompts(path: str) -> list[Problem]:
    """One prompt a line; blank lines, a byte-order mark and line ends of any system are let pass."""
    file = storage.local(path, "--prompts")
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n") if _plain(file) else []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    found: dict[str, Problem] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            fields = json.loads(line)
            prompt, name = _prompt(fields), str(fields.get("problem_id", len(found)))
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
            raise InputError(f"{where} is not a JSON object with 'prompt' or 'messages'") from None
        if not isinstance(prompt, str | tuple) or not _is_text(str(prompt)) or not _is_text(name):
            raise InputError(f"{where}: 'prompt' and 'problem_id' must be text")
        if name in found:
            raise InputError(f"{where}: problem_id {name!r} is there already; give each its own")
        found[name] = Problem(task="prompt", problem_id=name, prompt=prompt)
    if not found:
        raise InputError(f"{path}: holds no prompts")
    return list(found.values())


def _plain(file: pathlib.Path) -> bool:
    """Whether it is no folder or device; raises for what is not there."""
    if not stat.S_ISREG(file.stat().st_mode) and not stat.S_ISFIFO(file.stat().st_mode):
        raise InputError(f"{file}: cannot be read (not a plain file)")
    return True


def _is_text(text: str) -> bool:
    """Whether UTF-8 can write it: arguments that are not UTF-8, and half characters of JSON, cannot be."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _prompt(fields: dict[str, Any]) -> Any:
    """What one line asks: its text, or its turns. Raises ``TypeError`` for both, neither or no list."""
    if ("prompt" in fields) == ("messages" in fields):
        raise TypeError
    if "prompt" in fields:
        return fields["prompt"]
    if not all(isinstance(message, dict) for message in fields["messages"]):
        raise TypeError
    return tuple(fields["messages"])


def _load(path: str) -> models.Transformer:
    on_cpu = jax.default_backend() == "cpu"
    return models.load(
        path,
        mesh=_mesh(),
        dtype=_DTYPE.value or ("float32" if on_cpu else "bfloat16"),
        quantize="int8" if _QUANTIZE.value else None,
        unroll=on_cpu,
    )


def _mesh() -> jax.sharding.Mesh | None:
    if not _MESH.value:
        return None
    try:
        pairs = [part.split("=") for part in _MESH.value.split(",")]
        sizes, names = [int(size) for _, size in pairs], [name.strip() for name, _ in pairs]
    except ValueError:
        raise InputError(f"--mesh={_MESH.value}: not like data=2,model=4") from None
    if unknown := [name for name in names if name not in ("data", "model", "expert")]:
        raise InputError(f"--mesh={_MESH.value}: no axis {unknown[0]!r}; data, model and expert are")
    if len(set(names)) < len(names) or min(sizes) < 1:
        raise InputError(f"--mesh={_MESH.value}: name each axis once, with a size of 1 or more")
    try:
        return jax.make_mesh(tuple(sizes), tuple(names))
    except ValueError as error:
        raise InputError(f"--mesh={_MESH.value}: not like data=2,model=4 ({error})") from None


def _opened(metrics: pathlib.Path | None, stack: contextlib.ExitStack) -> TextIO | None:
    if metrics is None:
        return None
    try:
        metrics.parent.mkdir(parents=True, exist_ok=True)
        return stack.enter_context(open(metrics, "a", encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--metrics={metrics}: {error.strerror}") from None


class _Observer:
    """Progress to the metrics file and, on a terminal, to one line that is written over."""

    def __init__(self, metrics: TextIO | None, quiet: bool) -> None:
        self.metrics, self.terminal = metrics, not quiet and sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        if self.metrics:
            print(progress.to_json(), file=self.metrics, flush=True)
        if self.terminal:
            print(f"\r{progress.line()}\033[K", end="", file=sys.stderr, flush=True)


command = Command(about=__doc__, flags=flags, main=main, prefix="error")
