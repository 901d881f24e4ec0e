"""Several processes on one sweep: who is who, a common start, a stop that all agree on, an end.

Samples travel through the shared directory only. JAX is asked for two things: which process this is, and,
at the start and where one model spans processes, that all go on together.
"""

import math
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from kinetics_jax.errors import InputError
from kinetics_jax.storage import Place, place
from kinetics_jax.storage.line_log import PathLike
from kinetics_jax.sweep.shares import Share

if TYPE_CHECKING:
    from collections.abc import Callable

_WAIT_SECONDS = 7 * 24 * 3600
"""How long a process that is through waits for the others before it says that they are gone."""


def initialize() -> Share:
    """Start ``jax.distributed`` and say which process this is. Call it before JAX does anything else.

    Slurm, Open MPI, GKE and Cloud TPU are detected. Elsewhere set ``JAX_COORDINATOR_ADDRESS``
    (host:port of process 0), ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``.
    """
    import jax

    numbers: dict[str, Any] = {}
    for option, variable in (("num_processes", "JAX_NUM_PROCESSES"), ("process_id", "JAX_PROCESS_ID")):
        if text := os.environ.get(variable):
            if not text.isdigit():
                raise InputError(f"{variable}={text!r} must be a whole number")
            numbers[option] = int(text)
    try:
        jax.distributed.initialize(**numbers, shutdown_timeout_seconds=_WAIT_SECONDS)
    except (ValueError, RuntimeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(
            f"--distributed: {first} (set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID where no cluster is detected)"
        ) from None
    return Share(jax.process_index(), jax.process_count())


def meet(name: str, share: Share) -> None:
    """Go on when all processes are here."""
    if share.processes > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def any_of_us(flag: bool, share: Share) -> bool:
    """Whether ``flag`` is set on any process; all must ask, in step."""
    if share.processes == 1:
        return flag
    import numpy as np
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


class Attendance:
    """Which processes of this run are through, as empty files in the directory."""

    def __init__(self, root: PathLike, share: Share) -> None:
        """All processes make one together, after the directory is there."""
        self._share = share
        self._folder = place(root) / "attendance"
        if share.processes == 1:
            return
        run = self._folder / "run"
        if share.leads:
            self._folder.mkdir(parents=True, exist_ok=True)
            run.write_text(secrets.token_hex(8))
        meet("attendance", share)
        self._run = run.read_text()

    def through(self) -> None:
        """This process has nothing left to do."""
        if self._share.processes > 1:
            self._mark(self._share.process).write_text("")

    def wait_for_all(self, check: "Callable[[], None]" = lambda: None, seconds: float = math.inf) -> None:
        """Return when all processes are through, or after so many seconds.

        ``check`` is called now and then and may raise.
        """
        if self._share.processes == 1:
            return
        deadline, pause = time.monotonic() + seconds, 0.5
        missing = set(range(self._share.processes))
        while missing := {process for process in missing if not self._mark(process).exists()}:
            check()
            if time.monotonic() > deadline:
                return
            time.sleep(pause)
            pause = min(30.0, seconds / 20, 1.5 * pause)
        for process in range(self._share.processes):
            self._mark(process).unlink()

    def _mark(self, process: int) -> Place:
        return self._folder / f"{self._run}-{process:05}"
