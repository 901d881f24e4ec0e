"""Whether weights fit the memory, asked before gigabytes of them are read and the system ends the process."""

import pathlib
import resource

import jax
import numpy as np

from kinetics_jax.models.checkpoints.checkpoint import CheckpointError
from kinetics_jax.shapes import ModelConfig

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_memory(
    config: ModelConfig, bytes_per_weight: float, mesh: jax.sharding.Mesh | None, where: pathlib.Path
) -> None:
    """Raise ``CheckpointError`` where the weights alone take more than the memory that could be had.

    A lower bound of what is needed against an upper one of what is there: nothing that fits is refused.
    """
    devices = [jax.local_devices()[0]] if mesh is None else mesh.local_devices
    needed = config.total_params * bytes_per_weight
    if mesh is not None:
        needed *= len(devices) / mesh.devices.size
    if devices[0].platform == "cpu":
        there, place = host_bytes(), "this machine"
    else:
        there, place = (sum(map(_device_bytes, devices)), f"{len(devices)} × {devices[0].device_kind}")
    if needed > there:
        raise CheckpointError(
            f"{where}: its weights take {needed / 1e9:,.1f} GB, and {place} can give {there / 1e9:,.1f} GB; "
            "take a smaller model, int8 weights, or more devices"
        )


def host_bytes() -> float:
    """The most memory that this process could get: what is available with swap, under every limit."""
    found = [_available()]
    for file in _CGROUPS:
        try:
            found.append(float(pathlib.Path(file).read_text()))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            found.append(float(soft))
    return min(found)


def _available() -> float:
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux: nothing is known, nothing is refused
        return float("inf")
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    kibibytes = [int(fields[name].split()[0]) for name in ("MemAvailable", "SwapFree") if name in fields]
    return sum(kibibytes) * 1024.0 if kibibytes else float("inf")


def _device_bytes(device: jax.Device) -> float:
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return float("inf")
    return float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))


def bytes_per_weight(dtype: jax.typing.DTypeLike, quantize: str | None) -> float:
    """Of a model of this dtype; scales of int8 weights, which are few, are left out."""
    return 1.0 if quantize == "int8" else np.dtype(jax.numpy.dtype(dtype)).itemsize
