"""Former home of what now lives in ``errors``, ``policies``, ``records`` and ``shapes``."""

import warnings
from typing import Any

from kinetics_jax import errors, policies, records, shapes


def __getattr__(name: str) -> Any:
    for room in (errors, policies, records, shapes):
        if hasattr(room, name) and not name.startswith("_"):
            home = f"{room.__name__}.{name}"
            warnings.warn(f"kinetics_jax.spec.{name} is now {home}", DeprecationWarning, 2)
            return getattr(room, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
