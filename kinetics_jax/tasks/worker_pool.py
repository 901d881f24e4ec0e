"""Processes that answer JSON lines, each under a time limit; one that hangs or dies is replaced."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.processes import end, ending, read_line

START_SECONDS = 120.0
"""How long a process may take to say that it is ready (imports on a loaded machine)."""
MAX_REPLY_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Lost:
    """A request whose process was killed or died before it answered."""

    reason: str


class WorkerPool:
    """Runs ``module`` (``python -m``) in up to N processes and keeps them for the next call.

    The module prints one line when it is ready, then answers every line of JSON with one.
    """

    def __init__(self, module: str, *, arguments: Sequence[str] = (), seconds: float) -> None:
        """``seconds`` is the time limit of one request."""
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._seconds = seconds
        self._workers: list[_Worker] = []
        self._busy = threading.Lock()
        weakref.finalize(self, _stop_all, self._workers)

    def map(self, requests: Sequence[Mapping[str, Any]], workers: int) -> list[Any]:
        """One reply (a JSON object, or ``Lost``) per request, in order.

        Raises:
            InputError: a process could not be started at all.
        """
        replies: list[Any] = [None] * len(requests)
        todo = iter(range(len(requests)))
        taking, stopped = threading.Lock(), threading.Event()

        def serve(worker: _Worker) -> None:
            while not stopped.is_set():
                with taking:
                    index = next(todo, None)
                if index is None:
                    return
                replies[index] = worker.ask(requests[index])

        with self._busy:
            used = min(workers, len(requests))
            while len(self._workers) < used:
                self._workers.append(_Worker(self._command, self._seconds))
            with concurrent.futures.ThreadPoolExecutor(max(used, 1)) as threads:
                try:
                    for future in [threads.submit(serve, w) for w in self._workers[:used]]:
                        future.result()
                finally:
                    stopped.set()  # on Ctrl-C too: take no further request
        return replies

    def close(self) -> None:
        """Ends the processes; a later ``map`` starts new ones."""
        with self._busy:
            _stop_all(self._workers)


class _Worker:
    """One process, started when it is first asked and again after it was lost."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._command, self._seconds = command, seconds
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Mapping[str, Any]) -> Any:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except OSError:  # it died between two requests
            return self._died()
        line = read_line(process, self._seconds, MAX_REPLY_BYTES)
        if line is None:
            self.stop()
            return Lost(f"timed out after {self._seconds:g} s")
        try:
            return json.loads(line)
        except ValueError:  # an empty or torn line: it died before it had answered
            return self._died()

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(pathlib.Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        if not read_line(process, START_SECONDS):
            reason = self._died().reason
            raise InputError(f"{' '.join(self._command)}: {reason}; run it by hand to see why")
        return process

    def _died(self) -> Lost:
        status = self.stop(patience=5.0)
        if status == -signal.SIGXCPU:
            return Lost("timed out: its CPU time was over")
        return Lost(f"the grading process died ({ending(status)})")

    def stop(self, patience: float = 0.0) -> int:
        """End the process, by force after ``patience`` seconds; its exit status."""
        process, self._process = self._process, None
        return 0 if process is None else end(process, patience)


def _stop_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.stop()
    workers.clear()
