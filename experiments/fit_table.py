"""Which model fits which TPU slice, with how many long sequences: ``python -m experiments.fit_table``.

Every row is a decode step given to the real TPU compiler (libtpu); nothing is computed by hand or run.
"""

import datetime
import itertools
import json
import os
import pathlib
import time
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from absl import app, flags

from kinetics_jax.models.fit import Fit, Placement, compile_decode, make_mesh
from kinetics_jax.models.weights import Quantization
from kinetics_jax.spec import presets

_OUT = flags.DEFINE_string(
    "out", "docs/fit_table.md", "Markdown file to write (a .json goes beside)."
)
_CONTEXT = flags.DEFINE_integer("context", 32_768, "Tokens of room per sequence.")
_MODELS = flags.DEFINE_list("models", [], "Only these models (default: all of the table).")

_GIB = 2**30
# Where the search starts (GiB of HBM per device). Only the compiler says what fits.
_FIRST_GUESS = {"v5e": 15.7, "v6e": 31.2, "v5p": 95.0, "tpu7x": 94.0}

_Row = tuple[str, Quantization | None, Placement]


def _place(topology: str, model: int = 1, expert: int = 1) -> Placement:
    return Placement(topology=topology, model=model, expert=expert)


_V5P, _TPU7X = "v5p:2x2x1", "tpu7x:2x2x1"
_SMALL = [_place("v5e:1x1"), _place("v6e:1x1")]
_PLAN: dict[str, list[Placement]] = {
    "qwen3-0.6b": _SMALL,
    "qwen3-1.7b": _SMALL,
    "qwen3-4b": _SMALL,
    "qwen3-8b": [_place("v5e:2x2", 4), _place("v5e:2x4", 8), _place("v6e:2x2", 4),
                 _place(_V5P, 4), _place(_TPU7X, 8)],
    "qwen3-14b": [_place("v5e:2x4", 8), _place("v6e:2x4", 8), _place(_TPU7X, 8)],
    "qwen3-32b": [_place("v5e:2x4", 8), _place("v5e:4x4", 8), _place("v6e:2x4", 8),
                  _place(_V5P, 4), _place(_TPU7X, 8)],
    "qwen3-30b-a3b": [_place("v5e:4x4", 4, 4), _place("v6e:2x4", 4, 2), _place(_V5P, 4),
                      _place(_TPU7X, 4, 2)],
    "qwen3-235b-a22b": [_place("v5e:8x8", 4, 16), _place("v6e:4x4", 4, 4),
                        _place("v5p:2x2x2", 4, 2), _place("tpu7x:2x2x2", 4, 4)],
    "r1-distill-qwen-1.5b": [_place("v5e:1x1")],
    "r1-distill-qwen-7b": [_place("v5e:2x2", 4), _place("v6e:1x1")],
    "r1-distill-qwen-14b": [_place("v5e:2x4", 8)],
    "r1-distill-qwen-32b": [_place("v6e:2x4", 8)],
}  # fmt: skip
_INT8: dict[str, list[Placement]] = {
    "qwen3-8b": [_place("v5e:1x1"), _place("v6e:1x1")],
    "qwen3-32b": [_place("v5e:2x4", 8), _place("v6e:2x2", 4)],
}


def _rows() -> Iterator[_Row]:
    plans: list[tuple[dict[str, list[Placement]], Quantization | None]]
    plans = [(_PLAN, None), (_INT8, "int8")]
    for plan, quantize in plans:
        for name, placements in plan.items():
            for placement in placements if not _MODELS.value or name in _MODELS.value else ():
                yield name, quantize, placement


def _guess_batch(row: _Row, context: int) -> int:
    """The power-of-two multiple of the data-parallel ways to try first."""
    name, quantize, placement = row
    config, devices = presets[name], make_mesh(placement).devices.size
    room = _FIRST_GUESS[placement.topology.split(":")[0]] * _GIB * devices
    room -= (
        config.total_params
        * (1 if quantize else 2)
        * devices
        / (placement.model * placement.expert)
    )
    ways = devices // placement.model
    batch = ways
    while 2 * batch * config.kv_bytes_per_token() * context <= room:
        batch *= 2
    return batch


def _search(row: _Row, context: int) -> tuple[tuple[int, Fit] | None, tuple[int, Fit]]:
    """(largest batch that fits and its ``Fit``, or None) and (its double, which does not)."""
    name, quantize, placement = row

    def attempt(batch: int) -> Fit:
        return compile_decode(presets[name], placement, batch=batch, capacity=context,
                              quantize=quantize)  # fmt: skip

    smallest = make_mesh(placement).devices.size // placement.model
    batch = _guess_batch(row, context)
    fit = attempt(batch)
    if fit.fits:
        for _ in itertools.count():
            double = attempt(2 * batch)
            if not double.fits:
                return (batch, fit), (2 * batch, double)
            batch, fit = 2 * batch, double
    while batch > smallest:
        failed, batch = (batch, fit), batch // 2
        fit = attempt(batch)
        if fit.fits:
            return (batch, fit), failed
    return None, (batch, fit)


def _line(row: _Row, found: tuple[int, Fit] | None, refused: tuple[int, Fit], context: int) -> str:
    name, quantize, place = row
    mesh = make_mesh(place)
    shape = "×".join(str(mesh.shape[axis]) for axis in ("data", "expert", "model"))
    cells = [name, quantize or "bf16", f"{place.topology} ({mesh.devices.size})", shape]
    if found is None:
        cells += ["does not fit", "", "", "", "", ""]
    else:
        batch, fit = found
        cells += [
            str(batch), f"{batch * context:,}", f"{fit.needed / _GIB:.2f}", f"{fit.temporary / _GIB:.3f}",
            ", ".join(f"{count} {what}" for what, count in fit.collectives) or "none",
            f"{fit.collective_bytes / 2**20:.1f}",
        ]  # fmt: skip
    batch, fit = refused
    available = (fit.available or 0) / _GIB
    cells.append(f"{batch}: {fit.needed / _GIB:.2f} > {available:.2f}")
    return "| " + " | ".join(cells) + " |"


_HEADER = """# Which model fits which TPU slice

Generated by `python -m experiments.fit_table` on {date} with jax {jax}, libtpu {libtpu},
in {minutes:.1f} minutes. **Compiled for** these slices, not run on them: each row is one BF16 decode step
(dense attention over a contiguous BF16 cache with room for {context:,} tokens per sequence) given to the
real TPU compiler on a machine without a TPU.

*Mesh* is data × expert × model. *HBM* and *temporary* are GiB per device (a TPU7x chip is two devices).
*Collectives* are counted in the program, a layer's once; their bytes are per step and device, a layer's
once per layer. *Refused* is the next batch tried (twice as many sequences): GiB the compiler says it
needs > GiB it has.

"""
_COLUMNS = ("model", "weights", "slice (devices)", "mesh", "batch", "tokens of KV", "HBM", "temporary",
            "collectives", "MiB/step", "refused")  # fmt: skip


def main(_: list[str]) -> None:
    """Compile every row and write the table."""
    import importlib.metadata

    begun, context, lines, records = time.time(), _CONTEXT.value, [], []
    for row in _rows():
        found, refused = _search(row, context)
        lines.append(_line(row, found, refused, context))
        print(lines[-1], flush=True)
        records.append({
            "model": row[0], "weights": row[1] or "bf16", "slice": row[2].topology,
            "model_ways": row[2].model, "expert_ways": row[2].expert, "context": context,
            "batch": found[0] if found else None, "refused_batch": refused[0],
            "refused_bytes": refused[1].needed, "available_bytes": refused[1].available,
            "hbm_bytes": found[1].needed if found else None,
            "collective_bytes": found[1].collective_bytes if found else None,
        })  # fmt: skip
    header = _HEADER.format(
        date=datetime.date.today(), jax=jax.__version__, context=context,
        libtpu=importlib.metadata.version("libtpu"), minutes=(time.time() - begun) / 60,
    )  # fmt: skip
    out = pathlib.Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    titles = ["| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    out.write_text(header + "\n".join(titles + lines) + "\n")
    out.with_suffix(".json").write_text(json.dumps(records, indent=1) + "\n")
    print(f"wrote {out}")


if __name__ == "__main__":
    app.run(main)
