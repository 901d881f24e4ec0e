"""Test-time scaling laws that price compute and memory, and the JAX code to measure them.

Importing this package is cheap: no JAX, no SciPy. ``dir(kinetics_jax)`` shows its rooms, and each is
imported when it is first asked for. ``policies``, ``records``, ``shapes``, ``chips``, ``costs``,
``scaling``, ``calibration``, ``published`` and ``report`` need no JAX; ``attention``, ``models``,
``ahead_of_time``, ``engine``, ``fidelity``, ``sweep`` and ``training`` do. ``docs/design.md`` says
what lives where.
"""

from typing import TYPE_CHECKING

from kinetics_jax import _lazy
from kinetics_jax._version import __version__

if TYPE_CHECKING:
    from kinetics_jax.engine import Engine

_ROOMS = (
    "ahead_of_time",
    "attention",
    "calibration",
    "chips",
    "commands",
    "costs",
    "engine",
    "errors",
    "fidelity",
    "models",
    "policies",
    "published",
    "records",
    "references",
    "report",
    "scaling",
    "shapes",
    "storage",
    "sweep",
    "tasks",
    "training",
)

__all__ = ["Engine", "__version__", *_ROOMS]

__getattr__, _dir = _lazy.face(__name__, {room: room for room in _ROOMS} | {"Engine": "engine"})


def __dir__() -> list[str]:
    return [*_dir(), "__version__"]
