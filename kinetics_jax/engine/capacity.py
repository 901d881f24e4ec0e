"""How many sequences fit the memory that is really free."""

import math
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from kinetics_jax.attention import PagedPlan
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import ModelConfig

MOST_SLOTS = 256
"""Slots of a lane that the engine takes by itself at most."""


def free_bytes(device: jax.Device) -> int:
    """Memory of ``device`` that nothing uses: what its runtime says, or the host's for a CPU."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    devices = len(jax.local_devices(backend=device.platform))
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // devices


def least_free_bytes(devices: Sequence[jax.Device]) -> int:
    """The least that is free on any device of any process: all of them must take the same shapes."""
    here = min(free_bytes(device) for device in devices)
    if jax.process_count() == 1:
        return here
    gigabytes = multihost_utils.process_allgather(np.float32(here / 2**30))
    return int(gigabytes.min() * 2**30)


def sequence_bytes(
    plan: PagedPlan, config: ModelConfig, pages: int, dtype: jax.typing.DTypeLike, head_dim: int
) -> int:
    """Bytes on one device of a sequence of ``pages`` full pages, its page summaries included."""
    split = plan.sharding
    ways = math.prod(split.mesh.shape[axis] for axis in split.head_axes) if split else 1
    heads = plan.kv_heads(config) // ways
    width = jnp.dtype(dtype).itemsize
    elements = plan.num_layers * heads * pages * head_dim
    return elements * (2 * plan.page_size * width + plan.summaries * max(width, 2))


def slots_that_fit(per_sequence: int, free: int, prompt_rows: int, fraction: float) -> int:
    """Slots of a lane, beside ``prompt_rows`` prompts of full length, in ``fraction`` of what is free.

    Raises ``InputError`` where not even one fits.
    """
    slots = int(free * fraction) // per_sequence - prompt_rows
    if slots < 1:
        raise InputError(
            f"{free / 2**30:.2f} GiB are free; a sequence of full context takes "
            f"{per_sequence / 2**30:.2f} GiB and {1 + prompt_rows} are needed: lower max_context"
        )
    return min(slots, MOST_SLOTS)
