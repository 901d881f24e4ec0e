"""A directory that appears whole or not at all.

What a run writes goes into a hidden sibling, is flushed to the disk, and is then renamed into place. An
earlier result is replaced only if every file in it is on its own list: nobody's notes are lost. A
process killed while it writes leaves its hidden ``.….part`` aside, and one killed between the two
renames of a replacement the earlier result, as ``.….old``; both may be deleted.
"""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from kinetics_jax.spec.errors import InputError

MANIFEST = "law.json"
"""The file whose ``format`` and ``files`` say which files of a directory a run wrote."""
FORMAT = "kinetics-jax law"


def check_out_dir(out_dir: str | os.PathLike[str]) -> Path:
    """The directory to write, with links resolved, if it may be written or replaced.

    Raises:
        InputError: it is a file, or holds anything but a finished result of this program.
    """
    path = Path(os.path.realpath(out_dir))
    try:
        if not path.exists():
            return path
        if not path.is_dir():
            raise InputError(f"{out_dir} is a file: name a directory to write")
        foreign = _foreign(path)
    except OSError as error:
        raise InputError(f"{out_dir}: cannot look into it ({error.strerror})") from None
    if foreign:
        raise InputError(
            f"{out_dir} holds {foreign}, which is not part of an earlier result: "
            "name a new or empty directory, or move that away"
        )
    return path


def _foreign(path: Path) -> str:
    """The first thing in ``path`` that no finished run wrote; empty text where there is none."""
    written = _written_before(path)
    inside = path.rglob("*") if written else path.iterdir()  # do not walk through somebody's home
    names = (str(p.relative_to(path)) for p in inside if not written or _is_file(p))
    return min((name for name in names if name not in written), default="")


def _is_file(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _written_before(path: Path) -> set[str]:
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
def whole_directory(out_dir: str | os.PathLike[str]) -> Iterator[Path]:
    """A directory to fill that becomes ``out_dir`` when the block ends, and vanishes if it fails.

    Raises:
        InputError: ``out_dir`` may not be replaced (``check_out_dir``) or cannot be made.
    """
    target = check_out_dir(out_dir)
    build = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        build.mkdir()
    except OSError as error:
        raise InputError(f"{out_dir}: cannot write there ({error.strerror})") from None
    try:
        yield build
        _flush(build)
        check_out_dir(target)  # someone may have put something there meanwhile
        _put_in_place(build, target)
    finally:
        shutil.rmtree(build, ignore_errors=True)


def _put_in_place(build: Path, target: Path) -> None:
    """Rename; an earlier result steps aside first and comes back should the rename fail."""
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


def _flush(folder: Path) -> None:
    """Everything under ``folder``, and then it, to the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
