"""Devices of a chip that is not here, for shapes and meshes to be compiled against."""

import functools
import importlib.util
import inspect
import math
import os
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, Mesh

from pallas_kernels._tpu import require_sound_libtpu
from pallas_kernels.analysis.chips import CHIPS, Chip, GpuChip, TpuChip
from pallas_kernels.analysis.errors import CompilerMissingError, UnknownChipError

PLATFORM = {"tpu": "tpu", "gpu": "cuda"}
# Without the first, a second process that compiles for a TPU is turned away by the first one's lock
# file; the others keep libtpu from asking a metadata server which machine it is on.
TPU_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}
_CUDA_PACKAGES = {
    "the CUDA plugin": ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13"),
    "the PTX assembler": ("nvidia.cuda_nvcc", "nvidia.cu13"),
}


def find_chip(name: str) -> Chip:
    """The chip of that name, or `UnknownChipError` that lists those known."""
    if name not in CHIPS:
        raise UnknownChipError(f"compile_for: unknown chip {name!r}; known: {', '.join(CHIPS)}")
    return CHIPS[name]


def require_compiler(chip: Chip) -> None:
    """Raise `CompilerMissingError` unless the chip's compiler is installed, `LibtpuError` for a bad one."""
    if isinstance(chip, TpuChip):
        if not _installed("libtpu"):
            raise CompilerMissingError(
                f"compile_for {chip.name}: libtpu is not installed; "
                "pip install 'kinetics-jax[aot]' (or pip install libtpu)"
            )
        require_sound_libtpu()
        return
    for what, modules in _CUDA_PACKAGES.items():
        if not any(map(_installed, modules)):
            raise CompilerMissingError(
                f"compile_for {chip.name}: {what} is not installed; "
                "pip install 'kinetics-jax[aot-gpu]' (jax-cuda12-plugin and jax-cuda12-pjrt of "
                f"jax's own version {jax.__version__}, and nvidia-cuda-nvcc-cu12)"
            )


def abstract_device(chip: Chip) -> AbstractDevice:
    """What Pallas asks of a device while it lowers a kernel for it."""
    options: dict[str, Any] = {
        "device_kind": chip.device_kind,
        "num_cores": chip.cores if isinstance(chip, GpuChip) else 1,
    }
    if "platform" in inspect.signature(AbstractDevice).parameters:  # jax 0.12 asks for it
        options["platform"] = PLATFORM[chip.vendor]
    return AbstractDevice(**options)


def abstract_mesh(
    chip: str,
    shape: tuple[int, ...],
    axis_names: tuple[str, ...],
    axis_types: tuple[AxisType, ...] | None = None,
) -> AbstractMesh:
    """A mesh of ``chip`` devices that needs none: for `jax.shard_map` and `jax.sharding.NamedSharding`.

    ``axis_types`` is all `AxisType.Auto` unless given.
    """
    types = axis_types or (AxisType.Auto,) * len(shape)
    device = abstract_device(find_chip(chip))
    return AbstractMesh(shape, axis_names, axis_types=types, abstract_device=device)


def device_mesh(
    chip: str,
    shape: tuple[int, ...],
    axis_names: tuple[str, ...],
    axis_types: tuple[AxisType, ...] | None = None,
) -> Mesh:
    """A mesh of the compiler's own devices. Loads the chip's compiler into this process."""
    found = find_chip(chip)
    require_compiler(found)
    wanted = math.prod(shape)
    devices = np.array(_devices(found.name, _slice_size(found, wanted))[:wanted])
    types = axis_types or (AxisType.Auto,) * len(shape)
    return Mesh(devices.reshape(shape), axis_names, axis_types=types)


def _slice_size(chip: Chip, wanted: int) -> int:
    if isinstance(chip, GpuChip):
        return wanted
    assert isinstance(chip, TpuChip)
    sizes = [size for size in sorted(chip.topologies) if size >= wanted]
    if not sizes:
        largest = max(chip.topologies)
        raise UnknownChipError(f"compile_for {chip.name}: {wanted} devices; at most {largest}")
    return sizes[0]


@functools.cache  # devices of two calls do not mix
def _devices(name: str, size: int) -> tuple[jax.Device, ...]:
    chip = find_chip(name)
    if isinstance(chip, GpuChip):
        hosts, each = (1, size) if size <= 8 else (-(-size // 8), 8)
        described = topologies.get_topology_desc(
            platform="cuda", topology_name="", topology=f"1x{hosts}x{each}", target_config=chip.target_config
        )
        return tuple(described.devices)
    assert isinstance(chip, TpuChip)
    for variable, value in TPU_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    bounds = {"chips_per_host_bounds": [1, 1, 1]} if size == 1 else {}
    described = topologies.get_topology_desc(
        platform="tpu", topology_name=f"{chip.name}:{chip.topologies[size]}", **bounds
    )
    return tuple(described.devices)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
