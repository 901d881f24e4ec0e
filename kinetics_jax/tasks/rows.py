"""Rows of a benchmark: JSON Lines that the user has, or a data set of the Hugging Face hub."""

import gzip
import importlib
import importlib.util
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from kinetics_jax.spec import InputError

Row = dict[str, Any]


def from_file(
    path: str | os.PathLike[str], names: tuple[str, ...], limit: int | None = None
) -> Iterator[Row]:
    """Rows of a JSON Lines file (``.jsonl``, ``.jsonl.gz``), or of the one called so in a folder.

    Args:
        path: the file, or a folder that holds ``NAME.jsonl`` for one of ``names``.
        names: file names without ending, the first found counts.
        limit: stop after so many rows.

    Raises:
        InputError: no such file, or a line that is not a JSON object; the text opens with FILE:LINE.
    """
    file = _locate(pathlib.Path(path), names)
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8") as lines:
            count = 0
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                if count == limit:
                    return
                yield _parse(line, f"{file}:{number}")
                count += 1
    except (OSError, UnicodeDecodeError, EOFError) as error:
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
    raise InputError(
        f"{path}: holds no {' or '.join(f'{n}.jsonl' for n in names)}; name the file itself"
    )


def _parse(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(
            f"{where}: not a JSON object; a benchmark is JSON Lines, one problem a line"
        ) from None
    if not isinstance(row, dict):
        raise InputError(
            f"{where}: not a JSON object; a benchmark is JSON Lines, one problem a line"
        )
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
