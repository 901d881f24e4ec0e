"""Seeded damage to a checkpoint folder: one file, one mutation, as accident or malice would have it."""

import json
import pathlib
import struct

import numpy as np

HOSTILE = (
    None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63, 10**30, 1e308, -0.5, 1e-300, "", "x", "../x",
    "8", [], [[]], [-1], [2**62, 2**62], {}, {"a": {}}, "\x00", "é" * 50, [None], 1.5, "BF16", "I64",
)  # fmt: skip


def mutate(folder: pathlib.Path, seed: int) -> str:
    """Damage one file of ``folder`` in place; says what was done."""
    draw = np.random.default_rng(seed)
    files = sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors"))
    file = files[draw.integers(len(files))]
    if file.suffix == ".json":
        ways = [_bytes, _cut, _json_value, _json_value, _json_value, _json_key]
    else:
        ways = [_bytes, _cut, _length, _header_value, _header_value, _header_value, _grow, _swap]
    way = ways[draw.integers(len(ways))]
    data = file.read_bytes()
    file.write_bytes(way(data, draw))
    return f"{file.name}: {way.__name__} (seed {seed})"


def _bytes(data: bytes, draw: np.random.Generator) -> bytes:
    """A few bytes of the first kilobytes changed."""
    changed = bytearray(data)
    for at in draw.integers(0, min(len(data), 4096), draw.integers(1, 9)):
        changed[at] = draw.integers(256)
    return bytes(changed)


def _cut(data: bytes, draw: np.random.Generator) -> bytes:
    return data[: draw.integers(len(data))]


def _grow(data: bytes, draw: np.random.Generator) -> bytes:
    return data + draw.bytes(draw.integers(1, 100))


def _length(data: bytes, draw: np.random.Generator) -> bytes:
    """Another header length."""
    length = [0, 1, 7, 2**20, 2**40, 2**63, 2**64 - 1, len(data), len(data) - 8]
    return struct.pack("<Q", length[draw.integers(len(length))]) + data[8:]


def _edit(value: object, draw: np.random.Generator, *, keys: bool) -> object:
    """One place of a JSON value, however deep, replaced, removed or renamed."""
    if isinstance(value, dict | list) and value and draw.random() < 0.9:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = places[draw.integers(len(places))]
        if draw.random() < 0.15:
            del value[place]
        elif keys and isinstance(value, dict):
            value[str(HOSTILE[draw.integers(len(HOSTILE))])] = value.pop(place)
        else:
            value[place] = _edit(value[place], draw, keys=keys)
        return value
    return HOSTILE[draw.integers(len(HOSTILE))]


def _json_value(data: bytes, draw: np.random.Generator) -> bytes:
    return json.dumps(_edit(json.loads(data), draw, keys=False)).encode()


def _json_key(data: bytes, draw: np.random.Generator) -> bytes:
    return json.dumps(_edit(json.loads(data), draw, keys=True)).encode()


def _header_value(data: bytes, draw: np.random.Generator) -> bytes:
    """A field of the safetensors header changed, its length kept true."""
    length = struct.unpack("<Q", data[:8])[0]
    edited = _edit(json.loads(data[8 : 8 + length]), draw, keys=draw.random() < 0.3)
    header = json.dumps(edited).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def _swap(data: bytes, draw: np.random.Generator) -> bytes:
    """Two tensors' offsets exchanged, or one pointing into the other."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    first, second = draw.choice(names, 2)
    a, b = header[first]["data_offsets"], header[second]["data_offsets"]
    header[first]["data_offsets"], header[second]["data_offsets"] = b, a
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + data[8 + length :]
