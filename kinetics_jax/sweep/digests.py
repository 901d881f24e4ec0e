"""What a model's weights are known by: a digest of what is in their files, or a revision of the hub.

Counted is what decides samples: every tensor (name, dtype, shape, bytes), the config, the tokenizer and
what stands with it. Not counted is how tensors are spread over files, how JSON is laid out, and whatever
else lies beside (README, other formats). Each byte is read once, on all cores; a manifest keeps the digests
with the files' sizes, times and inodes, so that a sweep that goes on does not read them again.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.checkpoint import INDEX, SINGLE

PREFIX = "sha256:"
"""Of digests of contents. Those without it are of an earlier version (``former_fingerprint``)."""
_JSON = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
)
_TEXT = ("chat_template.jinja", "additional_chat_templates/default.jinja")
_WITHOUT_TOKENIZER_JSON = ("vocab.json", "merges.txt", "tokenizer.model")
"""What a tokenizer is made from where there is no ``tokenizer.json``."""
_NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version")
"""Fields of a config that say who wrote it."""
_GGUF_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.gguf")
_PART = 16 << 20
"""Bytes read at a time."""
_MODULUS = 1 << 256
_SETTLED_NANOSECONDS = 2_000_000_000
"""A file changed so lately may change again within one tick of its clock: its stamp proves nothing."""
_EDGE = 1 << 20


class FileDigests:
    """Digests of files, each read once for as long as its size, times and inode stay."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._used: dict[str, list[Any]] = {}

    def add(self, known: Mapping[str, Any]) -> None:
        """Take over what ``stamps`` gave before."""
        self._known |= known

    def of(self, path: pathlib.Path) -> str:
        """The digest of a file. Raises ``InputError`` where it cannot be read."""
        place = os.path.realpath(path)
        try:
            stamp = _stamp(place)
            known = self._used.get(place) or self._known.get(place)
            if isinstance(known, list) and known[:-1] == stamp:
                found = str(known[-1])
            else:
                found = _digest(pathlib.Path(place))
            newest = max(stamp[1:3])
            if _stamp(place) == stamp and time.time_ns() - newest > _SETTLED_NANOSECONDS:
                self._used[place] = [*stamp, found]
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
        return found

    def stamps(self) -> dict[str, list[Any]]:
        """Path → [size, mtime, ctime, inode, digest] of the files that were asked for, for JSON."""
        return dict(self._used)


def weights_digest(path: pathlib.Path, files: FileDigests) -> str:
    """Of a checkpoint's folder, or of one file (GGUF). Raises ``InputError`` where it cannot be read."""
    if path.is_file():
        parts = [files.of(part) for part in _parts(path)]
        whole = "\n".join(parts).encode()
        return PREFIX + (parts[0] if len(parts) == 1 else hashlib.sha256(whole).hexdigest())
    names = [*_JSON, *_TEXT]
    if not (path / "tokenizer.json").is_file():
        names += _WITHOUT_TOKENIZER_JSON
    parts = [f"{name} {files.of(path / name)}" for name in names if (path / name).is_file()]
    tensors = sum(int(files.of(path / name), 16) for name in _tensor_files(path)) % _MODULUS
    digest = hashlib.sha256("\n".join([f"tensors {tensors:064x}", *sorted(parts)]).encode())
    return PREFIX + digest.hexdigest()


def former_fingerprint(path: pathlib.Path) -> str:
    """What earlier versions knew weights by: names, sizes and both ends of all files of a folder."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with open(file, "rb") as stream:
            digest.update(stream.read(_EDGE))
            if size > _EDGE:
                stream.seek(max(size - _EDGE, _EDGE))
                digest.update(stream.read())
    return digest.hexdigest()


def _tensor_files(folder: pathlib.Path) -> Sequence[str]:
    """The files that hold the model's tensors, as ``models.checkpoint`` picks them."""
    if (folder / SINGLE).is_file():
        return [SINGLE]
    try:
        placed = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()
        plain = {name for name in placed if pathlib.PurePath(name).name == name}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        plain = set()
    found = plain or {file.name for file in folder.glob("*.safetensors")}
    return sorted(name for name in found if (folder / name).is_file())


def _parts(file: pathlib.Path) -> list[pathlib.Path]:
    """All files of a GGUF model in parts, of whichever part ``file`` is; else ``file`` alone."""
    named = _GGUF_PART.fullmatch(file.name)
    beside = file.parent.glob("*.gguf") if named else ()
    same = [path for path in beside if named and _same_model(named, path.name)]
    return sorted(same) or [file]


def _same_model(part: re.Match[str], name: str) -> bool:
    other = _GGUF_PART.fullmatch(name)
    return other is not None and other.group("stem", "count") == part.group("stem", "count")


def _stamp(place: str) -> list[int]:
    found = os.stat(place)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _digest(file: pathlib.Path) -> str:
    """64 hexadecimal digits. Those of tensor files add up to those of the tensors together."""
    if file.suffix == ".json":
        try:
            fields = json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError):
            return _hash_parts(file, [(0, file.stat().st_size, b"")])
        if file.name in ("config.json", "generation_config.json") and isinstance(fields, dict):
            fields = {k: v for k, v in fields.items() if k not in _NOT_OF_THE_MODEL}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return _hash_parts(file, _tensors(file) or [(0, file.stat().st_size, b"")])


def _tensors(file: pathlib.Path) -> list[tuple[int, int, bytes]]:
    """(offset, bytes, what it is) of each tensor of a safetensors file; none where it is not one."""
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            return []
        try:
            header = json.loads(stream.read(length))
            entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
            found = [
                (
                    8 + length + int(entry["data_offsets"][0]),
                    int(entry["data_offsets"][1]) - int(entry["data_offsets"][0]),
                    json.dumps([name, entry["dtype"], entry["shape"]]).encode(),
                )
                for name, entry in entries
            ]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return []
    whole = all(count >= 0 and 0 <= first <= size - count for first, count, _ in found)
    return found if whole else []


def _hash_parts(file: pathlib.Path, parts: Sequence[tuple[int, int, bytes]]) -> str:
    """The sum of the SHA-256 of each part, modulo 2²⁵⁶: in whatever order and file they stand."""
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def one(part: tuple[int, int, bytes]) -> int:
        first, count, name = part
        digest = hashlib.sha256(name)
        for at in range(first, first + count, _PART):
            digest.update(os.pread(handle, min(_PART, first + count - at), at))
        return int(digest.hexdigest(), 16)

    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as threads:
            return f"{sum(threads.map(one, parts)) % _MODULUS:064x}"
    finally:
        os.close(handle)
