"""A GGUF file, its parts, or the one inside a zip or wheel: header, and rows of tensors in float32."""

import mmap
import pathlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from kinetics_jax.models.checkpoints.checkpoint import CheckpointError
from kinetics_jax.models.checkpoints.gguf.header import Entry, read_header
from kinetics_jax.shapes.hf_fields import short
from kinetics_jax.storage.impostors import impostor

SUFFIXES = (".gguf", ".zip", ".whl")
_MOST_COMPRESSION = 64
"""Weights hardly shrink; an archive that claims to grow more than this is a bomb."""
_COPIED_AT_A_TIME = 2**20
_PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class GgufFile:
    """Metadata ``fields``, ``tensors`` by name, and their values, of all parts of a split file."""

    def __init__(self, path: pathlib.Path) -> None:
        """Open and check the header. Raises ``CheckpointError`` naming file and tensor."""
        try:
            import gguf.quants
        except ImportError as error:
            raise CheckpointError(
                f"{path}: reading GGUF needs the package gguf: pip install 'kinetics-jax[gguf]'"
            ) from error
        self._dequantize, self._kinds = gguf.quants.dequantize, gguf.GGMLQuantizationType
        first = _Part(path)
        parts = [first, *_other_parts(first)]
        parts.sort(key=lambda part: part.number)
        self.path, self.where, self.fields = path, first.where, parts[0].fields
        self._part_of = {name: part for part in parts for name in part.tensors}
        self.tensors: dict[str, Entry] = {name: part.tensors[name] for name, part in self._part_of.items()}
        stored = sum(len(part.tensors) for part in parts)
        if len(self.tensors) != stored or self.fields.get("split.tensors.count", stored) != stored:
            raise CheckpointError(f"{self.where}: its parts do not make up one model")

    def rows(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """These rows of tensor ``name`` in float32, ``[rows, columns]``; its leading dims are merged.

        Raises ``CheckpointError`` where the encoding cannot be decoded.
        """
        entry = self.tensors[name]
        stored = np.frombuffer(self._part_of[name].data, np.uint8, entry.bytes, entry.start)
        chosen = stored.reshape(-1, entry.row_bytes)[np.asarray(rows)]
        if entry.kind in ("F32", "F16"):
            return chosen.view({"F32": "<f4", "F16": "<f2"}[entry.kind]).astype(np.float32)
        try:
            return self._dequantize(chosen, self._kinds[entry.kind])
        except NotImplementedError as error:
            raise CheckpointError(
                f"{self.where}: tensor {name!r} is {entry.kind}, which cannot be decoded"
            ) from error

    def text(self, field: str, default: str | None = None) -> str:
        """A metadata field that must be text."""
        return self._typed(field, str, default)

    def listed(self, field: str, kind: type) -> list[Any]:
        """A metadata field that must be a list of ``kind``."""
        found = self._typed(field, list, None)
        if not all(isinstance(value, kind) for value in found):
            raise CheckpointError(f"{self.where}: field {field} must list {kind.__name__} values")
        return found

    def _typed(self, field: str, kind: type, default: Any) -> Any:
        found = self.fields.get(field, default)
        if not isinstance(found, kind):
            problem = "is missing" if found is None else f"must be {kind.__name__}"
            raise CheckpointError(f"{self.where}: field {field} {problem}")
        return found


class _Part:
    """One file: its mapped bytes, its header, and its place (from 0) among the parts of a split model."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        if path.suffix == ".gguf" and (problem := impostor(path)):
            raise CheckpointError(f"{path}: {problem}")
        try:
            file, self.where = _open(path)
            with file:  # the map outlives it
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # a file of no bytes cannot be mapped
            raise CheckpointError(f"{path}: cannot be read ({error})") from error
        self.fields, self.tensors = read_header(self.data, self.where)
        self.number, self.count = self._whole("split.no", 0), self._whole("split.count", 1)

    def _whole(self, field: str, default: int) -> int:
        found = self.fields.get(field, default)
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise CheckpointError(f"{self.where}: field {field}={short(found)} must be a number of parts")
        return found


def _other_parts(part: _Part) -> list[_Part]:
    """The files beside a part of a split model that hold the rest of it."""
    if part.count in (0, 1):
        return []
    named = _PART_NAME.fullmatch(part.path.name)
    if named is None or int(named["count"]) != part.count or int(named["number"]) != part.number + 1:
        raise CheckpointError(
            f"{part.where}: is part {part.number + 1} of a model split into {part.count}; its name "
            "must end in -00001-of-0000N.gguf with the right numbers, as llama.cpp names parts"
        )
    found = []
    for number in range(part.count):
        if number == part.number:
            continue
        path = part.path.with_name(f"{named['stem']}-{number + 1:05}-of-{part.count:05}.gguf")
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; it is a part of the same model as {part.path.name}")
        other = _Part(path)
        if (other.number, other.count) != (number, part.count):
            raise CheckpointError(f"{path}: is not the part of the model that its name says")
        found.append(other)
    return found


def _open(path: pathlib.Path) -> tuple[IO[bytes], str]:
    """The file itself, or a temporary copy of an archive's only ``.gguf``; and how errors call it."""
    if path.suffix == ".gguf":
        return path.open("rb"), str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise CheckpointError(f"{path}: holds {len(names)} .gguf files, not one")
            info = archive.getinfo(names[0])
            if info.file_size > _MOST_COMPRESSION * max(path.stat().st_size, 1):
                raise CheckpointError(f"{path}: {names[0]} claims to unpack {info.file_size} bytes")
            copy = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this function
            with archive.open(info) as source:
                while part := source.read(_COPIED_AT_A_TIME):
                    copy.write(part)
            copy.flush()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a readable zip archive ({error})") from error
    return copy, f"{path}/{names[0]}"
