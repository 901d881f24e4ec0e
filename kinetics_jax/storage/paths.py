"""The one door to a path: what a text that somebody wrote names, here or in an object store.

A path comes from a shell, a script with Windows line ends, a config file or a notebook. ``~`` is
expanded, whoever passed it; ``gs://bucket/x``, ``s3://…`` and ``az://…`` are object stores; what can only be
a mistake (``gs:/x``, ``$SCRATCH/x``, a flag swallowed as a value) is one line, not a folder of that name.
"""

import importlib.util
import os
import pathlib
import re
import urllib.parse
from typing import Any

from kinetics_jax.errors import InputError

PathLike = str | os.PathLike[str]
Place = Any
"""What ``place`` gives: a ``pathlib.Path``, or the ``etils.epath.Path`` of an object store."""

STORES = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs"}
"""Schemes of object stores, and the package that reaches each."""
_EXTRAS = {"gs": "kinetics-jax[gcs]"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{\w+\}|\$[A-Za-z_]\w*|%[A-Z_]+%")
_CONTROL = re.compile(r"[\x01-\x1f\x7f]")
_READABLE = "give a folder, or gs://bucket/path"


class PathError(InputError):
    """A path that names nothing usable: misspelled, of the wrong kind, or not to be written."""


def is_object_store(path: PathLike) -> bool:
    """Whether ``path`` is a URL of a store without append and locks, such as ``gs://bucket/x``."""
    scheme, mark, _ = os.fspath(path).partition("://")
    return bool(mark) and scheme in STORES


def expand(path: PathLike, name: str = "path") -> str:
    """The path that a text means: ``~`` expanded, ``file://`` taken off; else as it was given.

    Args:
      path: what somebody wrote.
      name: what errors call it, such as ``--out``.

    Raises ``PathError`` for a text that cannot be meant: empty, with a zero byte or a character that no
    file name has, an unknown or misspelled scheme, a variable or ``~user`` that nothing expands, a flag.
    """
    text = os.fspath(path)
    said = f"{name}={text!r}"
    if not isinstance(text, str):
        raise PathError(f"{said} must be a text, not {type(text).__name__}")
    if not text.strip():
        raise PathError(f"{name} is empty: name a file or folder")
    if "\0" in text:
        raise PathError(f"{said} holds a zero byte, which no path has")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise PathError(f"{said} holds a lone surrogate, which no file name has") from None
    scheme = _SCHEME.fullmatch(text)
    if scheme is not None:
        text = _of_scheme(text, scheme[1], scheme[2], said)
    if is_object_store(text) or os.path.lexists(text):
        return text
    if text.startswith("-"):
        raise PathError(f"{said} looks like a flag: was a value left out? (./{text} would do)")
    if bad := _CONTROL.search(text):
        windows = ": does the script have Windows line ends?" if bad[0] == "\r" else ""
        raise PathError(f"{said} holds the control character {bad[0]!r}{windows}")
    if bad := _VARIABLE.search(text):
        raise PathError(f"{said} holds {bad[0]}, which no shell has expanded: write it out")
    return _home(text, said)


def _of_scheme(text: str, scheme: str, rest: str, said: str) -> str:
    """``text`` that begins like a URL: the store's URL, the local path, or an error."""
    known = scheme.lower()
    if known in STORES or known == "gcs":
        proper = "gs" if known == "gcs" else known
        bucket = rest.lstrip("/")
        if scheme != proper or not rest.startswith("//") or rest[2:3] in ("", "/"):
            raise PathError(f"{said} is misspelled: write {proper}://{bucket or 'bucket/path'}")
        return text
    if known == "file":
        url = urllib.parse.urlsplit(text)
        if url.netloc not in ("", "localhost") or not url.path.startswith("/"):
            raise PathError(f"{said} is misspelled: write file:///path, or the path alone")
        return urllib.parse.unquote(url.path)
    if rest.startswith("//"):
        stores = ", ".join(f"{store}://" for store in STORES)
        raise PathError(f"{said}: {scheme}:// is no place known here; {_READABLE} ({stores})")
    if len(scheme) == 1 and rest[:1] in ("\\", "/") and not os.path.lexists(text):
        raise PathError(f"{said} is a path of Windows: name the folder as this system does")
    return text


def _home(text: str, said: str) -> str:
    if not text.startswith("~"):
        return text
    found = os.path.expanduser(text)
    if found.startswith("~"):
        user = text.partition("/")[0]
        raise PathError(f"{said}: {user} is the home of nobody here (./{text} would be taken as it is)")
    return found


def local(path: PathLike, name: str = "path", *, why: str = "") -> pathlib.Path:
    """``expand``, for what must lie on a file system of this machine.

    ``why`` ends the error for an object store: what to do instead. Raises ``PathError``.
    """
    text = expand(path, name)
    if is_object_store(text):
        raise PathError(f"{name}={text} is an object store: {why or 'copy it to a folder here first'}")
    return pathlib.Path(text)


def source(path: PathLike, name: str = "--model") -> str:
    """``expand``, for a model: a folder, a file, or a hub name, which stays. Raises ``PathError``."""
    local(path, name)
    return expand(path, name)


def input_path(path: PathLike, name: str = "path", *, folder: bool | None = None) -> pathlib.Path:
    """A local file or folder that is there. ``folder`` says which of the two is asked for; None: either.

    Raises ``PathError``; the text says what is there instead.
    """
    found = local(path, name)
    try:
        found.stat()
    except OSError as error:
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
        raise PathError(f"{name}={found}: cannot be read ({reason})") from None
    if folder is not None and found.is_dir() != folder:
        kinds = ("a folder", "a file") if found.is_dir() else ("a file", "a folder")
        raise PathError(f"{name}={found} is {kinds[0]}; give {kinds[1]}")
    return found


def place(path: PathLike, name: str = "path") -> Place:
    """``expand`` as a ``pathlib.Path``, or as the ``etils.epath.Path`` of an object store.

    Both list, read and write by the same methods. Raises ``PathError``, also where the package that
    reaches the store is not installed.
    """
    text = expand(path, name)
    if not is_object_store(text):
        return pathlib.Path(text)  # not epath: that takes a folder /gs/x for gs://x
    check_package(text, name)
    from etils import epath  # slow, and most callers have local paths only

    return epath.Path(text)


def check_package(url: str, name: str) -> None:
    """Raise ``PathError`` where the package that reaches the store of ``url`` is not installed."""
    import fsspec

    scheme = url.partition("://")[0]
    try:
        fsspec.get_filesystem_class("gcs" if scheme == "gs" else scheme)
    except (ImportError, ValueError):
        if importlib.util.find_spec("tensorflow") is not None:  # it reaches stores by itself
            return
        package = STORES[scheme]
        here = importlib.util.find_spec(package) is not None
        problem = "cannot be imported" if here else "is not installed"
        extra = _EXTRAS.get(scheme, package)
        raise PathError(
            f"{name}={url}: {scheme}:// needs {package}, which {problem}; pip install '{extra}'"
        ) from None
