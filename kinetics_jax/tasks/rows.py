"""Rows of a benchmark: JSON Lines that the user has, or a data set of the Hugging Face hub."""

import codecs
import gzip
import importlib
import importlib.util
import json
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

from kinetics_jax.errors import InputError

Row = dict[str, Any]
_BLANK = " \t\r\n\ufeff"  # a byte order mark also where files were joined


def from_file(
    path: str | os.PathLike[str], names: tuple[str, ...], limit: int | None = None
) -> Iterator[tuple[str, Row]]:
    """Rows of a JSON Lines file (``.jsonl``, ``.jsonl.gz``), or of the one called so in a folder.

    A byte order mark, blank lines and the line ends of any system are no part of a row.

    Args:
        path: the file, or a folder that holds ``NAME.jsonl`` for one of ``names``.
        names: file names without ending, the first found counts.
        limit: stop after so many rows.

    Yields:
        Where a row stands, as FILE:LINE, and the row.

    Raises:
        InputError: no such file, or a line that is not a JSON object; the text opens with FILE:LINE.
    """
    file = _locate(pathlib.Path(path), names)
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as start:
            if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise InputError(f"{file}: is UTF-16; save it as UTF-8")
        with opener(file, "rt", encoding="utf-8") as lines:
            count = 0
            for number, line in enumerate(lines, 1):
                line = line.strip(_BLANK)
                if not line:
                    continue
                if count == limit:
                    return
                yield f"{file}:{number}", _parse(line, f"{file}:{number}")
                count += 1
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x}: {error.reason}"
        raise InputError(f"{file}: cannot be read ({byte}); save it as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error


def _locate(path: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    for name in names:
        for ending in (".jsonl", ".jsonl.gz"):
            if (path / f"{name}{ending}").is_file():
                return path / f"{name}{ending}"
    raise InputError(f"{path}: holds no {' or '.join(f'{n}.jsonl' for n in names)}; name the file itself")


def _parse(line: str, where: str) -> Row:
    try:
        row = json.loads(line, object_pairs_hook=_object)
    except _TwiceError as error:
        raise InputError(f"{where}: {error.args[0]!r} is there twice in one object") from None
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a JSON object; a benchmark is JSON Lines, one problem a line")
    if "\\ud" in line.lower():  # an escape of half a character, which no UTF-8 text can hold
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise InputError(
                f"{where}: holds {half}, half of a surrogate pair, which is no character"
            ) from None
    return row


class _TwiceError(Exception):
    """A key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row: Row = {}
    for key, value in pairs:
        if key in row:
            raise _TwiceError(key)
        row[key] = value
    return row


def from_hub(repo: str, split: str, limit: int | None = None) -> list[Row]:
    """Rows of a data set on the Hugging Face hub, downloaded with ``datasets`` or from its cache.

    Raises:
        InputError: ``datasets`` is not installed, the hub cannot be reached, or it has no such split.
    """
    datasets = _module("datasets", repo)
    try:
        data = datasets.load_dataset(repo, split=split)
    except (OSError, ValueError) as error:
        raise _no_download(repo, error) from error
    return [dict(data[index]) for index in range(min(len(data), limit or len(data)))]


def hub_file(repo: str, filename: str) -> pathlib.Path:
    """One file of a data set on the hub, downloaded with ``huggingface_hub``. Raises InputError."""
    hub = _module("huggingface_hub", repo)
    try:
        return pathlib.Path(hub.hf_hub_download(repo, filename, repo_type="dataset"))
    except (OSError, ValueError) as error:
        raise _no_download(repo, error) from error


def _module(name: str, repo: str) -> Any:
    if importlib.util.find_spec(name) is None:
        raise InputError(
            f"no path given, and downloading {repo} needs {name}: "
            f"give the path of the problems, or pip install {name}"
        )
    return importlib.import_module(name)


def _no_download(repo: str, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0]
    return InputError(f"cannot download {repo} ({first}); give the path of the problems instead")
