"""The lines of a text file, plain or gzipped, counted and hashed while they are read.

Junk fails at its first line: binary data, text that is not UTF-8, and endless lines are errors that
name the file and the line.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from kinetics_jax.spec.errors import InputError

FIRST_LINE_BYTES = 4 << 20
"""No header, metadata line or first record is longer; a file of one endless line fails here."""
LINE_BYTES = 256 << 20
"""A line of the published generations holds all 32 answers to a question."""
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
        except OSError as error:
            text = error.strerror or error.__class__.__name__
            raise InputError(f"{self.path}: {text}. Give the path of a trials file.") from None
        buffered = io.BufferedReader(self._raw, 1 << 20)
        zipped = buffered.peek(2)[:2] == b"\x1f\x8b"
        self._stream: BinaryIO = gzip.GzipFile(fileobj=buffered) if zipped else buffered  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._raw.close()

    def first(self) -> str:
        """The first line that is not blank."""
        for line in self._read(FIRST_LINE_BYTES):
            return line.removeprefix("\ufeff")
        raise InputError(f"{self.path}:1: the file is empty. Is it the file you meant?")

    def __iter__(self) -> Iterator[str]:
        return self._read(LINE_BYTES)

    def _read(self, limit: int) -> Iterator[str]:
        while line := self._next_line(limit):
            if b"\0" in line:
                raise self.error("binary data (a zero byte)", f"expected {KINDS}")
            if len(line) > limit:
                raise self.error(f"a line of more than {limit >> 20} MiB", f"expected {KINDS}")
            self.torn = not line.endswith(b"\n")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                raise self.error("not UTF-8 text", f"expected {KINDS}") from None
            if text.strip():
                yield text

    def _next_line(self, limit: int) -> bytes:
        self.number += 1
        try:
            return self._stream.readline(limit + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise self.error("the gzip data is cut off or damaged", "copy the file again") from None
        except OSError as error:
            raise self.error(error.strerror or "cannot be read", "give a readable file") from None

    def error(self, what: str, mend: str) -> InputError:
        """An error at the line last given out."""
        return InputError(f"{self.path}:{self.number}: {what}. {mend[:1].upper()}{mend[1:]}")

    def mend(self) -> str:
        """What to do about a record that is not whole."""
        if self.torn:
            return "the last line is torn: delete it, or resume the run, which writes it anew"
        return "mend or delete the line"

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
