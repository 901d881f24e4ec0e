"""SIGTERM (preemption) as a request: the loop stops at the next visit of the host, with all files whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType


class Stopped(BaseException):
    """Raised inside the decode loop when the run was asked to stop. No error: nothing may swallow it."""


class StopSignal:
    """While it is entered, the first SIGTERM (or Ctrl-C) is a request to stop.

    A second one ends the process at once, as it would have without us. That loses nothing either: what is
    finished is on the disk already. Outside the main thread there are no signals to take.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """Number of the signal, or None."""
        self._before: dict[int, object] = {}
        self._at_once = False

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    @property
    def requested(self) -> bool:
        """Whether to stop."""
        return self.received is not None

    def check(self) -> None:
        """Raise ``Stopped`` if so."""
        if self.requested:
            raise Stopped

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """In the block the request is not waited with: ``Stopped`` is raised wherever the program is.

        For work that writes nothing until its end, and has no loop of ours to ask in.
        """
        self._at_once = True
        try:
            self.check()
            yield
        finally:
            self._at_once = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = number
        signal.signal(number, signal.SIG_DFL)
        if self._at_once:
            raise Stopped
