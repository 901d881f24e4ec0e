"""Runs one untrusted program on one input, in a bubblewrap sandbox of its own.

What it may and may not do is written in docs/tasks.md and held by tests/tasks/test_sandbox.py.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from typing import IO

from kinetics_jax.errors import InputError
from kinetics_jax.tasks.programs import command_line, seccomp
from kinetics_jax.tasks.programs.command_line import Limits


class SandboxError(InputError):
    """Programs cannot be run safely on this machine; the text says what to install."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    status: int | None
    """Exit status; negative: minus the signal; None: killed because its time was over, CPU or clock."""
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


_OVER = (-signal.SIGXCPU, 128 + signal.SIGXCPU)  # the latter is how bubblewrap reports it

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


def _run(folder: pathlib.Path, stdin: str, function: str | None, limits: Limits, *, unsafe: bool) -> Outcome:
    with contextlib.ExitStack() as files:
        given, printed, errors = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin.encode("utf-8", "replace"))
        given.seek(0)
        rules: tuple[int, ...] = ()
        if unsafe:
            place = files.enter_context(tempfile.TemporaryDirectory(prefix="kinetics-jax-"))
            command = command_line.plain(folder, limits, function)
        else:
            place, program = "/", files.enter_context(tempfile.TemporaryFile())
            program.write(seccomp.program())
            program.seek(0)
            rules = (program.fileno(),)
            command = command_line.confined(folder, limits, function, program.fileno())
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=printed,
            stderr=errors,
            cwd=place,
            env=command_line.ENVIRONMENT,
            pass_fds=rules,
            start_new_session=True,
        )
        status = _wait(process, limits.clock_seconds)
        if status in _OVER:
            status = None
        output = _read(printed, limits.output_bytes)
        message = _read(errors, 1 << 16).strip().rpartition("\n")[2]
        return Outcome(status=status, output=output, message=message)


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
