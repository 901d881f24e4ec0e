"""`compile_for`: compile a program with a chip's own compiler, in a process of its own, and read its account.

The program is lowered here (`jax.export`) and compiled in a child: libtpu reads its dump flags once and may
abort over its estimate; the GPU compiler's caches and fatal errors would hide the next target's truth.
"""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from jax import export
from jax.sharding import AbstractMesh, AxisType, Mesh

from kinetics_jax.chips import Device
from pallas_kernels.analysis import dumps
from pallas_kernels.analysis.devices import TPU_ENVIRONMENT, abstract_mesh, find_chip, require_compiler
from pallas_kernels.analysis.errors import CompilationError
from pallas_kernels.analysis.report import Report

# Custom calls that `jax.export` does not promise to keep for ever; ours are compiled at once.
_CUSTOM_CALLS = ("mosaic_gpu_v2", "mosaic_gpu", "__gpu$xla.gpu.triton", "tpu_custom_call")
_CHILD_SECONDS = 900
_DUMP = "--xla_jf_dump_static_llo_profile_to={folder}"
# XLA may place small operands of a kernel in VMEM; libtpu's latency model knows no VMEM → VMEM copy.
NO_PREFETCH = "--xla_msa_enable=false"

# Makes Mosaic GPU print ptxas's account of its kernels and their launches, and XLA log that of its own.
_GPU_ACCOUNT = {
    "MOSAIC_GPU_DUMP_PTXAS": "1",
    "MOSAIC_GPU_DUMP_HOST_LLVM": "1",
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_CPP_VMODULE": "subprocess_compilation=2",
}
_PTXAS_VERBOSE = "--xla_gpu_ptx_compiler_extra_flags=-v"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A lowered program for a child to compile: flat arguments, and the mesh it was sharded over."""

    exported: export.Exported
    donated: tuple[int, ...]
    mesh_shape: tuple[int, ...]
    axis_names: tuple[str, ...]
    axis_types: tuple[AxisType, ...]


def compile_for(
    chip: str,
    fn: Callable[..., Any],
    *avals: Any,
    mesh: Mesh | AbstractMesh | None = None,
    donate_argnums: tuple[int, ...] = (),
    static_cycles: bool = True,
) -> Report:
    """Compile ``fn(*avals)`` for a chip that need not be here, with its own compiler.

    Args:
        chip: name in `kinetics_jax.chips.devices`, such as ``"v5e"`` or ``"h100"``.
        fn: what `jax.jit` takes; ``jax.lax.platform_dependent`` inside follows the chip, not this host.
        avals: pytrees of `jax.ShapeDtypeStruct` or arrays; with ``mesh``, each may be sharded over it.
        mesh: from `abstract_mesh` or `device_mesh`; None is one device.
        donate_argnums: positions of ``avals`` whose buffers the outputs may reuse.
        static_cycles: also ask the TPU compiler for its issue-cycle estimate.

    Raises:
        UnknownChipError: the name or the number of devices is not known.
        CompilerMissingError: the compiler is not installed; the message names the extra.
        CompilationError: the compiler refused the program.

    """
    job = lower_for(chip, fn, *avals, mesh=mesh, donate_argnums=donate_argnums)
    (result,) = compile_all(chip, [job], static_cycles=static_cycles)
    if isinstance(result, CompilationError):
        raise result
    return result


def lower_for(
    chip: str,
    fn: Callable[..., Any],
    *avals: Any,
    mesh: Mesh | AbstractMesh | None = None,
    donate_argnums: tuple[int, ...] = (),
) -> Job:
    """The first half of `compile_for`: trace and lower, in this process, for `compile_all`."""
    found = find_chip(chip)
    leaves, tree = jax.tree.flatten(avals)
    if mesh is None:
        mesh = abstract_mesh(chip, (1,), ("_",))

    def flat(*arguments: Any) -> list[Any]:
        return jax.tree.leaves(fn(*jax.tree.unflatten(tree, arguments)))

    checks = [export.DisabledSafetyCheck.custom_call(name) for name in _CUSTOM_CALLS]
    with jax.sharding.use_abstract_mesh(_abstract(mesh)):
        exported = export.export(jax.jit(flat), platforms=[found.platform], disabled_checks=checks)(*leaves)
    return Job(
        exported=dataclasses.replace(exported, _get_vjp=None),
        donated=tuple(_leaf_positions(avals, donate_argnums)),
        mesh_shape=tuple(mesh.axis_sizes),
        axis_names=tuple(mesh.axis_names),
        axis_types=tuple(mesh.axis_types),
    )


def compile_all(
    chip: str, jobs: Sequence[Job], *, static_cycles: bool = True
) -> list[Report | CompilationError]:
    """Compile jobs of `lower_for`, one result each; TPU jobs share a child until one ends it.

    The cycle estimates come from further children, as asking for one may end the process and (libtpu 0.0.42)
    empties the cost analysis of kernels.
    """
    found = find_chip(chip)
    require_compiler(found)
    if found.cuda:
        return [_run_child(found, [job])[0] for job in jobs]
    results = _run_all(found, jobs)
    if static_cycles:
        for flags in ("", NO_PREFETCH):
            _estimate(found, jobs, results, flags)
    return results


def _estimate(
    chip: Device, jobs: Sequence[Job], results: list[Report | CompilationError], flags: str
) -> None:
    """Add cycle estimates to the reports that have none yet, and the reason where the compiler has none."""
    lacking = {
        index: result
        for index, result in enumerate(results)
        if isinstance(result, Report) and not result.cycles_whole
    }
    if not chip.cycle_model:
        for index, report in lacking.items():
            note = f"libtpu has no latency model of {chip.name}"
            results[index] = dataclasses.replace(report, cycles_note=note)
        return
    estimates = _run_all(chip, [jobs[index] for index in lacking], dump=f"{_DUMP} {flags}")
    for (index, report), estimate in zip(lacking.items(), estimates, strict=True):
        if isinstance(estimate, CompilationError):
            results[index] = dataclasses.replace(report, cycles_note=str(estimate))
            continue
        note = estimate.cycles_note
        if estimate.cycles_whole and flags:
            note = f"with {flags}; without it: {report.cycles_note}"
        results[index] = dataclasses.replace(
            report, cycles=estimate.cycles, cycles_whole=estimate.cycles_whole, cycles_note=note
        )


def _run_all(chip: Device, jobs: Sequence[Job], *, dump: str = "") -> list[Report | CompilationError]:
    results: list[Report | CompilationError] = []
    while len(results) < len(jobs):
        results += _run_child(chip, jobs[len(results) :], dump=dump)
    return results


def _run_child(chip: Device, jobs: Sequence[Job], *, dump: str = "") -> list[Report | CompilationError]:
    """Results of the jobs that one child managed, the one that killed it included."""
    with tempfile.TemporaryDirectory(prefix="compile_for_") as folder:
        place = Path(folder)
        (place / "jobs.pickle").write_bytes(pickle.dumps(list(jobs)))
        log, status = _start(chip, place, dump=dump)
        lines = (place / "results.jsonl").read_text().splitlines()
        results = [_read(chip, json.loads(line), log) for line in lines]
        if len(results) == len(jobs):
            return results
        killed = f"the compiler ended its process ({status}): {dumps.last_words(log)}"
        written = dumps.read_cycles(place / "cycles")
    if dump and written:  # it died of writing more than the numbers
        return [*results, Report(chip=chip.name, cycles=written, cycles_note=killed)]
    return [*results, CompilationError(f"compile_for {chip.name}: {killed}")]


def _start(chip: Device, place: Path, *, dump: str) -> tuple[str, int]:
    (place / "results.jsonl").touch()
    (place / "cycles").mkdir()
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
    }
    if chip.cuda:
        environment |= _GPU_ACCOUNT
        environment["XLA_FLAGS"] = " ".join((os.environ.get("XLA_FLAGS", ""), _PTXAS_VERBOSE))
    else:
        environment |= TPU_ENVIRONMENT
    if dump:
        flags = (dump.format(folder=place / "cycles"), os.environ.get("LIBTPU_INIT_ARGS", ""))
        environment["LIBTPU_INIT_ARGS"] = " ".join(flags)
    with open(place / "log", "w") as log:
        child = subprocess.run(
            [sys.executable, "-m", "pallas_kernels.analysis.child", chip.name, str(place)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=_CHILD_SECONDS,
            check=False,
        )
    return (place / "log").read_text(errors="replace"), child.returncode


def _read(chip: Device, fields: dict[str, Any], log: str) -> Report | CompilationError:
    if "error" in fields:
        return CompilationError(f"compile_for {chip.name}: {fields['error']}")
    report = Report.from_json(fields)
    if chip.cuda:
        return dataclasses.replace(report, kernels=dumps.read_kernels(log))
    return report


def _leaf_positions(avals: tuple[Any, ...], argnums: tuple[int, ...]) -> Iterator[int]:
    sizes = [len(jax.tree.leaves(aval)) for aval in avals]
    for argnum in argnums:
        start = sum(sizes[:argnum])
        yield from range(start, start + sizes[argnum])


def _abstract(mesh: Mesh | AbstractMesh) -> AbstractMesh:
    return mesh.abstract_mesh if isinstance(mesh, Mesh) else mesh
