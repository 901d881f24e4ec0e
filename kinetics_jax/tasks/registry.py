"""Tasks by name: every module in ``tasks/catalog`` is one, imported only when it is loaded."""

import importlib
import inspect
import os
import pkgutil
from typing import Any

from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.tasks import catalog
from kinetics_jax.tasks.base import Task


def names() -> tuple[str, ...]:
    """Every task there is, in alphabetical order. Imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(catalog.__path__)))


def load(
    name: str, path: str | os.PathLike[str] | None = None, limit: int | None = None, **options: Any
) -> Task:
    """The task called ``name``.

    Args:
        name: one of ``names()``.
        path: file or folder that holds the problems; None downloads them, or builds them where the
            task is built in.
        limit: keep the first ``limit`` problems.
        options: what this task alone knows, such as ``unsafe_local_exec`` of LiveCodeBench.

    Raises:
        UnknownNameError: no such task.
        InputError: an option it does not know, a bad ``limit``, or problems that cannot be read.
    """
    known = names()
    if name not in known:
        raise UnknownNameError("task", name, known)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InputError(f"limit={limit!r} must be a whole number ≥ 1, or left out")
    function = importlib.import_module(f"{catalog.__name__}.{name}").load
    accepted = set(inspect.signature(function).parameters) - {"path", "limit"}
    if unknown := sorted(set(options) - accepted):
        raise InputError(
            f"task {name} has no option {', '.join(unknown)}; it has {', '.join(sorted(accepted)) or 'none'}"
        )
    return function(path=path, limit=limit, **options)
