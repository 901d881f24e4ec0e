"""Hypothesis strategies that damage a checkpoint folder, as accident or malice would: one to three mutations.

A folder is a mapping of file name → its bytes, or a ``Thing`` that stands where the file should be.
"""

import copy
import enum
import json
import os
import pathlib
import struct
from typing import Any

from hypothesis import strategies as st


class Thing(enum.Enum):
    """What may stand in a file's place."""

    NOTHING = enum.auto()
    FOLDER = enum.auto()
    PIPE = enum.auto()
    ENDLESS = enum.auto()  # a link to /dev/zero
    LOOP = enum.auto()  # a link to itself
    UNREADABLE = enum.auto()


Files = dict[str, bytes | Thing]

HOSTILE = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    3,
    7,
    2**31,
    2**63,
    2**64,
    10**30,
    10**400,
    1e308,
    -0.5,
    1e-300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../x",
    "8",
    [],
    [[]],
    [-1],
    [2**62, 2**62],
    [2**32, 2**32],
    [0, 2**63],
    {},
    {"a": {}},
    "\x00",
    "é" * 50,
    "a\nb",
    "\ud800",
    [None],
    1.5,
    "BF16",
    "I64",
    "F8_E4M3",
    "model.safetensors",
    "/etc/passwd",
    "yarn",
    "llama3",
    "dynamic",
    "gelu",
    "llama",
    "qwen3_moe",
)
_hostile = st.one_of(
    st.sampled_from(HOSTILE),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(-2, 2**64), max_size=4),
    st.dictionaries(st.text(max_size=8), st.integers(-2, 9), max_size=3),
)


class Damage:
    """A damaged folder. A failing test prints what was done to which file, not the files."""

    def __init__(self, done: str, files: Files) -> None:
        self.done, self.files = done, files

    def __repr__(self) -> str:
        return f"Damage({self.done!r})"


@st.composite
def damaged(draw: st.DrawFn, files: dict[str, bytes]) -> Damage:
    """A folder of whole files after one to three mutations."""
    after: Files = dict(files)
    done = []
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        name = draw(st.sampled_from(sorted(n for n, data in after.items() if isinstance(data, bytes))))
        ways = _JSON_WAYS if name.endswith(".json") else _TENSOR_WAYS
        way = draw(st.sampled_from(ways))
        after[name] = way(draw, after[name])
        done.append(f"{name}: {way.__name__}")
        if not any(isinstance(data, bytes) for data in after.values()):
            break
    return Damage("; ".join(done), after)


def write(files: Files, folder: pathlib.Path) -> None:
    """Put the folder on disk."""
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        match data:
            case bytes():
                path.write_bytes(data)
            case Thing.FOLDER:
                path.mkdir()
            case Thing.PIPE:
                os.mkfifo(path)
            case Thing.ENDLESS:
                path.symlink_to("/dev/zero")
            case Thing.LOOP:
                path.symlink_to(path)
            case Thing.UNREADABLE:
                path.write_bytes(b"{}")
                path.chmod(0)


# Any file.


def _bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """A few bytes of the first kilobytes changed."""
    changed = bytearray(data)
    for at in (
        draw(st.lists(st.integers(0, min(len(data), 4096) - 1), min_size=1, max_size=8)) if data else ()
    ):
        changed[at] = draw(st.integers(0, 255))
    return bytes(changed)


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: draw(st.integers(0, max(0, len(data) - 1)))]


def _insert(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(min_size=1, max_size=64)) + data[at:]


def _replace(draw: st.DrawFn, data: bytes) -> Thing:
    del data
    return draw(st.sampled_from(Thing))


# JSON: the whole file, or the header of a safetensors file.


def _places(value: Any, at: tuple = ()) -> list[tuple]:
    """The path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] + [place for key, each in inner for place in _places(each, (*at, key))]


def _at(value: Any, place: tuple) -> Any:
    for key in place:
        value = value[key]
    return value


def _edited(draw: st.DrawFn, value: Any) -> Any:
    """One place of a JSON value, however deep, replaced, changed a little, moved, renamed or removed."""
    value = copy.deepcopy(value)
    places = _places(value)
    place = draw(st.sampled_from(places))
    action = draw(st.sampled_from(("hostile", "hostile", "near", "other", "remove", "rename", "nest")))
    old = _at(value, place)
    if not place:
        return draw(_hostile) if action == "hostile" else [value] if action == "nest" else value
    parent, key = _at(value, place[:-1]), place[-1]
    if action == "near" and isinstance(old, int | float):
        parent[key] = draw(
            st.sampled_from((old + 1, old - 1, 2 * old, -old, old * 10**9, float(old), str(old)))
        )
    elif action == "near" and isinstance(old, list) and old:
        parent[key] = draw(st.sampled_from((old[:-1], old[::-1], old * 2, [*old, 1], [1, *old])))
    elif action == "other":
        parent[key] = copy.deepcopy(_at(value, draw(st.sampled_from(places))))
    elif action == "remove":
        del parent[key]
    elif action == "rename" and isinstance(parent, dict):
        new = draw(st.text(max_size=8) | st.sampled_from([str(k) for k in parent]))
        parent[new] = parent.pop(key)
    elif action == "nest":
        parent[key] = [old]
    else:
        parent[key] = draw(_hostile)
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _parsed(data: bytes) -> Any:
    """JSON, or None where an earlier mutation has spoilt it."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _json_edit(draw: st.DrawFn, data: bytes) -> bytes:
    return _json(_edited(draw, _parsed(data)))


def _json_twice(draw: st.DrawFn, data: bytes) -> bytes:
    """A key given a second time, with another value."""
    value = _parsed(data)
    if not isinstance(value, dict) or not value:
        return data * 2
    key = draw(st.sampled_from(sorted(value)))
    return b"{" + _json(key) + b":" + _json(draw(_hostile)) + b"," + _json(value)[1:]


def _json_odd(draw: st.DrawFn, data: bytes) -> bytes:
    """Nested too deep, in another encoding, with a mark in front, digits without end."""
    deep = b"[" * 100_000 + b"]" * 100_000
    odd = (
        deep,
        data.decode("utf-8", "replace").encode("utf-16"),
        b"\xef\xbb\xbf" + data,
        b'{"vocab_size": ' + b"9" * 5000 + b"}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    )
    return draw(st.sampled_from(odd))


# safetensors: 8 bytes of header length, the header, the data.


def _parts(data: bytes) -> tuple[Any, bytes]:
    length = struct.unpack("<Q", data[:8].ljust(8, b"\0"))[0]
    return _parsed(data[8 : 8 + length]), data[8 + length :]


def _joined(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def _length(draw: st.DrawFn, data: bytes) -> bytes:
    """Another header length."""
    likely = st.sampled_from(
        (0, 1, 7, 2**20, 10**8, 2**40, 2**63, 2**64 - 1, len(data), max(0, len(data) - 8))
    )
    return struct.pack("<Q", draw(likely | st.integers(0, 2**64 - 1))) + data[8:]


def _header_edit(draw: st.DrawFn, data: bytes) -> bytes:
    """A field of the header changed, its length kept true."""
    header, rest = _parts(data)
    return _joined(_json(_edited(draw, header)), rest)


def _header_twice(draw: st.DrawFn, data: bytes) -> bytes:
    header, rest = _parts(data)
    return _joined(_json_twice(draw, _json(header)), rest)


def _header_odd(draw: st.DrawFn, data: bytes) -> bytes:
    header, rest = _parts(data)
    return _joined(_json_odd(draw, _json(header)), rest)


def _tensors(header: Any) -> list[str]:
    names = sorted(header) if isinstance(header, dict) else []
    return [n for n in names if isinstance(header[n], dict) and n != "__metadata__"]


def _offsets(draw: st.DrawFn, data: bytes) -> bytes:
    """Two tensors' places exchanged, one laid over another, or shifted by a little."""
    header, rest = _parts(data)
    names = _tensors(header)
    if not names:
        return data
    first, second = (header[draw(st.sampled_from(names))] for _ in range(2))
    a, b = (tensor.get("data_offsets", [0, 0]) for tensor in (first, second))
    ways = [(b, a), (b, b)]
    if isinstance(a, list) and len(a) == 2 and all(isinstance(n, int) for n in a):
        by = draw(st.integers(-8, 8))
        ways += [([a[0] + by, a[1] + by], b), ([a[0], a[1] + by], b), (a[::-1], b)]
    first["data_offsets"], second["data_offsets"] = draw(st.sampled_from(ways))
    return _joined(_json(header), rest)


def _type(draw: st.DrawFn, data: bytes) -> bytes:
    """Another dtype of the same size or another, the shape made to match or not."""
    header, rest = _parts(data)
    names = _tensors(header)
    if not names:
        return data
    tensor = header[draw(st.sampled_from(names))]
    tensor["dtype"] = draw(st.sampled_from(("F16", "F32", "F64", "I8", "U8", "BOOL", "C64", "F4", "bf16")))
    shape = tensor.get("shape")
    if isinstance(shape, list) and shape and draw(st.booleans()):
        factor = draw(st.sampled_from((2, 4)))
        tensor["shape"] = [*shape[:-1], shape[-1] * factor if draw(st.booleans()) else shape[-1] // factor]
    return _joined(_json(header), rest)


_ANY_WAYS = (_bytes, _cut, _insert, _replace)
_JSON_WAYS = (*_ANY_WAYS, _json_edit, _json_edit, _json_edit, _json_edit, _json_twice, _json_odd)
_TENSOR_WAYS = (
    *_ANY_WAYS,
    _length,
    _header_edit,
    _header_edit,
    _header_edit,
    _header_twice,
    _header_odd,
    _offsets,
    _type,
)
