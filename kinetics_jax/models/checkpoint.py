"""Reading a folder of safetensors files: what is in it, and any region of any tensor of it.

Nothing is allocated from what a file merely claims: the reader checks every header against the file's
real size first. One file is mapped at a time. Pickle files are never opened.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from kinetics_jax import storage
from kinetics_jax.spec import InputError
from kinetics_jax.spec.hf_fields import read_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_REMAP_BYTES = 64 * 2**20
"""A mapped file's pages count as ours once touched; mapping it anew after this many lets them go."""
_DTYPES = ("BF16", "F16", "F32")
_TOKENIZER_AND_CONFIG = ["*.safetensors", "*.json", "*.jinja", "*.txt"]


class CheckpointError(InputError):
    """A checkpoint that is truncated, corrupt, hostile or of another model; names file and tensor."""


@dataclasses.dataclass(frozen=True)
class Stored:
    """One tensor as its file describes it."""

    file: pathlib.Path
    dtype: str
    shape: tuple[int, ...]


class Tensors(Protocol):
    """What loading needs of a checkpoint, whatever its format."""

    folder: pathlib.Path
    """What errors call it."""
    tensors: dict[str, Stored]
    """By their Hugging Face names."""

    def read(self, key: str, region: Sequence[slice]) -> np.ndarray:
        """A copy of one region of tensor ``key``. Raises ``CheckpointError``."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Checkpoint:
    """The tensors of one folder, by name."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Read every header. Raises ``CheckpointError`` where a file is missing or malformed."""
        self.folder = folder
        self.tensors: dict[str, Stored] = {}
        self._open: tuple[pathlib.Path, Any] | None = None
        self._touched = 0
        for file, expected in _files(folder).items():
            found = self._read_header(file)
            if expected is not None:
                _check_index(folder / INDEX, file, set(found), expected)
            self.tensors |= found

    def _read_header(self, file: pathlib.Path) -> dict[str, Stored]:
        handle = self._handle(file)
        found = {}
        for key in handle.keys():  # noqa: SIM118 - a safe_open handle is not a mapping
            view = handle.get_slice(key)
            dtype = view.get_dtype()
            if dtype not in _DTYPES:
                raise CheckpointError(
                    f"{file}: tensor {key!r} is {dtype}; only {', '.join(_DTYPES)} can be loaded"
                )
            found[key] = Stored(file, dtype, tuple(view.get_shape()))
        return found

    def read(self, key: str, region: Sequence[slice]) -> np.ndarray:
        """A copy of one region of tensor ``key``, in its stored dtype."""
        file = self.tensors[key].file
        if self._touched > _REMAP_BYTES:
            self.close()
        try:
            found = np.asarray(self._handle(file).get_slice(key)[tuple(region)])
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{file}: tensor {key!r} cannot be read ({error})") from error
        self._touched += found.nbytes
        return found

    def close(self) -> None:
        """Let go of the file that is mapped."""
        self._open, self._touched = None, 0

    def _handle(self, file: pathlib.Path) -> Any:
        if self._open is None or self._open[0] != file:
            self.close()  # unmap the old file before mapping the next
            if file.exists() and not file.is_file():  # a pipe or a device might never end
                raise CheckpointError(f"{file}: not a plain file")
            try:
                self._open = (file, safe_open(file, framework="numpy"))
            except FileNotFoundError as error:
                raise CheckpointError(f"{file}: no such file") from error
            except (SafetensorError, OSError, ValueError) as error:
                raise CheckpointError(
                    f"{file}: not a readable safetensors file ({error})"
                ) from error
        return self._open[1]


def _files(folder: pathlib.Path) -> dict[pathlib.Path, set[str] | None]:
    """Each file of the checkpoint → the tensors that the index puts in it (None: no index)."""
    if (folder / SINGLE).is_file():
        return {folder / SINGLE: None}
    if not (folder / INDEX).is_file():
        pickled = next(
            (p.name for p in sorted(folder.glob("*")) if p.suffix in (".bin", ".pt")), ""
        )
        mend = f"; {pickled} is pickle, which is never read: convert it" if pickled else ""
        raise CheckpointError(f"{folder}: holds neither {SINGLE} nor {INDEX}{mend}")
    index = folder / INDEX
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise CheckpointError(f"{index}: weight_map is missing, empty or not an object")
    files: dict[pathlib.Path, set[str] | None] = {}
    for key, name in placed.items():
        plain = isinstance(name, str) and pathlib.PurePath(name).name == name and "\0" not in name
        if not plain or not name.endswith(".safetensors") or "\\" in name:
            raise CheckpointError(
                f"{index}: tensor {key!r} is placed in {str(name)[:80]!r}; it must be a .safetensors "
                "file of the same folder"
            )
        expected = files.setdefault(folder / name, set())
        assert expected is not None
        expected.add(key)
    return files


def _check_index(
    index: pathlib.Path, file: pathlib.Path, found: set[str], expected: set[str]
) -> None:
    for keys, problem in ((expected - found, "lacks"), (found - expected, "also holds")):
        if keys:
            raise CheckpointError(f"{file}: {problem} tensor {min(keys)!r}, against {index.name}")


def locate(path: str | pathlib.Path) -> pathlib.Path:
    """The folder of a checkpoint: ``path`` itself, or a hub repository (``org/name``) once downloaded.

    Raises ``CheckpointError`` where there is neither, or the hub cannot be asked.
    """
    path = path if isinstance(path, pathlib.Path) else storage.source(path, "model")
    folder = storage.local(path, "model")
    if folder.is_dir():
        return folder
    if not isinstance(path, str) or path.count("/") != 1 or path[0] in "./~":
        raise CheckpointError(f"{path}: no such folder (a hub name looks like 'org/name')")
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise CheckpointError(
            f"{path}: no such folder, and huggingface_hub is not installed to look for it on the hub"
        ) from error
    try:
        found = huggingface_hub.snapshot_download(path, allow_patterns=_TOKENIZER_AND_CONFIG)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = (
            str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        )
        raise CheckpointError(
            f"{path}: no such folder, and the hub did not give it ({reason})"
        ) from error
    return pathlib.Path(found)
