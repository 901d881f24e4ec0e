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

from kinetics_jax.chips import Device, devices
from pallas_kernels._tpu import require_sound_libtpu
from pallas_kernels.analysis.errors import CompilerMissingError, UnknownChipError

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


def find_chip(name: str) -> Device:
    """One device of the chip of that name, or `UnknownChipError` that lists those known."""
    if name not in devices():
        raise UnknownChipError(f"unknown chip {name!r} to compile for; known: {', '.join(devices())}")
    return devices()[name]


def require_compiler(chip: Device) -> None:
    """Raise `CompilerMissingError` unless the chip's compiler is installed, `LibtpuError` for a bad one."""
    if not chip.cuda:
        if not _installed("libtpu"):
            raise CompilerMissingError(
                f"compiling for {chip.name}: libtpu is not installed; "
                "pip install 'kinetics-jax[aot]' (or pip install libtpu)"
            )
        require_sound_libtpu()
        return
    for what, modules in _CUDA_PACKAGES.items():
        if not any(map(_installed, modules)):
            raise CompilerMissingError(
                f"compiling for {chip.name}: {what} is not installed; "
                "pip install 'kinetics-jax[aot-gpu]' (jax-cuda12-plugin and jax-cuda12-pjrt of "
                f"jax's own version {jax.__version__}, and nvidia-cuda-nvcc-cu12)"
            )


def abstract_device(chip: Device) -> AbstractDevice:
    """What Pallas asks of a device while it lowers a kernel for it."""
    options: dict[str, Any] = {"device_kind": chip.kind, "num_cores": chip.cuda.cores if chip.cuda else 1}
    if "platform" in inspect.signature(AbstractDevice).parameters:  # jax 0.12 asks for it
        options["platform"] = chip.platform
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
    wanted = math.prod(shape)
    there = _gpus(found.name, wanted) if found.cuda else slice_devices(_slice(found, wanted))
    types = axis_types or (AxisType.Auto,) * len(shape)
    return Mesh(np.array(there[:wanted]).reshape(shape), axis_names, axis_types=types)


@functools.cache  # devices of two calls do not mix
def slice_devices(topology: str) -> tuple[jax.Device, ...]:
    """Devices of a TPU slice that is not here, such as ``"v5e:2x4"``. Loads libtpu into this process.

    Raises:
        UnknownChipError: libtpu does not know the slice.
        CompilerMissingError: libtpu is not installed.

    """
    name, _, shape = topology.partition(":")
    require_compiler(find_chip(name))
    for variable, value in TPU_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    bounds = {"chips_per_host_bounds": [1, 1, 1]} if shape == "1x1" else {}
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=topology, **bounds)
    except (jax.errors.JaxRuntimeError, NotImplementedError, ValueError) as error:
        said = " ".join(str(error).split())[:120]
        raise UnknownChipError(f"topology {topology!r}: libtpu does not know it ({said})") from error
    return tuple(described.devices)


def _slice(chip: Device, wanted: int) -> str:
    """The smallest slice that has so many devices."""
    for shape, topology in zip(chip.slices, chip.topologies, strict=True):
        if chip.devices(shape) >= wanted:
            return topology
    largest = chip.devices(chip.slices[-1])
    raise UnknownChipError(f"compiling for {chip.name}: {wanted} devices; at most {largest}")


@functools.cache
def _gpus(name: str, size: int) -> tuple[jax.Device, ...]:
    chip = find_chip(name)
    require_compiler(chip)
    hosts, each = (1, size) if size <= 8 else (-(-size // 8), 8)
    described = topologies.get_topology_desc(
        platform="cuda", topology_name="", topology=f"1x{hosts}x{each}", target_config=_target_config(chip)
    )
    return tuple(described.devices)


def _target_config(chip: Device) -> str:
    """A GPU as the text proto (``GpuTargetConfigProto``) that XLA compiles for when none is there."""
    cuda = chip.cuda
    assert cuda is not None
    features = "ACCELERATED_FEATURES" if cuda.capability >= (9, 0) else "NONE"
    return f"""gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: {cuda.shared_bytes}
  shared_memory_per_block_optin: {cuda.shared_bytes - 1024}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: {cuda.cores} fpus_per_core: 128 clock_rate_ghz: {chip.clock / 1e9}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  memory_bandwidth: {int(cuda.bandwidth)} l2_cache_size: {cuda.l2_bytes}
  device_memory_size: {int(chip.hbm_bytes)} device_address_bits: 64
  cuda_compute_capability {{
    major: {cuda.capability[0]} minor: {cuda.capability[1]} feature_extension: {features}
  }}
  driver_version: "13.0.0" runtime_version: "12.8.0" compile_time_toolkit_version: "12.8.0"
  dnn_version: "9.10.0" name: "{chip.kind}" device_vendor: "NVIDIA Corporation"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{chip.kind}"
"""


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
