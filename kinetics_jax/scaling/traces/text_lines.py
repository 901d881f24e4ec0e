"""The lines of a text file, plain or gzipped, counted and hashed while they are read.

Lines end as any system ends them (LF, CRLF, CR). Junk fails at its first line: binary data, text that is
not UTF-8, and endless lines are errors that name the file and the line.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from kinetics_jax.checks import is_text
from kinetics_jax.errors import InputError

T = TypeVar("T")

FIRST_LINE_BYTES = 4 << 20
"""No header, metadata line or first record is longer; a file of one endless line fails here."""
LINE_BYTES = 256 << 20
"""A line of the published generations holds all 32 answers to a question."""
_FORMATS = (
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it first, or compress it with gzip"),
    (b"\xfd7zXZ\x00", "compressed with xz", "decompress it first, or compress it with gzip"),
    (b"BZh", "compressed with bzip2", "decompress it first, or compress it with gzip"),
    (b"PK\x03\x04", "a workbook or a zip archive", "save the table in it as CSV (UTF-8)"),
    (b"PAR1", "a Parquet file", "write its table as CSV"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"),
)
"""First bytes of files that are no trials as they stand: what they are, and what to do."""
KINDS = (
    "a sample record (JSON with problem_id), a Kinetics-generations metadata line (JSON with "
    "attn_local) or a CSV header (model,dataset,problem_id,trial,gen_tokens,correct,…)"
)


class Lines:
    """The text lines of a file, plain or gzipped, counted and hashed while they are read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.number = 0
        """Number of the last line given out, from 1."""
        self.torn = False
        """Whether that line ends without a newline, as the last line of a cut file does."""

    def __enter__(self) -> "Lines":
        try:
            self._raw = _HashingFile(open(self.path, "rb", buffering=0))
        except (OSError, ValueError) as error:  # ValueError: no file can have that name
            text = getattr(error, "strerror", None) or "no file can be called so"
            raise InputError(f"{self.path!s}: {text}. Give the path of a trials file.") from None
        buffered = io.BufferedReader(self._raw, 1 << 20)
        self._bytes: Any = buffered
        if self._first_bytes().startswith(b"\x1f\x8b"):
            self._bytes = io.BufferedReader(gzip.GzipFile(fileobj=buffered), 1 << 20)
        # Bytes that are no UTF-8 become surrogates, so that the line that holds them can be named.
        self._stream = io.TextIOWrapper(self._bytes, "utf-8", "surrogateescape", newline=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._raw.close()

    def first(self) -> str:
        """The first line that is not blank."""
        begin = self._first_bytes()
        for signature, what, advice in _FORMATS:
            if begin.startswith(signature):
                self.number = 1
                raise self.error(what, advice)
        for line in self._read(FIRST_LINE_BYTES):
            if line.strip():
                return line
        raise InputError(f"{self.path}:1: the file is empty. Is it the file you meant?")

    def __iter__(self) -> Iterator[str]:
        """The lines that follow and are not blank."""
        return (line for line in self._read(LINE_BYTES) if line.strip())

    def all(self) -> Iterator[str]:
        """The lines that follow: a blank one may be part of a quoted CSV field."""
        return self._read(LINE_BYTES)

    def _read(self, limit: int) -> Iterator[str]:
        while line := self._next_line(limit):
            if "\0" in line:
                raise self.error("binary data (a zero byte)", f"expected {KINDS}")
            if len(line) > limit:
                raise self.error(f"a line of more than {limit >> 20} MiB", f"expected {KINDS}")
            self.torn = not line.endswith("\n")
            if not is_text(line):
                raise self.error("not UTF-8 text", f"save it as UTF-8; expected {KINDS}")
            yield line.removeprefix("\ufeff")

    def _first_bytes(self) -> bytes:
        """What the file, or what is packed in it, begins with."""
        self.number = 1
        begin = self._guarded(lambda: self._bytes.peek(8)[:8])
        self.number = 0
        return begin

    def _next_line(self, limit: int) -> str:
        self.number += 1
        return self._guarded(lambda: self._stream.readline(limit + 1))

    def _guarded(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise self.error("the gzip data is cut off or damaged", "copy the file again") from None
        except OSError as error:
            raise self.error(error.strerror or "cannot be read", "give a readable file") from None

    def error(self, what: str, advice: str) -> InputError:
        """An error at the line last given out."""
        return InputError(f"{self.path}:{self.number}: {what}. {advice[:1].upper()}{advice[1:]}")

    def advice(self) -> str:
        """What to do about a record that is not whole."""
        if self.torn:
            return "the last line is torn: delete it, or resume the run, which writes it anew"
        return "correct or delete the line"

    def sha256(self) -> str:
        """SHA-256 of the whole file, once all lines are read."""
        while self._raw.read(1 << 20):
            pass
        return self._raw.sha256.hexdigest()


class _HashingFile(io.RawIOBase):
    """A file that hashes what is read from it."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(buffer)
        self.sha256.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
