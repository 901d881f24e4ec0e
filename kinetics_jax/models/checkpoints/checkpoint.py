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
from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.stored_names import NamesError, canonical_names, is_buffer
from kinetics_jax.shapes.hf_fields import read_json
from kinetics_jax.storage.impostors import impostor

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_REMAP_BYTES = 64 * 2**20
"""A mapped file's pages count as ours once touched; mapping it anew after this many lets them go."""
_DTYPES = ("BF16", "F16", "F32", "F64")
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

    def __init__(self, folder: pathlib.Path, *, tied: bool = False) -> None:
        """Read every header. ``tied``: a head that is stored alone is the embedding.

        Raises ``CheckpointError`` where a file is missing or malformed, or names can be read in two ways.
        """
        self.folder = folder
        self._open: tuple[pathlib.Path, Any] | None = None
        self._touched = 0
        stored: dict[str, Stored] = {}
        for file, expected in _files(folder).items():
            found = self._read_header(file)
            if expected is not None:
                _check_index(folder / INDEX, file, set(found), expected)
            stored |= found
        try:
            self._names = canonical_names(stored, folder, tied=tied)
        except NamesError as error:
            raise CheckpointError(str(error)) from error
        self.tensors: dict[str, Stored] = {key: stored[name] for key, name in self._names.items()}

    def _read_header(self, file: pathlib.Path) -> dict[str, Stored]:
        handle = self._handle(file)
        found = {}
        for key in handle.keys():  # noqa: SIM118 - a safe_open handle is not a mapping
            view = handle.get_slice(key)
            dtype = view.get_dtype()
            if dtype not in _DTYPES and not is_buffer(key):
                raise CheckpointError(
                    f"{file}: tensor {key!r} is {dtype}; only {', '.join(_DTYPES)} can be loaded "
                    "(quantised checkpoints of this kind are not supported: take the one they were made from)"
                )
            found[key] = Stored(file, dtype, tuple(view.get_shape()))
        return found

    def read(self, key: str, region: Sequence[slice]) -> np.ndarray:
        """A copy of one region of tensor ``key``, in its stored dtype."""
        file = self.tensors[key].file
        if self._touched > _REMAP_BYTES:
            self.close()
        try:
            view = self._handle(file).get_slice(self._names[key])
            found = np.asarray(view[tuple(region)])
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
            except (SafetensorError, OSError, ValueError) as error:
                unread = f"not a readable safetensors file ({error}){_remedy(str(error))}"
                raise CheckpointError(f"{file}: {impostor(file) or unread}") from error
        return self._open[1]


def _files(folder: pathlib.Path) -> dict[pathlib.Path, set[str] | None]:
    """Each file of the checkpoint → the tensors that the index puts in it (None: no index)."""
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file() or (single.is_symlink() and not index.is_file()):
        return {single: None}
    if not index.is_file():
        problem = impostor(index) if index.is_symlink() else None
        if problem:
            raise CheckpointError(f"{index}: {problem}")
        raise CheckpointError(f"{folder}: holds neither {SINGLE} nor {INDEX}{_what_is_there(folder)}")
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
    if absent := [file for file in files if not file.exists()]:
        raise CheckpointError(
            f"{absent[0]}: no such file, though {INDEX} names it ({len(absent)} of {len(files)} files are "
            "absent): download the folder again"
        )
    return files


_PICKLE = "is pickle, which is never read: convert it (transformers' save_pretrained writes safetensors)"
_OTHER_FORMATS = (
    ("adapter_model.*", "is an adapter (LoRA) only: merge it into its base model and save that"),
    ("consolidated*", "is in its maker's own format: take the files that transformers reads"),
    ("*.gguf", "is a GGUF file: give its path instead of the folder's"),
    ("*.safetensors", "is not indexed: other files of the checkpoint are not here, or it was renamed"),
    ("*.bin", _PICKLE),
    ("*.pt*", _PICKLE),
    ("*.h5", "is TensorFlow's: convert it"),
    ("*.msgpack", "is Flax's: convert it"),
    ("checkpoint-*", "is a checkpoint inside this folder: give its path"),
)


def _what_is_there(folder: pathlib.Path) -> str:
    """A hint at what the folder holds in place of a checkpoint."""
    for pattern, problem in _OTHER_FORMATS:
        if file := min(folder.glob(pattern), default=None):
            return f"; {file.name} {problem}"
    return ""


def _remedy(reason: str) -> str:
    """What to do about an error of safetensors."""
    unfinished = ("incomplete", "header too small", "invalid header length")
    cut = any(sign in reason.lower() for sign in unfinished)
    return ": it was cut short; download it again" if cut else ""


def _check_index(index: pathlib.Path, file: pathlib.Path, found: set[str], expected: set[str]) -> None:
    for keys, problem in ((expected - found, "lacks"), (found - expected, "also holds")):
        if keys:
            raise CheckpointError(f"{file}: {problem} tensor {min(keys)!r}, against {index.name}")


def locate(path: str | pathlib.Path) -> pathlib.Path:
    """The folder of a checkpoint: ``path`` itself, or a hub repository (``org/name``) once downloaded.

    ``org/name@revision`` is a branch, tag or commit of it. Raises ``CheckpointError`` where there is
    neither, or the hub cannot be asked.
    """
    path = path if isinstance(path, pathlib.Path) else storage.source(path, "model")
    folder = storage.local(path, "model")
    if folder.is_dir():
        return _snapshot(folder)
    if not isinstance(path, str) or path.count("/") != 1 or path[0] in "./~":
        raise CheckpointError(f"{path}: no such folder (a hub name looks like 'org/name')")
    name, at, revision = path.partition("@")
    if at and not revision:
        raise CheckpointError(f"{path}: no revision after @ (a branch, tag or commit of the hub)")
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise CheckpointError(
            f"{path}: no such folder, and huggingface_hub is not installed to look for it on the hub"
        ) from error
    try:
        pin: dict[str, Any] = {"revision": revision} if revision else {}
        found = huggingface_hub.snapshot_download(name, allow_patterns=_TOKENIZER_AND_CONFIG, **pin)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: no such folder, and the hub did not give it ({reason})") from error
    return pathlib.Path(found)


def _snapshot(folder: pathlib.Path) -> pathlib.Path:
    """The folder itself, or the revision in use of a folder of the hub's cache (``models--org--name``)."""
    revisions = folder / "snapshots"
    if (folder / "config.json").exists() or not revisions.is_dir():
        return folder
    main = folder / "refs" / "main"
    found = sorted(path for path in revisions.iterdir() if path.is_dir())
    if main.is_file():
        named = revisions / main.read_text("utf-8", "replace").strip()
        found = [named] if named in found else found
    if len(found) != 1:
        raise CheckpointError(f"{revisions}: holds {len(found)} revisions; give the path of one")
    return found[0]
