"""What sparse policies cost on real text: ``kinetics fidelity --model=FILE --text=FILE``.

Writes one line per passage, context and policy as it goes, then ``fidelity.json`` and ``table.md``. A second
run goes on where the first stopped, also with more passages or policies. ``--model`` is a folder, a hub name
or a GGUF file.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import platform
import time
from typing import Any

import jax
from tqdm import tqdm

from kinetics_jax import models, storage
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.errors import InputError
from kinetics_jax.fidelity.intervals import summarise
from kinetics_jax.fidelity.measurement import check, grid, measure
from kinetics_jax.fidelity.passages import Passage, cut_passages, read_text
from kinetics_jax.fidelity.records import Fidelity
from kinetics_jax.policies import Dense, Policy, parse_policy, policy_to_dict
from kinetics_jax.report.fidelity import markdown

_WRITTEN = ("measurements.jsonl", "fidelity.json", "table.md")
_DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
"""Of a checkout; a wheel has none."""
flags = Flags()
_MODEL = flags.DEFINE_string("model", None, "Folder, GGUF file or hub name of the model.", required=True)
_TEXT = flags.DEFINE_multi_string(
    "text",
    [],
    "Text file, folder of them, or .jsonl of problems; may be repeated. Default: the docs of this checkout.",
)
_PASSAGES = flags.DEFINE_integer("passages", 2, "Passages of each text.")
_CONTEXTS = flags.DEFINE_list("contexts", ["2048", "4096"], "Context lengths, in tokens.")
_SPAN = flags.DEFINE_integer("span", 128, "Tokens decoded at the end of each context.")
_BUDGETS = flags.DEFINE_list("budgets", ["128", "256", "512", "1024"], "Tokens read per step.")
_BLOCKS = flags.DEFINE_list("blocks", ["16", "32", "64"], "Tokens per block.")
_POLICY = flags.DEFINE_multi_string("policy", [], "A further policy, such as topk(k=64).")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Dtype of the model.")
_OUT = flags.DEFINE_string("out", "results/fidelity", "Folder to write.")


def _integers(name: str, values: list[str]) -> list[int]:
    try:
        return [int(value) for value in values]
    except ValueError:
        raise InputError(f"--{name}={','.join(values)} must be whole numbers") from None


def _text() -> list[str]:
    """The texts that were given, or the docs of this checkout."""
    if not _TEXT.value and not _DOCS.is_dir():
        raise InputError("--text names what to measure on: a text file, a folder, or a .jsonl of problems")
    return _TEXT.value or [str(_DOCS)]


def _texts() -> dict[str, str]:
    paths = [storage.input_path(text, "--text") for text in _text()]
    if len({path.stem for path in paths}) < len(paths):
        raise InputError("--text: two texts have the same name; rename one")
    return {path.stem: read_text(path) for path in paths}


def _passages(texts: dict[str, str], tokenizer: models.Tokenizer, length: int) -> list[Passage]:
    """Of all texts in turn, so that a run that is stopped early has as many of each."""
    by_text = [
        cut_passages(name, text, tokenizer, length=length, count=_PASSAGES.value)
        for name, text in texts.items()
    ]
    return [passage for number in zip(*by_text, strict=True) for passage in number]


def _check_manifest(out: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Raise ``InputError`` where ``out`` holds another measurement, or files of somebody else's."""
    file = out / "manifest.json"
    if not file.is_file():
        mine = [name for name in _WRITTEN if (out / name).exists()]
        if mine:
            raise InputError(f"{out} holds {mine[0]} and no {file.name}; give another --out")
        return
    try:
        there = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: not the manifest of a measurement ({error})") from None
    if there != manifest:
        raise InputError(f"{out}: holds another measurement (see {file.name}); give another --out")


def _resume(out: pathlib.Path, manifest: dict[str, Any]) -> list[Fidelity]:
    """What an earlier run of the same measurement left in ``out``; refuses another's folder."""
    file, lines = out / "manifest.json", out / "measurements.jsonl"
    _check_manifest(out, manifest)
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(manifest, indent=1) + "\n")
    if not lines.is_file():
        return []
    text = lines.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    os.truncate(lines, len(whole))  # a line cut by a crash is measured again
    return [Fidelity.from_json(line) for line in whole.decode().splitlines()]


def _run(out: pathlib.Path, source: str) -> str:
    contexts = _integers("contexts", _CONTEXTS.value)
    policies: list[Policy] = [Dense()]
    policies += grid(_integers("budgets", _BUDGETS.value), _integers("blocks", _BLOCKS.value))
    policies = list(dict.fromkeys([*policies, *map(parse_policy, _POLICY.value)]))
    texts = _texts()
    tokenizer = models.load_tokenizer(source)
    length = max(contexts, default=0) + 1
    passages = _passages(texts, tokenizer, length)
    model = models.load(source, dtype=_DTYPE.value)
    check(model.config, length, contexts, policies, _SPAN.value)
    manifest = {
        "model": model.config.name,
        "dtype": _DTYPE.value,
        "span": _SPAN.value,
        "passage_tokens": length,
        "texts": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
    }
    records = _resume(out, manifest)
    wanted = {
        (passage.text, passage.number, context, policy)
        for passage in passages
        for context in contexts
        for policy in policies
    }
    done = {record.key for record in records} & wanted
    begun = time.time()
    with (
        (out / "measurements.jsonl").open("a") as lines,
        tqdm(total=len(wanted), initial=len(done), unit="measurement") as bar,
    ):
        for passage in passages:
            for record in measure(model, passage, contexts, policies, span=_SPAN.value, done=done):
                records.append(record)
                lines.write(record.to_json() + "\n")
                lines.flush()
                bar.update()
    rows = summarise(record for record in records if record.key in wanted)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {jax.devices()}"
    result = {
        **manifest,
        "units": {"kl": "nats per token", "kv_reads": "tokens per KV head and step"},
        "jax": jax.__version__,
        "machine": machine,
        "seconds_of_this_run": round(time.time() - begun),
        "rows": [dataclasses.asdict(row) | {"policy": policy_to_dict(row.policy)} for row in rows],
    }
    (out / "fidelity.json").write_text(json.dumps(result, indent=1) + "\n")
    table = markdown(rows)
    (out / "table.md").write_text(table)
    return table


def main(_: list[str]) -> None:
    """Measure what is not there yet, then write the table and print it."""
    source = storage.source(_MODEL.value, "--model")
    texts = [("--text", storage.local(text, "--text")) for text in _text()]
    out = pathlib.Path(
        storage.output_folder(
            _OUT.value,
            "--out",
            sources=[("--model", source), *texts],
            stores="measure in a folder here and copy that",
        )
    )
    table = _run(out, source)
    print(f"{table}\nwrote {out}/fidelity.json, {out}/table.md")


command = Command(about=__doc__, flags=flags, main=main)
