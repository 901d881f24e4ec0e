"""Whether a command may write where it is told to, asked before any work; nothing is left behind."""

import os
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

from kinetics_jax.storage.paths import PathError, PathLike, expand, is_object_store, local, place


def output_folder(
    path: PathLike, name: str = "--out", *, sources: Iterable[tuple[str, PathLike]] = (), stores: str = ""
) -> str:
    """The folder or object-store URL to write, if it can be made or written; nothing is left there.

    Whose files are there already is for the caller to ask: it knows its own.

    Args:
      path: what the user wrote.
      name: what errors call it.
      sources: (flag, path) of what is read; the folder must lie apart from all of it.
      stores: empty where object stores will do; else what to do instead of writing there.

    Raises ``PathError`` for a file, a place that cannot be written, and one that overlaps a source.
    """
    text = expand(path, name)
    if is_object_store(text):
        if stores:
            local(text, name, why=stores)
        _check_reached(place(text, name), text, name)
        return text
    folder = pathlib.Path(text)
    if _exists(folder, name) and not folder.is_dir():
        raise PathError(f"{name}={text} is a file: name a folder to write")
    _check_writable(folder, f"{name}={text}")
    for flag, source in sources:
        if what := overlap(folder, source):
            raise PathError(f"{name}={text} {what} {flag}={source}: name another folder")
    return text


def output_file(path: PathLike, name: str, *, stores: str = "give a file here") -> pathlib.Path:
    """The local file to write, if it can be made or written; nothing is left there. Raises ``PathError``."""
    file = local(path, name, why=stores)
    if _exists(file, name) and file.is_dir():
        raise PathError(f"{name}={file} is a folder; give a file")
    if os.fspath(path).endswith("/"):
        raise PathError(f"{name}={path} ends like a folder; give a file")
    _check_writable(file, f"{name}={file}")
    return file


def overlap(out: PathLike, source: PathLike) -> str:
    """How the folder ``out`` and what is read from ``source`` lie in each other; empty where they do not.

    Links are followed, and names that differ but mean one place (another case, a mount) are seen.
    """
    if is_object_store(out) or is_object_store(source):
        same = os.fspath(out).rstrip("/") == os.fspath(source).rstrip("/")
        return "is the same place as" if same else ""
    here, there = (pathlib.Path(os.path.realpath(place)) for place in (out, source))
    if not there.exists():
        return ""
    if _same(here, there):
        return "is the same place as"
    if there.is_dir() and any(_same(parent, there) for parent in here.parents):
        return "lies inside"
    if there.is_dir() and any(_same(parent, here) for parent in there.parents):
        return "holds"
    return ""


def _same(first: pathlib.Path, second: pathlib.Path) -> bool:
    try:
        return first == second or os.path.samefile(first, second)
    except OSError:
        return False


def _exists(path: pathlib.Path, name: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        if path.is_symlink():
            raise PathError(f"{name}={path} is a link to nothing; remove it") from None
        return False
    except NotADirectoryError:
        raise PathError(f"{name}={path} cannot be made: a part of the path is a file") from None
    except OSError as error:
        raise PathError(f"{name}={path} cannot be made: {error.strerror}") from None
    return True


def _check_writable(path: pathlib.Path, said: str) -> None:
    """That the path, or the nearest folder above it that is there, may be written."""
    nearest = next((folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder)), path)
    needed = os.W_OK | (os.X_OK if nearest.is_dir() else 0)
    if not os.access(nearest, needed):
        raise PathError(f"{said}: {nearest} may not be written; name another place")
    if nearest.is_dir():
        try:  # permissions do not say all: quotas, read-only mounts, /proc
            os.rmdir(tempfile.mkdtemp(prefix=".kinetics-", dir=nearest))
        except OSError as error:
            raise PathError(f"{said}: {nearest} cannot be written ({error.strerror})") from None


def _check_reached(folder: Any, text: str, name: str) -> None:
    """Credentials, bucket and network, before work and not after it."""
    try:
        folder.exists()
    except Exception as error:  # noqa: BLE001 - every store's library has errors of its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PathError(f"{name}={text}: the store cannot be reached ({reason})") from None
