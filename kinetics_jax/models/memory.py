"""Out of memory, on the host or on a device, as one line that says what was too large and what to do."""

import contextlib
from collections.abc import Iterator

import jax

from kinetics_jax.errors import OutOfMemoryError

_EXHAUSTED = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory")
"""What XLA's errors say where an allocation failed."""


@contextlib.contextmanager
def memory_in_one_line(what: str, remedy: str) -> Iterator[None]:
    """Raise ``OutOfMemoryError`` in the block in place of XLA's and Python's own; others pass.

    Args:
      what: what needs the memory, such as "the weights of M".
      remedy: what to do about it.
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and not any(text in reason for text in _EXHAUSTED):
            raise
        raise OutOfMemoryError(
            f"{what} do not fit the memory ({reason[:160] or 'out of memory'}): {remedy}"
        ) from error
