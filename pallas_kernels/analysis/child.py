"""The child of `compile_for`: compiles one folder's jobs for one chip and writes a JSON line for each."""

import importlib.metadata
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import jax

from kinetics_jax.chips import Device
from pallas_kernels.analysis import dumps
from pallas_kernels.analysis.compilation import Job
from pallas_kernels.analysis.devices import device_mesh, find_chip
from pallas_kernels.analysis.report import Report


def main(chip_name: str, folder: str) -> None:
    """Compile every job in ``folder/jobs.pickle`` for the chip; results go to ``folder/results.jsonl``."""
    place = Path(folder)
    chip = find_chip(chip_name)
    jobs: list[Job] = pickle.loads((place / "jobs.pickle").read_bytes())
    with open(place / "results.jsonl", "a") as results:
        for job in jobs:
            results.write(json.dumps(_compile(chip, job, place / "cycles")) + "\n")
            results.flush()
            for written in (place / "cycles").iterdir():  # the next job's must not be added to these
                written.unlink()


def _compile(chip: Device, job: Job, cycles: Path) -> dict[str, Any]:
    mesh = device_mesh(chip.name, job.mesh_shape, job.axis_names, job.axis_types)
    shardings = job.exported.in_shardings_jax(mesh)
    if len(mesh.devices.flat) == 1:
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        shardings = (everywhere,) * len(job.exported.in_avals)
    arguments = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=sharding)
        for aval, sharding in zip(job.exported.in_avals, shardings, strict=True)
    ]
    jitted = jax.jit(job.exported.call, donate_argnums=job.donated)
    try:
        with jax.set_mesh(mesh):
            compiled = jitted.lower(*arguments).compile()
    except (RuntimeError, ValueError, NotImplementedError) as error:  # the compilers' own
        return {"error": " ".join(str(error).split())[:1000]}
    return _describe(chip, compiled, dumps.read_cycles(cycles)).to_json()


def _describe(chip: Device, compiled: jax.stages.Compiled, cycles: dict[str, int]) -> Report:
    cost = compiled.cost_analysis() or {}
    memory: Any = compiled.memory_analysis()
    return Report(
        chip=chip.name,
        compiler=_compiler(chip),
        flops=cost.get("flops"),
        bytes_accessed=cost.get("bytes accessed"),
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        alias_bytes=memory.alias_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        collectives=dumps.count_collectives(compiled.as_text() or ""),
        cycles=cycles,
        cycles_whole=bool(cycles),
    )


def _compiler(chip: Device) -> str:
    wanted = (
        ("jax", "jax-cuda12-plugin", "nvidia-cuda-nvcc-cu12", "jax-cuda13-plugin")
        if chip.cuda
        else ("jax", "libtpu")
    )
    found = {}
    for name in wanted:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # the other CUDA's plugin
            continue
    return ", ".join(f"{name} {version}" for name, version in found.items())


if __name__ == "__main__":
    main(*sys.argv[1:])
