"""Loads the checkpoint folders named on its standard input, within a limit of memory, and answers in JSON.

A process of its own: a crash or a hang of the loader is seen from outside, and the limit is the kernel's.
"""

import json
import os
import resource
import sys
import traceback
import tracemalloc

os.environ["JAX_PLATFORMS"] = "cpu"

import jax

from kinetics_jax import models
from kinetics_jax.errors import InputError

# Beyond what the process has mapped once it has loaded the whole checkpoints: XLA compiles within it.
ROOM_BYTES = 512 * 2**20


def _load(folder: str) -> dict:
    tracemalloc.start()
    answer: dict = {"refused": None, "bug": None}
    try:
        jax.block_until_ready(models.load(folder))
    except InputError as error:
        answer["refused"] = str(error)
    except Exception:  # noqa: BLE001 - the answer carries it
        answer["bug"] = traceback.format_exc()
    answer["traced_bytes"] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return answer


def _mapped_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def main() -> None:
    """The first line names whole folders, to warm up with; every other line one folder to try."""
    jax.config.update("jax_disable_most_optimizations", True)
    for folder in json.loads(sys.stdin.readline()):
        print(json.dumps(_load(folder)), flush=True)
    limit = _mapped_bytes() + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in sys.stdin:
        print(json.dumps(_load(line.rstrip("\n"))), flush=True)


if __name__ == "__main__":
    main()
