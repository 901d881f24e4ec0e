"""How a program is started: what bubblewrap is told, and the limits that the driver sets inside."""

import dataclasses
import functools
import json
import math
import os
import pathlib
import random
import shutil
import sys
import sysconfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run of one program may use."""

    seconds: float = 20.0
    """CPU time of all its threads together (docs/paper_facts.md, "Grading")."""
    clock_seconds: float = 60.0
    """Time by the clock: more than CPU time, so that no program fails because the machine is busy."""
    memory_bytes: int = 1 << 30
    output_bytes: int = 16 << 20
    """Longest file it may write; standard output is one."""
    scratch_bytes: int = 32 << 20
    """Size of its /tmp, which is memory."""
    threads: int = 16
    open_files: int = 64


ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""All that a program finds in its environment."""


def plain(folder: pathlib.Path, limits: Limits, function: str | None) -> list[str]:
    """The command line without a sandbox; the number of processes is the user's, so it has no limit."""
    request = _request(limits, function, sysconfig.get_path("purelib"))
    return [os.path.realpath(sys.executable), "-I", "-S", str(folder / "driver.py"), request]


def confined(folder: pathlib.Path, limits: Limits, function: str | None, rules: int) -> list[str]:
    """The command line: a root with an interpreter, its packages, the program and a small /tmp."""
    root = os.geteuid() == 0
    # Root starts without a user namespace and becomes a number that nobody has: within one it would
    # still be root to the kernel, which does not count root's processes.
    uid = random.randrange(1 << 20, 1 << 30) if root else None
    python, view = _interpreter()
    request = _request(limits, function, "/packages", uid=uid, RLIMIT_NPROC=limits.threads)
    return [
        shutil.which("bwrap") or "bwrap",
        "--die-with-parent",
        "--new-session",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--hostname",
        "sandbox",
        "--unshare-cgroup-try",
        *(
            ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
            if root
            else ["--unshare-user"]
        ),
        *view,
        "--ro-bind-try",
        sysconfig.get_path("purelib"),
        "/packages",
        "--ro-bind",
        str(folder),
        "/program",
        "--dir",
        "/dev",
        "--dev-bind",
        "/dev/null",
        "/dev/null",
        "--perms",
        "1777",
        "--size",
        str(limits.scratch_bytes),
        "--tmpfs",
        "/tmp",
        "--remount-ro",
        "/",
        "--chdir",
        "/tmp",
        "--seccomp",
        str(rules),
        python,
        "-I",
        "-S",
        "/program/driver.py",
        request,
    ]


_OPEN = ("/usr", "/usr/local", "/etc")  # else closed to all but root where root starts
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")


@functools.cache
def _interpreter() -> tuple[str, list[str]]:
    """Path of Python inside, and the options that show it and the system's shared libraries there.

    A Python of its own tree (pyenv, uv, conda) appears as /python: the folders above it may be
    closed to the user that the program becomes.
    """
    view = [part for path in _OPEN for part in ("--perms", "0755", "--dir", path)]
    for path in filter(os.path.lexists, _LIBRARIES):
        if os.path.islink(path):
            view += ["--symlink", os.readlink(path), path]
        else:
            view += ["--ro-bind", path, path]
    executable, prefix = os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix)
    if prefix in ("/usr", "/usr/local"):
        return executable, [*view, "--ro-bind", executable, executable]
    inside = "/python/" + os.path.relpath(executable, prefix)
    view += ["--ro-bind", prefix, "/python", "--setenv", "LD_LIBRARY_PATH", "/python/lib"]
    return inside, view


def _request(
    limits: Limits, function: str | None, packages: str, *, uid: int | None = None, **more: int
) -> str:
    rlimits = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": math.ceil(limits.seconds),
        "RLIMIT_FSIZE": limits.output_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_STACK": 64 << 20,
        **more,
    }
    return json.dumps({"function": function, "packages": packages, "uid": uid, "rlimits": rlimits})
