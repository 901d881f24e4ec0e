"""Tasks by name: every module in ``tasks/catalog`` is one, imported only when it is loaded.

A file of one's own with the same ``load`` is a task by its path; a package offers its own as entry points.
"""

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable
from typing import Any

from kinetics_jax import references
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.tasks import catalog
from kinetics_jax.tasks.base import Task

ENTRY_POINTS = "kinetics_jax.tasks"
"""Group in which an installed package offers tasks: each a function as the modules' ``load``."""


def names() -> tuple[str, ...]:
    """Every task there is, in alphabetical order. Imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(catalog.__path__)))


def load(
    name: str, path: str | os.PathLike[str] | None = None, limit: int | None = None, **options: Any
) -> Task:
    """The task called ``name``.

    Args:
        name: one of ``names()``, the path of a file (``my_task.py``), or ``package.module:load``.
        path: file or folder that holds the problems; None downloads them, or builds them where the
            task is built in.
        limit: keep the first ``limit`` problems.
        options: what this task alone knows, such as ``unsafe_local_exec`` of LiveCodeBench.

    Raises:
        UnknownNameError: no such task.
        InputError: a file that is not there or has no ``load``, an option it does not know, a bad
            ``limit``, or problems that cannot be read.
    """
    function = _loader(name)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InputError(f"limit={limit!r} must be a whole number ≥ 1, or left out")
    accepted = set(inspect.signature(function).parameters) - {"path", "limit"}
    if unknown := sorted(set(options) - accepted):
        raise InputError(
            f"task {name} has no option {', '.join(unknown)}; it has {', '.join(sorted(accepted)) or 'none'}"
        )
    return function(path=path, limit=limit, **options)


def name_of(reference: str) -> str:
    """What a task is called that was asked for so: a file's by its stem, all others as they stand."""
    return os.path.basename(reference.partition(":")[0]).removesuffix(".py")


def _loader(name: str) -> Callable[..., Task]:
    if references.is_reference(name):
        return references.load(name, "task", default="load")
    known = names()
    if name in known:
        return importlib.import_module(f"{catalog.__name__}.{name}").load
    if found := references.entry_point(ENTRY_POINTS, name):
        return found
    raise UnknownNameError("task", name, known)
