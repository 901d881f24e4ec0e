"""The header of a GGUF file (llama.cpp's format), every count of it held to the bytes that are there.

``gguf.GGUFReader`` believes the counts it reads, so that a damaged file can keep it busy for ever; only
the numbers of the format and the dequantisation come from that package.
"""

import dataclasses
import math
import mmap
import struct
from typing import Any

from kinetics_jax.models.checkpoints.checkpoint import CheckpointError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's value types as ``struct`` spells them, little-endian."""
_MAX_DIMS = 4


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tensor as the header describes it."""

    kind: str
    """Its encoding, ``Q4_1`` or ``F32``."""
    shape: tuple[int, ...]
    """Slowest dim first, as NumPy and Hugging Face have it (GGUF writes the reverse)."""
    start: int
    """Offset of its first byte in the file."""
    row_bytes: int
    """Bytes of one row, the fastest dim: rows are whole blocks."""

    @property
    def bytes(self) -> int:
        """Of all rows."""
        return math.prod(self.shape[:-1]) * self.row_bytes


def read_header(data: mmap.mmap, where: str) -> tuple[dict[str, Any], dict[str, Entry]]:
    """Metadata fields (numbers, text, lists of them) and tensors by name.

    Raises ``CheckpointError`` opening with ``where``; it names the tensor or the field.
    """
    cursor = _Cursor(data, where)
    if cursor.take(4) != _MAGIC:
        raise CheckpointError(f"{where}: not a GGUF file (it does not begin with 'GGUF')")
    version = cursor.number("I")
    if version not in _VERSIONS:
        raise CheckpointError(f"{where}: GGUF version {version}; only 2 and 3 can be read")
    tensors, fields = cursor.number("Q"), cursor.number("Q")
    found: dict[str, Any] = {}
    for _ in range(cursor.count(fields, 13, "fields")):
        name = cursor.text("the name of a field")
        if name in found:
            raise CheckpointError(f"{where}: field {name[:80]!r} is there twice")
        found[name] = cursor.value(cursor.number("I"), name)
    listed = [cursor.tensor() for _ in range(cursor.count(tensors, 24, "tensors"))]
    alignment = found.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(f"{where}: general.alignment={alignment!r} is not a power of two")
    begin = -(-cursor.at // alignment) * alignment
    placed: dict[str, Entry] = {}
    for name, shape, kind, offset in listed:
        if name in placed:
            raise CheckpointError(f"{where}: tensor {name[:80]!r} is there twice")
        placed[name] = _place(name, shape, kind, begin + offset, len(data), where)
    return found, placed


def _place(name: str, shape: tuple[int, ...], kind: int, start: int, size: int, where: str) -> Entry:
    """A tensor's entry, once it is known to lie inside the file."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        encoding = GGMLQuantizationType(kind)
        block, block_bytes = GGML_QUANT_SIZES[encoding]
    except (ValueError, KeyError):
        raise CheckpointError(f"{where}: tensor {name[:80]!r} has unknown type {kind}") from None
    if shape[-1] % block:
        raise CheckpointError(
            f"{where}: tensor {name[:80]!r} has rows of {shape[-1]}, no multiple of the {block} "
            f"elements of a {encoding.name} block"
        )
    entry = Entry(encoding.name, shape, start, shape[-1] // block * block_bytes)
    if start + entry.bytes > size:
        raise CheckpointError(
            f"{where}: tensor {name[:80]!r} needs bytes {start}…{start + entry.bytes} of a file of "
            f"{size}: it is truncated or damaged"
        )
    return entry


class _Cursor:
    """Reads on from one place, never beyond the end."""

    def __init__(self, data: mmap.mmap, where: str) -> None:
        self.data, self.where, self.at = data, where, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise CheckpointError(f"{self.where}: the header is truncated or damaged at {self.at}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def count(self, claimed: int, least_bytes: int, what: str) -> int:
        """``claimed``, if that many things of at least so many bytes fit what is left."""
        if claimed * least_bytes > len(self.data) - self.at:
            raise CheckpointError(f"{self.where}: claims {claimed} {what}, more than fit the file")
        return claimed

    def text(self, what: str) -> str:
        raw = self.take(self.number("Q"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(f"{self.where}: {what} is not UTF-8") from None

    def value(self, kind: int, name: str) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text(f"field {name[:80]!r}")
        if kind != _ARRAY:
            raise CheckpointError(f"{self.where}: field {name[:80]!r} has unknown type {kind}")
        inner, length = self.number("I"), self.number("Q")
        if inner in _SCALARS:
            form = _SCALARS[inner]
            self.count(length, struct.calcsize(form), f"values of field {name[:80]!r}")
            return list(struct.unpack(f"<{length}{form}", self.take(length * struct.calcsize(form))))
        if inner != _STRING:  # arrays of arrays are allowed by the format and used by no model
            raise CheckpointError(f"{self.where}: field {name[:80]!r} lists unknown type {inner}")
        self.count(length, 8, f"values of field {name[:80]!r}")
        return [self.text(f"field {name[:80]!r}") for _ in range(length)]

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape (slowest dim first), type and offset after the header."""
        name = self.text("the name of a tensor")
        dims = self.number("I")
        if not 1 <= dims <= _MAX_DIMS:
            raise CheckpointError(f"{self.where}: tensor {name[:80]!r} has {dims} dims")
        shape = tuple(self.number("Q") for _ in range(dims))[::-1]
        if 0 in shape:
            raise CheckpointError(f"{self.where}: tensor {name[:80]!r} is empty")
        return name, shape, self.number("I"), self.number("Q")
