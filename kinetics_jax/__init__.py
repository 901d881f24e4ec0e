"""Test-time scaling laws that price compute and memory, and the JAX code to measure them.

Importing this package is cheap: no JAX, no SciPy. Each half of the house is imported on first use:
``kinetics_jax.spec``, ``.costs``, ``.scaling`` and ``.report`` (accounting, NumPy only),
``.tasks`` (problems and graders), and ``kinetics_jax.models`` and ``.attention`` (decoding, JAX).
"""

import importlib
from typing import Any

from kinetics_jax._version import __version__

_ROOMS = ("attention", "costs", "engine", "models", "report", "scaling", "spec", "tasks")
_NAMES = {"Engine": "engine"}  # public names that live in a room

__all__ = ["Engine", "__version__", *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
