"""A GGUF file on disk, or the one inside a zip or wheel: its header, and rows of its tensors in float32."""

import mmap
import pathlib
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from kinetics_jax.models.checkpoint import CheckpointError
from kinetics_jax.models.gguf.header import read_header

SUFFIXES = (".gguf", ".zip", ".whl")
_MOST_COMPRESSION = 64
"""Weights hardly shrink; an archive that claims to grow more than this is a bomb."""
_COPIED_AT_A_TIME = 2**20


class GgufFile:
    """Metadata ``fields``, ``tensors`` by name, and their values."""

    def __init__(self, path: pathlib.Path) -> None:
        """Open and check the header. Raises ``CheckpointError`` naming file and tensor."""
        try:
            import gguf.quants
        except ImportError as error:
            raise CheckpointError(
                f"{path}: reading GGUF needs the package gguf: pip install 'kinetics-jax[gguf]'"
            ) from error
        self._dequantize, self._kinds = gguf.quants.dequantize, gguf.GGMLQuantizationType
        self.path = path
        try:
            self._file, self.where = _open(path)
            self._data = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # a file of no bytes cannot be mapped
            raise CheckpointError(f"{path}: cannot be read ({error})") from error
        self.fields, self.tensors = read_header(self._data, self.where)

    def rows(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """These rows of tensor ``name`` in float32, ``[rows, columns]``; its leading dims are merged.

        Raises ``CheckpointError`` where the encoding cannot be decoded.
        """
        entry = self.tensors[name]
        stored = np.frombuffer(self._data, np.uint8, entry.bytes, entry.start)
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
