"""A directory of results that appears whole or not at all, and never over anybody else's files.

``storage.whole_directory`` says how. An earlier result is replaced only if every file in it is on its own
list: nobody's notes are lost. A process killed while it writes leaves its hidden ``.….part`` aside, and one
killed between the two renames of a replacement the earlier result, as ``.….old``; both may be deleted.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from kinetics_jax import storage
from kinetics_jax.errors import InputError
from kinetics_jax.storage.directories import is_part

MANIFEST = "law.json"
"""The file whose ``format`` and ``files`` say which files of a directory a run wrote."""
FORMAT = "kinetics-jax law"


def check_out_dir(out_dir: storage.PathLike, name: str = "out_dir") -> Any:
    """The directory to write, with links resolved, if it may be written or replaced.

    A ``pathlib.Path``, or the ``epath.Path`` of an object store. Errors call it ``name``.

    Raises:
        InputError: it is a file, cannot be written, or holds anything but a finished result of this program.
    """
    text = storage.output_folder(out_dir, name)
    store = storage.is_object_store(text)
    path = storage.place(text) if store else pathlib.Path(os.path.realpath(text))
    _earlier(path, out_dir)
    return path


def _earlier(path: Any, said: storage.PathLike) -> set[str]:
    """The files of the earlier result in ``path``; raises for anything else that is there."""
    try:
        if not path.exists():
            return set()
        if not path.is_dir():
            raise InputError(f"{said} is a file: name a directory to write")
        written = _written_before(path)
        there = _inside(path, deep=bool(written))
    except OSError as error:
        raise InputError(f"{said}: cannot look into it ({error.strerror})") from None
    if foreign := min(there - written, default=""):
        raise InputError(
            f"{said} holds {foreign}, which is not part of an earlier result: "
            "name a new or empty directory, or move that away"
        )
    return there & written


def _inside(path: Any, *, deep: bool) -> set[str]:
    """Names of what is in ``path``: with ``deep`` of every file, else of what lies right in it."""
    found = storage.walk(path) if deep else path.iterdir()  # do not walk through somebody's home
    names = {str(p.relative_to(path)) for p in found}
    return {name for name in names if not is_part(name.partition("/")[0])}


def _written_before(path: Any) -> set[str]:
    """The files that the manifest in ``path`` lists, itself included; none without a manifest."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return set()
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return set()
    files = manifest.get("files")
    return {MANIFEST, *map(str, files)} if isinstance(files, list) else set()


@contextlib.contextmanager
def whole_directory(out_dir: storage.PathLike) -> Iterator[pathlib.Path]:
    """A directory to fill that becomes ``out_dir`` when the block ends, and vanishes if it fails.

    Raises:
        InputError: ``out_dir`` may not be replaced (``check_out_dir``) or cannot be made.
    """
    target = check_out_dir(out_dir)
    with storage.whole_directory(target, earlier=lambda: _earlier(target, out_dir), marker=MANIFEST) as build:
        yield build
