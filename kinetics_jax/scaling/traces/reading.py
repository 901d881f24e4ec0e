"""Read trials from files of any of three formats, told apart by what is in them.

Whatever is wrong with a file is an InputError of one line that opens with FILE:LINE and ends with how to
fix it. Files are read line by line and hashed on the way, so junk fails at its first line.
"""

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from kinetics_jax.checks import shown
from kinetics_jax.errors import InputError
from kinetics_jax.scaling.traces.csv_format import read_csv
from kinetics_jax.scaling.traces.published_format import read_published
from kinetics_jax.scaling.traces.record_format import read_records
from kinetics_jax.scaling.traces.rows import Rows
from kinetics_jax.scaling.traces.text_lines import KINDS, Lines
from kinetics_jax.scaling.traces.trials import InputFile, Trials

Path = str | os.PathLike[str]


def read_trials(
    paths: Path | Sequence[Path],
    *,
    model: str | None = None,
    dataset: str | None = None,
    tokenizer: Any = None,
) -> Trials:
    """Every finished sample in the files, as one table.

    Three formats, UTF-8, plain or gzipped: sample records (JSON Lines, ``records.SampleRecord``), a trials
    CSV (columns model, dataset, problem_id, trial, gen_tokens, correct; optionally source, max_tokens,
    temperature, prompt_tokens, policy, answer) and the published Kinetics generations (JSON Lines whose first
    line is metadata). A byte-order mark, blank lines and either system's line ends do not matter.

    Args:
        paths: one file or several.
        model: model name of Kinetics generations whose metadata does not name it.
        dataset: likewise the task.
        tokenizer: object whose ``encode(text)`` has a length; Kinetics generations hold texts, not
            token counts, so they cannot be read without it. The other formats do not use it.

    Raises:
        InputError: a missing or empty file, a format that is none of the three, a torn last line, a
            bad value, or a sample that is there twice. The text is ``FILE:LINE: what. How to fix it``.
    """
    files = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(files, Iterable) or isinstance(files, bytes):
        raise InputError(f"paths={shown(paths)} must be a file's path, or a list of them")
    files = list(files)
    if not files:
        raise InputError("no trials given: name at least one file")
    if wrong := [path for path in files if not isinstance(path, str | os.PathLike)]:
        raise InputError(f"paths: {shown(wrong[0])} is no path of a file")
    if tokenizer is not None and not callable(getattr(tokenizer, "encode", None)):
        raise InputError(f"tokenizer={shown(tokenizer)} must have a method encode(text)")
    rows = Rows()
    inputs = []
    for rows.file, path in enumerate(files):
        inputs.append(_read_file(os.fspath(path), rows, model, dataset, tokenizer))
    return rows.to_trials(inputs)


def _read_file(path: str, rows: Rows, model: str | None, dataset: str | None, tokenizer: Any) -> InputFile:
    before = len(rows)
    with Lines(path) as lines:
        first = lines.first()
        if first.lstrip().startswith("{"):
            fields = _json_object(first, lines)
            if any(name.startswith("attn_") for name in fields) and "problem_id" not in fields:
                kind = "kinetics"
                read_published(lines, fields, rows, model, dataset, tokenizer)
            elif "problem_id" in fields:
                kind = "records"
                read_records(first, lines, rows)
            else:
                keys = ", ".join(list(fields)[:6])
                raise lines.error(f"a JSON object with {keys or 'no fields'}", f"expected {KINDS}")
        else:
            kind = "csv"
            read_csv(first, lines, rows)
        if len(rows) == before:
            raise lines.error("no sample follows the first line", "is the run still empty?")
        return InputFile(path, lines.sha256(), kind, len(rows) - before)


def _json_object(text: str, lines: Lines) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):  # not JSON, too many digits, or nested too deeply
        raise lines.error("opens like JSON but is not a whole JSON object", lines.advice()) from None
    if not isinstance(fields, dict):
        raise lines.error("not a JSON object", f"expected {KINDS}")
    return fields
