"""Things of a user's own by reference: ``my_file.py:Name``, ``package.module:Name``, or an entry point.

A file is imported once for each path, under a name of its own, so that what it defines stays one thing.
"""

import functools
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from importlib import metadata
from types import ModuleType
from typing import Any

from kinetics_jax.errors import InputError

_PREFIX = "kinetics_jax_own_"
_REFERENCE = re.compile(r"\s*([^:]+\.py\s*(:.*)?|[A-Za-z_][\w.]*:.*)", re.DOTALL)


def is_reference(text: str) -> bool:
    """Whether ``text`` begins with a file of Python, or a module and a colon, and is no plain name."""
    return _REFERENCE.fullmatch(text) is not None


def load(reference: str, what: str, default: str = "") -> Any:
    """What ``reference`` names.

    Args:
      reference: ``path/file.py:Name`` or ``package.module:Name``.
      what: what errors call it, such as "policy".
      default: the name that is meant where the reference has none.

    Raises:
      InputError: no such file or module, code that fails as it is imported, or no such name in it.
    """
    place, _, name = reference.partition(":")
    module, name = _module(place, reference, what), name or default
    found = getattr(module, name, None)
    if found is None:
        raise InputError(
            f"{what} {reference}: {place} has no {name or 'name after the colon'}; define it there"
        )
    return found


def load_module(place: str, what: str = "--load") -> ModuleType:
    """A file of Python, or a module by its name, for what it registers. Raises ``InputError`` as ``load``."""
    return _module(place, place, what)


@functools.cache
def entry_point(group: str, name: str) -> Any:
    """What an installed package offers as ``name`` in ``group`` (``kinetics_jax.policies`` …), else None.

    Raises ``InputError`` where it fails as it is imported.
    """
    for point in metadata.entry_points(group=group, name=name):
        try:
            return point.load()
        except Exception as error:  # a stranger's code
            raise _failed(f"{group}: {name}", point.value, error) from error
    return None


def reference_of(thing: type) -> str:
    """A reference that ``load`` finds a class by; empty for this library's own and for local ones."""
    if thing.__module__.partition(".")[0] == __name__.partition(".")[0] or "<locals>" in thing.__qualname__:
        return ""
    place = thing.__module__
    if place.startswith(_PREFIX):
        place = str(sys.modules[place].__file__)
    return f"{place}:{thing.__qualname__}"


def _module(place: str, reference: str, what: str) -> ModuleType:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except Exception as error:  # a stranger's code
            raise _failed(f"{what} {reference}", place, error) from error
    file = os.path.realpath(os.path.expanduser(place))
    if not os.path.isfile(file):
        raise InputError(f"{what} {reference}: there is no file {place}; give its path, as my_file.py:Name")
    name = _PREFIX + hashlib.sha256(file.encode()).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None  # it ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a stranger's code
        del sys.modules[name]
        raise _failed(f"{what} {reference}", place, error) from error
    return module


def _failed(where: str, place: str, error: Exception) -> InputError:
    if isinstance(error, ModuleNotFoundError) and error.name and place.startswith(error.name):
        return InputError(
            f"{where}: there is no module {error.name}; install it, or give the path of a .py file"
        )
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(f"{where}: importing {place} fails ({text}); mend it there")
