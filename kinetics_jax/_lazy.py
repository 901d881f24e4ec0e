"""Faces of rooms that are heavy to enter: a public name imports its module when it is first asked for."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def face(room: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of the package ``room`` (PEP 562).

    Args:
      room: name of the package.
      names: public name → module of the package that has it, or the name itself for a module.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        module = importlib.import_module(f"{room}.{names[name]}")
        return module if names[name] == name else getattr(module, name)

    return get, lambda: sorted(names)
