"""JAX's TPU interpreter as the tests use it: its modes, and whether it saw a race.

jax 0.10 only records races in a private module; from 0.12 on it raises by itself.
"""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from jax._src.pallas.mosaic.interpret import interpret_pallas_call
from jax.experimental.pallas import tpu as pltpu

MACHINES = {
    "lazy": {"detect_races": True, "uninitialized_memory": "nan"},
    "eager": {"detect_races": True, "dma_execution_mode": "eager"},
}


class RaceError(AssertionError):
    """The interpreter saw two accesses that nothing orders."""


def parameters(mode: str) -> Any:
    """Interpreter parameters of one of MACHINES."""
    return pltpu.InterpretParams(**MACHINES[mode])


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raise `RaceError` if what runs inside has a race; leave a fresh interpreter behind."""
    raises = "on_race" in inspect.signature(pltpu.InterpretParams).parameters
    try:
        yield
        races = getattr(interpret_pallas_call, "races", None)
        if not raises and races is not None and races.races_found:
            raise RaceError("the interpreter found a race")
    finally:
        pltpu.reset_tpu_interpret_mode_state()
