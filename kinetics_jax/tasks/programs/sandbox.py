"""Runs one untrusted program on one input, in a bubblewrap sandbox of its own.

What it may and may not do is written in docs/tasks.md and held by tests/tasks/test_sandbox.py.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib import resources
from typing import IO

from kinetics_jax.spec import InputError
from kinetics_jax.tasks.programs import seccomp


class SandboxError(InputError):
    """Programs cannot be run safely on this machine; the text says what to install."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run of one program may use."""

    seconds: float = 20.0
    """Wall-clock time, and CPU time of all its threads together (facts §4.4)."""
    memory_bytes: int = 1 << 30
    output_bytes: int = 16 << 20
    """Longest file it may write; standard output is one."""
    scratch_bytes: int = 32 << 20
    """Size of its /tmp, which is memory."""
    threads: int = 16
    open_files: int = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    status: int | None
    """Exit status; negative: minus the signal; None: killed because its time was over."""
    output: str
    message: str
    """Last line of standard error."""


class Sandbox:
    """Runs programs. ``unsafe_local_exec`` runs them without a sandbox, with limits only."""

    def __init__(self, limits: Limits | None = None, *, unsafe_local_exec: bool = False) -> None:
        """Raises ``SandboxError`` where bubblewrap is missing or cannot do its work here."""
        self._limits = limits or Limits()
        self._unsafe = unsafe_local_exec
        reason = None if unsafe_local_exec else unavailable()
        if reason:
            raise SandboxError(
                f"cannot run programs safely: {reason}. Or pass unsafe_local_exec=True to run them "
                "without a sandbox, on a machine that you can lose"
            )

    @contextlib.contextmanager
    def program(self, source: str) -> Iterator[pathlib.Path]:
        """A folder that holds the program, for ``run``; gone afterwards."""
        with _folder(source) as folder:
            yield folder

    def run(self, folder: pathlib.Path, stdin: str, function: str | None = None) -> Outcome:
        """The program in ``folder`` on one input: as a script, or one call of ``function``."""
        return _run(folder, stdin, function, self._limits, unsafe=self._unsafe)


_PROBE = """
import os, socket
for name, attempt in {
    "can start processes": os.fork,
    "has a network": socket.socket,
    "can read /etc/passwd": lambda: open("/etc/passwd"),
    "can write to /": lambda: open("/escaped", "w"),
}.items():
    try:
        attempt()
    except OSError:
        continue
    print("a program in it", name, flush=True)
    os._exit(0)
print("confined")
"""


@functools.cache
def unavailable() -> str | None:
    """Why no sandbox can be had on this machine; None where it works (tried once, in earnest)."""
    if sys.platform != "linux":
        return "the sandbox is bubblewrap, which is for Linux"
    if platform.machine() not in seccomp.machines():
        return f"the system-call filter is not written for {platform.machine()}"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (apt-get install bubblewrap)"
    with _folder(_PROBE) as folder:
        outcome = _run(folder, "", None, Limits(), unsafe=False)
    if outcome.output.strip() == "confined":
        return None
    return f"bubblewrap does not work here ({outcome.output.strip() or outcome.message or outcome.status})"


@contextlib.contextmanager
def _folder(source: str) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="kinetics-jax-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # the program may run as another user
        driver = resources.files(__package__).joinpath("driver.py").read_bytes()
        (folder / "driver.py").write_bytes(driver)
        (folder / "solution.py").write_text(source, "utf-8", "replace")
        for file in folder.iterdir():
            file.chmod(0o644)
        yield folder


def _run(
    folder: pathlib.Path, stdin: str, function: str | None, limits: Limits, *, unsafe: bool
) -> Outcome:
    with contextlib.ExitStack() as files:
        given, printed, errors = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin.encode("utf-8", "replace"))
        given.seek(0)
        rules: tuple[int, ...] = ()
        if unsafe:
            place = files.enter_context(tempfile.TemporaryDirectory(prefix="kinetics-jax-"))
            command = _plain(folder, limits, function)
        else:
            place, program = "/", files.enter_context(tempfile.TemporaryFile())
            program.write(seccomp.program())
            program.seek(0)
            rules = (program.fileno(),)
            command = _confined(folder, limits, function, program.fileno())
        process = subprocess.Popen(
            command, stdin=given, stdout=printed, stderr=errors, cwd=place, env=_ENVIRONMENT,
            pass_fds=rules, start_new_session=True,
        )  # fmt: skip
        status = _wait(process, limits.seconds)
        output = _read(printed, limits.output_bytes)
        message = _read(errors, 1 << 16).strip().rpartition("\n")[2]
        return Outcome(status=status, output=output, message=message)


_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
}  # fmt: skip


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # Its whole session; in a sandbox the rest dies with the first process of its PID namespace.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(file: IO[bytes], limit: int) -> str:
    file.seek(0)
    return file.read(limit).decode("utf-8", "replace")


def _request(limits: Limits, function: str | None, packages: str, uid: int | None) -> str:
    rlimits = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": int(limits.seconds) + 1,
        "RLIMIT_FSIZE": limits.output_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_NPROC": limits.threads,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_STACK": 64 << 20,
    }
    return json.dumps({"function": function, "packages": packages, "uid": uid, "rlimits": rlimits})


def _plain(folder: pathlib.Path, limits: Limits, function: str | None) -> list[str]:
    packages = sysconfig.get_path("purelib")
    return [
        os.path.realpath(sys.executable),
        "-I",
        str(folder / "driver.py"),
        _request(limits, function, packages, None),
    ]


def _confined(folder: pathlib.Path, limits: Limits, function: str | None, rules: int) -> list[str]:
    """The command line: a root with an interpreter, its packages, the program and a small /tmp."""
    root = os.geteuid() == 0
    # Root starts without a user namespace and becomes a number that nobody has: within one it would
    # still be root to the kernel, which does not count root's processes.
    uid = random.randrange(1 << 20, 1 << 30) if root else None
    python, view = _interpreter()
    return [
        "bwrap", "--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid",
        "--unshare-net", "--unshare-uts", "--hostname", "sandbox", "--unshare-cgroup-try",
        *(["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
          if root else ["--unshare-user"]),
        *view,
        "--ro-bind-try", sysconfig.get_path("purelib"), "/packages",
        "--ro-bind", str(folder), "/program",
        "--dir", "/dev", "--dev-bind", "/dev/null", "/dev/null",
        "--perms", "1777", "--size", str(limits.scratch_bytes), "--tmpfs", "/tmp",
        "--remount-ro", "/", "--chdir", "/tmp", "--seccomp", str(rules),
        python, "-I", "-S", "/program/driver.py", _request(limits, function, "/packages", uid),
    ]  # fmt: skip


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
