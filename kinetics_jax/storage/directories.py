"""A directory that appears whole or not at all, on a file system or in an object store.

What a run writes goes into a hidden sibling, is flushed to the disk, and is then renamed into place. Where
the directory is there and cannot be renamed (a mount, a folder in somebody else's, other files in it that
stay), files are moved into it, the marker last; in an object store they are built on this machine's disk and
copied up, the marker last. A directory without its marker is no result.
"""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from kinetics_jax.storage.paths import PathError, is_object_store

_PART = re.compile(r"\.[0-9a-f]{8}\.part")


@contextlib.contextmanager
def whole_directory(target: Any, *, earlier: Callable[[], set[str]], marker: str) -> Iterator[pathlib.Path]:
    """A directory to fill that becomes ``target`` when the block ends, and vanishes if it fails.

    Args:
      target: its place, links resolved: a ``pathlib.Path``, or an ``epath.Path`` of an object store.
      earlier: gives the files of an earlier result at ``target``, which are replaced; raises for what may
        not be. Asked before the block and after it.
      marker: the file that says that a result is whole.

    Raises ``PathError`` where ``target`` cannot be made, and what ``earlier`` raises.
    """
    earlier()
    store = is_object_store(target)
    fixed = not store and target.is_dir() and not _may_be_renamed(target)
    build = _build_place(target, store, inside=fixed)
    try:
        yield build
        replaced = earlier()
        if store:
            _upload(build, target, replaced, marker)
        else:
            flush(build)
            if fixed or _holds_more(target, replaced):
                _move_up(build, target, replaced, marker)
            else:
                _rename(build, target)
    finally:
        shutil.rmtree(build, ignore_errors=True)


def is_part(name: str) -> bool:
    """Whether this name in a directory is what a killed run left of building it there."""
    return bool(_PART.fullmatch(name))


def walk(folder: Any) -> Iterator[Any]:
    """Every file under ``folder``, links as they are; ``folder`` is a path of either kind."""
    for path in folder.iterdir():
        link = isinstance(path, pathlib.Path) and path.is_symlink()
        if path.is_dir() and not link:
            yield from walk(path)
        else:
            yield path


def flush(folder: pathlib.Path) -> None:
    """Everything under ``folder``, and then it, to the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync(path)
    _sync(folder)


def _build_place(target: Any, store: bool, *, inside: bool) -> pathlib.Path:
    if store:
        return pathlib.Path(tempfile.mkdtemp(prefix="kinetics-"))
    part = f".{secrets.token_hex(4)}.part"
    build = target / part if inside else target.with_name(f".{target.name}{part}")
    try:
        build.parent.mkdir(parents=True, exist_ok=True)
        build.mkdir()
    except OSError as error:
        raise PathError(f"{target}: cannot write there ({error.strerror})") from None
    return build


def _may_be_renamed(target: pathlib.Path) -> bool:
    return os.access(target.parent, os.W_OK | os.X_OK) and not os.path.ismount(target)


def _holds_more(target: pathlib.Path, files: set[str]) -> bool:
    """Whether there are files in ``target`` besides these."""
    if not target.is_dir():
        return False
    return any(path.relative_to(target).as_posix() not in files for path in walk(target))


def _rename(build: pathlib.Path, target: pathlib.Path) -> None:
    """An earlier result steps aside first and comes back should the rename fail."""
    if not target.exists():
        build.rename(target)
    else:
        earlier = build.with_suffix(".old")
        try:
            target.rename(earlier)
            build.rename(target)
        finally:  # a signal may strike between the two
            if not target.exists():
                earlier.rename(target)
            shutil.rmtree(earlier, ignore_errors=True)
    _sync(target.parent)


def _move_up(build: pathlib.Path, target: pathlib.Path, replaced: set[str], marker: str) -> None:
    _remove(target, replaced, marker)
    for path in _marker_last(build, marker):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (build / path).rename(target / path)
    _sync(target)


def _upload(build: pathlib.Path, target: Any, replaced: set[str], marker: str) -> None:
    _remove(target, replaced, marker)
    for path in _marker_last(build, marker):
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((build / path).read_bytes())


def _remove(target: Any, files: set[str], marker: str) -> None:
    """An earlier result, the marker first."""
    for name in sorted(files, key=lambda name: name != marker):
        (target / name).unlink(missing_ok=True)


def _marker_last(build: pathlib.Path, marker: str) -> list[str]:
    files = [path.relative_to(build).as_posix() for path in walk(build)]
    return sorted(files, key=lambda name: (name == marker, name))


def _sync(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
