"""The process in which an untrusted template or tokenizer runs, as the library sees it: ask, be answered.

Limits are of memory (address space) and of CPU time, so that what is refused does not depend on what else
the machine does. A process that was lost is started again by the next question.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from kinetics_jax.models.tokenizers import worker
from kinetics_jax.processes import end, ending, read_line

MEMORY_BYTES = 2 << 30
"""Address space of a process; the largest vocabularies in use (262,144 tokens) need a fourth of it."""
SECONDS = 10.0
"""CPU time of a question; a prompt takes milliseconds."""
LOAD_SECONDS = 120.0
"""CPU time to read a tokenizer."""
PER_SECOND = 100_000
"""Characters or ids for which a question gets one second more."""
_START_SECONDS = 120.0
"""How long a process may take to say that it is ready (imports on a loaded machine)."""
_PATIENCE = 60
"""Seconds of the clock that a second of CPU time may take."""


def seconds_for(size: int) -> float:
    """Limit of CPU time of a question about so many characters or ids."""
    return SECONDS + size / PER_SECOND


class TextProcessError(Exception):
    """A question that was not answered, and why; whoever asked says of what file that is."""


class TextProcess:
    """One process, started by the first question. Threads may share it."""

    def __init__(self, tokenizer: Mapping[str, Any] | None = None) -> None:
        """``tokenizer`` is the recipe of the tokenizer that the process loads first, if any."""
        self._recipe = tokenizer
        self._busy = threading.RLock()
        self._running: list[subprocess.Popen[bytes]] = []  # none or one
        weakref.finalize(self, _end, self._running)

    def load(self, names: list[str]) -> Any:
        """``vocab_size`` of the tokenizer, and ``ids`` of some tokens. Raises ``TextProcessError``."""
        return self.ask("load", seconds=LOAD_SECONDS, recipe=self._recipe, names=names)

    def ask(self, action: str, *, seconds: float | None = None, **request: Any) -> Any:
        """The answer of ``worker``. Raises ``TextProcessError``: why there is none, in one line.

        ``seconds`` of CPU time are its limit; None: ``SECONDS``.
        """
        seconds = SECONDS if seconds is None else seconds
        question = json.dumps({"do": action, "seconds": seconds, **request}).encode() + b"\n"
        with self._busy:
            try:
                if self._running and self._running[0].poll() is not None:  # it died while idle
                    _end(self._running)
                if not self._running:
                    self._start()
                    if self._recipe is not None and action != "load":
                        self.load([])
                answer = self._exchange(question, seconds)
            except BaseException:  # an answer that comes late must not meet the next question
                _end(self._running)
                raise
        if "refused" in answer:
            raise TextProcessError(answer["refused"])
        return answer["value"]

    def _start(self) -> None:
        command = [sys.executable, "-P", str(pathlib.Path(worker.__file__)), str(MEMORY_BYTES)]
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise TextProcessError(f"no process could be started for it ({error})") from error
        self._running.append(process)
        if read_line(process, _START_SECONDS) != b"ready\n":
            raise TextProcessError(f"its process did not start; run {' '.join(command)} to see why")

    def _exchange(self, question: bytes, seconds: float) -> Any:
        (process,) = self._running
        assert process.stdin is not None
        try:
            process.stdin.write(question)
            process.stdin.flush()
            line = read_line(process, _PATIENCE * seconds)
        except BrokenPipeError:
            line = b""
        if line is None:
            raise TextProcessError(f"it did not answer within {_PATIENCE * seconds:.0f} s")
        if line.endswith(b"\n"):
            return json.loads(line)
        self._running.clear()
        raise TextProcessError(_why_it_died(end(process, patience=5.0), seconds))


def _why_it_died(status: int, seconds: float) -> str:
    if status == -signal.SIGXCPU:
        return f"it took more than {seconds:.0f} s of CPU time"
    if status == -signal.SIGABRT:  # how the Rust library ends where memory is refused
        return f"it needs more than {MEMORY_BYTES >> 30} GiB of memory"
    return f"its process died ({ending(status)})"


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    while running:
        end(running.pop())
