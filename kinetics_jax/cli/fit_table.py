"""Which model fits which TPU slice, with how many long sequences: ``kinetics fit-table``.

Every row is a decode step given to the real TPU compiler (libtpu) in a process of its own; nothing is
computed by hand or run. Rows are kept in ``results/`` as they come: an interrupted run goes on there.
"""

import concurrent.futures
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

from kinetics_jax import storage
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets

flags = Flags()
_OUT = flags.DEFINE_string(
    "table", "", "Markdown file to write, a .json beside it (default: results/fit_table.md)."
)
_CONTEXT = flags.DEFINE_integer("context", 32_768, "Tokens of room per sequence.", lower_bound=1)
_MODELS = flags.DEFINE_list("presets", [], "Only these models (default: every preset).")
_CHIPS = flags.DEFINE_list("chips", [], "Only these chips (default: v5e, v6e, v5p, tpu7x).")
_PROCESSES = flags.DEFINE_integer("processes", 2, "Compilers at work at a time.", lower_bound=1)
_AFRESH = flags.DEFINE_bool("afresh", False, "Compile rows anew that an earlier run has left.")
_ROW = flags.DEFINE_string("row", "", "Used by the children: compile MODEL,WEIGHTS,CHIP, print it as JSON.")

PACKAGE = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path("results")
CHIPS = ("v5e", "v6e", "v5p", "tpu7x")
# INT8 is for the chips with little memory.
INT8 = {
    (name, chip)
    for name in ("qwen3-8b", "qwen3-14b", "qwen3-32b", "qwen3-30b-a3b")
    for chip in ("v5e", "v6e")
}
_GIB = 2**30
_SECONDS_PER_ROW = 1800

Row = tuple[str, str, str]
"""Model, weights (bf16, int8), chip."""
Record = dict[str, Any]


def rows() -> list[Row]:
    """The table's rows: every preset of a published model that can be run on every chip, then INT8."""
    ours = ("tiny-", "registers-")
    published = [n for n, model in presets.items() if not n.startswith(ours) and not model.priced_only]
    wide = [(name, "bf16", chip) for name in published for chip in CHIPS]
    return wide + [(n, "int8", chip) for n in published for chip in CHIPS if (n, chip) in INT8]


def _chosen() -> list[Row]:
    for chip in _CHIPS.value:
        if chip not in CHIPS:
            raise InputError(f"--chips={chip} is not known; known: {', '.join(CHIPS)}")
    models = {presets[name].name for name in _MODELS.value}
    found = [
        row
        for row in rows()
        if (not models or row[0] in models) and (not _CHIPS.value or row[2] in _CHIPS.value)
    ]
    if not found:
        raise InputError("--presets and --chips leave no row; the table has published models only")
    return found


def _compile(row: Row, context: int) -> Record:
    """Compile one row here. Slow, and libtpu may take the process down with it."""
    from kinetics_jax.ahead_of_time.fit import make_mesh
    from kinetics_jax.ahead_of_time.slices import largest_on_smallest

    name, weights, chip = row
    begun = time.time()
    found = largest_on_smallest(
        presets[name], chip, capacity=context, quantize="int8" if weights == "int8" else None
    )
    fit, place = found.fit, found.placement
    mesh = make_mesh(place)
    return {
        "model": name,
        "weights": weights,
        "chip": chip,
        "slice": place.topology,
        "devices": mesh.devices.size,
        "data_ways": mesh.shape["data"],
        "expert_ways": place.expert,
        "model_ways": place.model,
        "context": context,
        "batch": found.batch,
        "kv_tokens": found.batch * context,
        "hbm_bytes": fit.needed,
        "argument_bytes": fit.arguments,
        "temporary_bytes": fit.temporary,
        "collectives": dict(fit.collectives),
        "collective_bytes": fit.collective_bytes,
        "refused_batch": found.refused_batch,
        "refused_bytes": found.refused.needed,
        "available_bytes": found.refused.available,
        "seconds": round(time.time() - begun, 1),
    }


def _in_child(row: Row, context: int) -> Record:
    """``_compile`` in a process of its own. Raises ``RuntimeError`` with the child's last words."""
    command = [sys.executable, "-m", "kinetics_jax.cli.main", "fit-table", f"--row={','.join(row)}"]
    command.append(f"--context={context}")
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=_SECONDS_PER_ROW
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no answer within {_SECONDS_PER_ROW} s") from error
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"exit {done.returncode}: {words[-1][:300]}")
    return json.loads(done.stdout.splitlines()[-1])


class _Kept:
    """Rows of this and earlier runs of the same code, compiler and context, one JSON object a line."""

    def __init__(self, file: pathlib.Path, versions: Record) -> None:
        self.file, self.versions = file, versions
        self.records: dict[Row, Record] = {}
        for line in file.read_text().splitlines() if file.is_file() else ():
            kept = json.loads(line)
            if kept["versions"] == versions:
                self.records[_key(kept)] = kept

    def add(self, record: Record) -> None:
        """Remember a row, on disk first."""
        record = record | {"versions": self.versions}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file, "a") as file:
            file.write(json.dumps(record) + "\n")
        self.records[_key(record)] = record


def _key(record: Record) -> Row:
    return record["model"], record["weights"], record["chip"]


def _versions() -> Record:
    """What a row depends on: the compiler, and the code that is compiled."""
    digest = hashlib.sha256()
    for room in ("shapes", "chips", "attention", "models", "ahead_of_time"):
        for file in sorted((PACKAGE / room).rglob("*")):
            if file.suffix in (".py", ".toml"):
                digest.update(file.read_bytes())
    try:
        found = {name: importlib.metadata.version(name) for name in ("jax", "libtpu")}
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install -e '.[aot]'") from error
    return found | {"context": _CONTEXT.value, "code": digest.hexdigest()[:16]}


def _line(record: Record) -> str:
    mesh = "×".join(str(record[f"{axis}_ways"]) for axis in ("data", "expert", "model"))
    used = ", ".join(f"{count} {what}" for what, count in record["collectives"].items()) or "none"
    cells = [
        record["model"],
        record["weights"],
        f"{record['slice']} ({record['devices']})",
        mesh,
        str(record["batch"]),
        f"{record['kv_tokens']:,}",
        f"{record['hbm_bytes'] / _GIB:.2f}",
        f"{record['temporary_bytes'] / _GIB:.3f}",
        used,
        f"{record['collective_bytes'] / 2**20:.1f}",
        f"{record['refused_batch']}: {record['refused_bytes'] / _GIB:.2f} > "
        f"{record['available_bytes'] / _GIB:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


_HEADER = """# Which model fits which TPU slice

Generated by `kinetics fit-table` on {date} with jax {jax}, libtpu {libtpu}; {minutes:.0f}
minutes of compiling. **Compiled for** these slices, not run on them: each row is one BF16 decode step
(dense attention over a contiguous BF16 cache with room for {context:,} tokens per sequence) given to the
real TPU compiler on a machine without a TPU.

Each preset of a published model that can be run is on the smallest slice of each chip that it fits with
one such sequence per data-parallel group, arranged so that heads divide, with the largest batch that
compiles. *Mesh* is data × expert × model; a batch is a multiple of data × expert. *HBM* and *temporary*
are GiB per device (a TPU7x chip is two devices). *Collectives* are counted in the program, a layer's
once; their bytes are per step and device, a layer's once per layer. *Refused* is the next batch: GiB
the compiler says it needs > GiB it has.
The slices of v5p and TPU7x begin at four chips. Heads of 64 (qwen2.5-0.5b) take the room of 128 in HBM.

"""
_COLUMNS = (
    "model",
    "weights",
    "slice (devices)",
    "mesh",
    "batch",
    "tokens of KV",
    "HBM",
    "temporary",
    "collectives",
    "MiB/step",
    "refused",
)


def _write(out: pathlib.Path, records: list[Record], versions: Record) -> None:
    minutes = sum(record["seconds"] for record in records) / 60
    titles = ["| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    table = "\n".join(titles + [_line(record) for record in records]) + "\n"
    header = _HEADER.format(date=datetime.date.today(), minutes=minutes, **versions)
    plain = [{k: v for k, v in record.items() if k not in ("versions", "seconds")} for record in records]
    out.parent.mkdir(parents=True, exist_ok=True)
    for file, text in ((out, header + table), (out.with_suffix(".json"), json.dumps(plain, indent=1) + "\n")):
        part = file.with_name(file.name + ".part")
        part.write_text(text)
        part.replace(file)
    print(f"wrote {out}")


def _table_file() -> pathlib.Path:
    """Where the table goes, if it may be written there."""
    out = storage.output_file(_OUT.value or RESULTS / "fit_table.md", "--table")
    if out.suffix == ".json":
        raise InputError(f"--table={out}: name the Markdown file; the .json goes beside it")
    return out


def _asked_row(text: str) -> Row:
    """The row that a parent asks a child for."""
    parts = tuple(text.split(","))
    if parts not in rows():
        raise InputError(f"--row={text} is no row of the table: MODEL,WEIGHTS,CHIP")
    return parts


def main(_: list[str]) -> None:
    """Compile every row that is not kept yet, then write the table."""
    if _ROW.value:
        print(json.dumps(_compile(_asked_row(_ROW.value), _CONTEXT.value)))
        return
    chosen = _chosen()
    out, versions = _table_file(), _versions()
    kept = _Kept(RESULTS / "fit_table.jsonl", versions)
    left = [row for row in chosen if _AFRESH.value or row not in kept.records]
    print(f"{len(chosen)} rows, {len(chosen) - len(left)} of them kept from an earlier run", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(_PROCESSES.value) as pool:
        asked = {pool.submit(_in_child, row, _CONTEXT.value): row for row in left}
        for answer in concurrent.futures.as_completed(asked):
            try:
                kept.add(record := answer.result())
            except RuntimeError as error:
                failed += 1
                print(f"failed: {', '.join(asked[answer])}: {error}", flush=True)
            else:
                print(_line(record), flush=True)
    if failed:
        raise SystemExit(f"{failed} rows failed and no table was written; the others are kept: run again")
    _write(out, [kept.records[row] for row in chosen], versions)


command = Command(about=__doc__, flags=flags, main=main)
