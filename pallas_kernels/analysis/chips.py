"""The chips that `compile_for` knows: what their compiler must be told, and the figures of a roofline.

Nothing here is measured. A *device* is what JAX calls one: a chip, but half a chip (a core) of v4 and TPU7x.
"""

import dataclasses
from typing import Literal

TPU_SOURCE = (
    "cloud.google.com/tpu/docs system pages (peak bf16 FLOP/s, HBM bytes and bytes/s per device); "
    "clock = peak / FLOP per cycle of its matrix units, so indicative only"
)
GPU_SOURCE = "NVIDIA data sheets (SXM parts, dense bf16 FLOP/s) and the CUDA programming guide"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One device of an accelerator, as its compiler and its data sheet see it.

    Attributes:
        name: what callers say, such as ``"v5e"``.
        vendor: which compiler: ``"tpu"`` (libtpu) or ``"gpu"`` (XLA:GPU, Mosaic GPU and ptxas).
        device_kind: what JAX calls the device.
        flops: peak dense bf16 FLOP/s.
        hbm_bytes: HBM of one device.
        hbm_bandwidth: HBM bytes/s of one device.
        clock: cycles/s; turns the TPU compiler's cycle estimate into seconds.
        source: where the figures are from.

    """

    name: str
    vendor: Literal["tpu", "gpu"]
    device_kind: str
    flops: float
    hbm_bytes: float
    hbm_bandwidth: float
    clock: float
    source: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuChip(Chip):
    """A TPU generation.

    Attributes:
        topologies: number of devices → libtpu's name of the smallest slice that has them.
        has_cycle_model: whether libtpu's static profile knows the chip's DMA latencies.

    """

    vendor: Literal["tpu", "gpu"] = "tpu"
    source: str = TPU_SOURCE
    topologies: dict[int, str]
    has_cycle_model: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class GpuChip(Chip):
    """A GPU; the added fields fill XLA's ``GpuTargetConfigProto``.

    Attributes:
        capability: CUDA compute capability (major, minor).
        cores: streaming multiprocessors.
        l2_bytes: level-2 cache.
        shared_bytes: shared memory of a multiprocessor; a block may take all but 1 KiB.

    """

    vendor: Literal["tpu", "gpu"] = "gpu"
    source: str = GPU_SOURCE
    capability: tuple[int, int]
    cores: int
    l2_bytes: int
    shared_bytes: int

    @property
    def target_config(self) -> str:
        """The chip as the text proto that XLA:GPU compiles for when no GPU is there."""
        features = "ACCELERATED_FEATURES" if self.capability >= (9, 0) else "NONE"
        return f"""gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: {self.shared_bytes}
  shared_memory_per_block_optin: {self.shared_bytes - 1024}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: {self.cores} fpus_per_core: 128 clock_rate_ghz: {self.clock / 1e9}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  memory_bandwidth: {int(self.hbm_bandwidth)} l2_cache_size: {self.l2_bytes}
  device_memory_size: {int(self.hbm_bytes)} device_address_bits: 64
  cuda_compute_capability {{
    major: {self.capability[0]} minor: {self.capability[1]} feature_extension: {features}
  }}
  driver_version: "13.0.0" runtime_version: "12.8.0" compile_time_toolkit_version: "12.8.0"
  dnn_version: "9.10.0" name: "{self.device_kind}" device_vendor: "NVIDIA Corporation"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{self.device_kind}"
"""


_ONE_CORE_PER_DEVICE = {8: "2x2x1", 16: "2x2x2", 128: "4x4x4"}
_PLANAR = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 64: "8x8", 256: "16x16"}
_CUBES = {4: "2x2x1", 8: "2x2x2", 64: "4x4x4"}

_ALL: tuple[Chip, ...] = (
    TpuChip(
        name="v4",
        device_kind="TPU v4",
        flops=137.5e12,
        hbm_bytes=16 * 2**30,
        hbm_bandwidth=614e9,
        clock=1.05e9,
        topologies=_ONE_CORE_PER_DEVICE,
        has_cycle_model=False,
    ),
    TpuChip(
        name="v5e",
        device_kind="TPU v5 lite",
        flops=197e12,
        hbm_bytes=16 * 2**30,
        hbm_bandwidth=819e9,
        clock=1.5e9,
        topologies=_PLANAR,
    ),
    TpuChip(
        name="v5p",
        device_kind="TPU v5",
        flops=459e12,
        hbm_bytes=95 * 2**30,
        hbm_bandwidth=2765e9,
        clock=1.75e9,
        topologies=_CUBES,
    ),
    TpuChip(
        name="v6e",
        device_kind="TPU v6 lite",
        flops=918e12,
        hbm_bytes=32 * 2**30,
        hbm_bandwidth=1640e9,
        clock=1.75e9,
        topologies=_PLANAR,
    ),
    TpuChip(
        name="tpu7x",
        device_kind="TPU7x",
        flops=1153.5e12,
        hbm_bytes=96 * 2**30,
        hbm_bandwidth=3690e9,
        clock=2.2e9,
        topologies=_ONE_CORE_PER_DEVICE,
    ),
    GpuChip(
        name="a100",
        device_kind="NVIDIA A100-SXM4-80GB",
        flops=312e12,
        hbm_bytes=85_100_068_864,
        hbm_bandwidth=2039e9,
        clock=1.41e9,
        capability=(8, 0),
        cores=108,
        l2_bytes=40 * 2**20,
        shared_bytes=164 * 2**10,
    ),
    GpuChip(
        name="h100",
        device_kind="NVIDIA H100 80GB HBM3",
        flops=989e12,
        hbm_bytes=84_942_979_072,
        hbm_bandwidth=3352e9,
        clock=1.98e9,
        capability=(9, 0),
        cores=132,
        l2_bytes=50 * 2**20,
        shared_bytes=228 * 2**10,
    ),
    GpuChip(
        name="b200",
        device_kind="NVIDIA B200",
        flops=2250e12,
        hbm_bytes=191_514_411_008,
        hbm_bandwidth=7672e9,
        clock=1.965e9,
        capability=(10, 0),
        cores=148,
        l2_bytes=126 * 2**20,
        shared_bytes=228 * 2**10,
    ),
)
CHIPS: dict[str, Chip] = {chip.name: chip for chip in _ALL}
