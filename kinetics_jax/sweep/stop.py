"""SIGTERM (preemption) as a request: the loop stops at the next visit of the host, with all files whole."""

import signal
from types import FrameType, TracebackType


class Stopped(Exception):  # noqa: N818 - it is no error
    """Raised inside the decode loop when the run was asked to stop."""


class StopSignal:
    """While it is entered, the first SIGTERM (or Ctrl-C) is a request to stop.

    A second one ends the process at once, as it would have without us. That loses nothing either: what is
    finished is on the disk already.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """Number of the signal, or None."""
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def requested(self) -> bool:
        """Whether to stop."""
        return self.received is not None

    def check(self) -> None:
        """Raise ``Stopped`` if so."""
        if self.requested:
            raise Stopped

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = number
        signal.signal(number, signal.SIG_DFL)
