"""Which package is missing, too old or does not load, in one line.

Imports nothing but the standard library: any other package may be the one.
"""

import importlib.metadata
import pathlib
import re
import sys
import traceback
from types import TracebackType

_OURS = ("kinetics_jax", "pallas_kernels", "experiments", "configs", "tests")
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_REQUIREMENT = re.compile(r"\s*([A-Za-z][\w.\-]*)\s*>=\s*([\d.]+)")


def requirements() -> dict[str, str]:
    """Distribution → least version, of this checkout's ``setup.cfg``, else of what is installed."""
    try:
        text = (_ROOT / "setup.cfg").read_text(encoding="utf-8")
        lines = text.partition("install_requires =\n")[2].partition("\n\n")[0].splitlines()
    except OSError:
        lines = [line for line in _installed_requires() if "extra ==" not in line]
    return {found[1]: found[2] for line in lines if (found := _REQUIREMENT.match(line))}


def unmet() -> str:
    """One line on every requirement that is missing or too old; empty where all are met."""
    problems, wanted = [], []
    for name, least in requirements().items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{name} is not installed")
        else:
            if _numbers(here) >= _numbers(least):
                continue
            problems.append(f"{name} {here} is installed, and {least} or newer is needed")
        wanted.append(f"'{name}>={least}'")
    return f"{'; '.join(problems)}: pip install -U {' '.join(wanted)}" if problems else ""


def explain_import(error: BaseException) -> str:
    """One line for an error that a package which is not ours raised while it was loaded, or empty."""
    if line := unmet():
        return line
    package, module = _culprit(error), getattr(error, "name", None)
    if isinstance(error, ImportError) and module and module.partition(".")[0] not in _OURS:
        package = module.partition(".")[0]
    if package is None:
        return ""
    least = requirements().get(package)
    wanted = f"'{package}>={least}'" if least else f"'{package}'"
    reason = " ".join(str(error).split())
    return f"{package} cannot be loaded ({type(error).__name__}: {reason}): pip install -U {wanted}"


def one_line_on_failed_imports() -> None:
    """From now on an error while modules are loaded is one line and exit code 1, not a traceback.

    For ``python -m``, before a command's own imports; errors of our own code keep their traceback.
    """

    def hook(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        line = explain_import(error) if isinstance(error, Exception) else ""
        if line:
            print(f"error: {line}", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, where)

    sys.excepthook = hook


def _culprit(error: BaseException) -> str | None:
    """The package in whose code the error arose, unless that is ours or the standard library."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        path = pathlib.PurePath(frame.filename)
        if "site-packages" in path.parts:
            at = len(path.parts) - 1 - path.parts[::-1].index("site-packages")
            return path.parts[at + 1].removesuffix(".py")
        if _ROOT in path.parents:
            return None
    return None


def _installed_requires() -> list[str]:
    try:
        return importlib.metadata.requires("kinetics-jax") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)
