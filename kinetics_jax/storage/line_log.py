"""An append-only file of JSON lines: a line is whole or absent, whatever kills its writer.

On a file system: one file a process, each line one write, then fsync. On an object store (``gs://…``),
which cannot append: one object a line. Readers take every file of the folder.
"""

import concurrent.futures
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from kinetics_jax.errors import InputError
from kinetics_jax.storage.paths import PathLike, is_object_store, place

T = TypeVar("T")
_READERS = 32
"""Objects of an object store that are fetched at the same time."""


class LogError(InputError):
    """A log that is damaged, in use by another process, or cannot be written."""


class LineLog:
    """The lines that one process appends to ``folder``, whose other files it leaves alone."""

    def __init__(self, folder: PathLike, stem: str, *, process: int = 0, processes: int = 1) -> None:
        """Opens (and makes) the file of this process; repairs what a kill left at its end.

        A last line without its newline is completed if it is whole JSON, whoever wrote it, else dropped.
        Nothing else of a file is ever changed.

        Args:
          folder: made if absent; a folder, or ``gs://bucket/…``.
          stem: files are ``STEM-00000-of-00001.jsonl``.
          process: number of this process.
          processes: how many there are.

        Raises ``LogError`` where another process has the file open, or it cannot be written.
        """
        self.folder = place(folder, "folder")
        self._name = f"{stem}-{process:05}-of-{processes:05}"
        self._file: int | None = None
        self._broken = ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(f"{folder}: cannot be made ({error.strerror or error})") from None
        self._run, self._count = secrets.token_hex(4), 0
        if not is_object_store(folder):
            self._path = os.path.join(os.fspath(self.folder), f"{self._name}.jsonl")
            self._file = _open_locked(self._path)
            try:
                self._repair_end()
            except BaseException:
                self.close()
                raise

    def append(self, line: str) -> None:
        """Write one line; when this returns it is on the disk, whole. ``line`` holds no newline.

        Raises ``LogError`` where it could not be written (disk full …); the file is then as before, or,
        if even that failed, the log takes no more lines.
        """
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._broken:
            raise LogError(self._broken)
        if self._file is None:
            name = f"{self._name}.{self._count:08}-{self._run}.jsonl"
            try:
                (self.folder / name).write_bytes(data)
            except OSError as error:
                reason = error.strerror or error
                raise LogError(f"{self.folder / name}: not written ({reason})") from None
            self._count += 1
            return
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(f"only {written} of {len(data)} bytes were taken: is the disk full?")
            os.fsync(self._file)
        except OSError as error:
            reason = f"{self._path}: not written ({error.strerror or error})"
            try:
                os.ftruncate(self._file, before)
            except OSError:
                self._broken = f"{reason}, and what stands half written could not be removed"
            raise LogError(self._broken or reason) from None

    def close(self) -> None:
        """Let go of the file; other processes may take it then."""
        if self._file is not None:
            os.close(self._file)
            self._file, self._broken = None, f"{self._path}: this log is closed"

    def __enter__(self) -> "LineLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repair_end(self) -> None:
        assert self._file is not None
        size = os.fstat(self._file).st_size
        whole = _end_of_last_line(self._file, size)
        if whole == size:
            return
        if _is_json(os.pread(self._file, size - whole, whole)):
            os.write(self._file, b"\n")
        else:
            os.ftruncate(self._file, whole)
        os.fsync(self._file)


def read_lines(folder: PathLike, stem: str, parse: Callable[[str], T]) -> Iterator[T]:
    """Every whole line that any process has appended, file by file in the order of their names.

    A last line that a kill cut is left out. Raises ``LogError`` for any other line that ``parse`` refuses.
    """
    root = place(folder, "folder")
    if not root.exists():
        return
    files = sorted(f for f in root.iterdir() if _is_part(f.name, stem))
    if not is_object_store(folder):
        for file in files:
            with open(os.fspath(file), "rb") as lines:
                yield from _parsed(os.fspath(file), lines, parse)
        return
    with concurrent.futures.ThreadPoolExecutor(_READERS) as threads:
        for file, data in zip(files, threads.map(lambda f: f.read_bytes(), files), strict=True):
            yield from _parsed(os.fspath(file), data.splitlines(keepends=True), parse)


def _is_json(line: bytes) -> bool:
    """Whether a line is whole, whether or not it can be understood: part of an object is never JSON."""
    try:
        json.loads(line.decode("utf-8"), parse_int=str)
    except RecursionError:
        return True
    except ValueError:  # undecodable bytes too
        return False
    return True


def _is_part(name: str, stem: str) -> bool:
    return name.startswith(f"{stem}-") and "-of-" in name and name.endswith(".jsonl")


def _parsed(path: str, lines: Any, parse: Callable[[str], T]) -> Iterator[T]:
    for number, line in enumerate(lines, 1):
        try:
            yield parse(line.decode("utf-8"))
        except (InputError, UnicodeDecodeError) as error:
            if not line.endswith(b"\n") and not _is_json(line):
                return
            raise LogError(
                f"{path}:{number}: {error}. Nothing was changed; move the line to another file to go on "
                "without it, and what it held is made anew"
            ) from None


def _open_locked(path: str) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LogError(f"{path}: cannot be opened ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(os.path.dirname(path))
    except BaseException as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            what = "another process is writing it; wait until it has ended"
        elif isinstance(error, OSError):
            what = f"cannot be locked ({error.strerror}); use a file system with locks, or gs://"
        else:
            raise
        raise LogError(f"{path}: {what}") from None
    return file


def _sync_folder(folder: str) -> None:
    """So that the name of a new file is on the disk too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _end_of_last_line(file: int, size: int) -> int:
    """The offset after the last newline."""
    end, step = size, 1 << 16
    while end > 0:
        start = max(0, end - step)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


__all__ = ["LineLog", "LogError", "PathLike", "is_object_store", "read_lines"]
