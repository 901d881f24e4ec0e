"""One run at a time in a directory: a second one is refused in one line, a dead one is not waited for."""

import fcntl
import json
import os
import secrets
import socket
import threading
import time

from kinetics_jax.errors import InputError
from kinetics_jax.storage.paths import PathLike, Place, is_object_store, place

BEAT_SECONDS = 60.0
LEASE_SECONDS = 600.0
"""On an object store, a run that has not renewed its claim for so long is taken to be dead."""


class DirectoryLock:
    """Held from construction to ``close``.

    A file system's own lock ends with its holder, however that ended. An object store has none: there the
    holder renews a claim every minute, and two runs that start within the same second may both get in;
    their samples still do not mix (no two processes write one object), and a merge keeps one of each.
    """

    def __init__(self, folder: PathLike) -> None:
        """Raises ``InputError`` where another run holds ``folder``, which must exist."""
        self._file: int | None = None
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None
        if is_object_store(folder):
            self._claim(place(folder) / "lock.json")
            return
        path = os.path.join(os.fspath(folder), ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InputError(f"{path}: cannot be opened ({error.strerror})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 200, 0).decode("utf-8", "replace").strip()
            self.close()
            if not isinstance(error, BlockingIOError):
                raise InputError(
                    f"{folder}: cannot be locked ({error.strerror}); use a file system with locks, or gs://"
                ) from None
            raise InputError(
                f"{folder}: another run is at work there ({holder or 'unknown'}); wait until it has "
                "ended, or give another --out"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, _me().encode(), 0)

    def close(self) -> None:
        """Let another run in."""
        self._stop.set()
        if self._beat is not None:
            self._beat.join()
            self._path.unlink(missing_ok=True)
            self._beat = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "DirectoryLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _claim(self, path: Place) -> None:
        self._path, self._token = path, secrets.token_hex(8)
        if path.exists():
            held = json.loads(path.read_text())
            age = time.time() - held["time"]
            if age < LEASE_SECONDS:
                raise InputError(
                    f"{path.parent}: another run is at work there ({held['who']}, seen {age:.0f} s ago); "
                    f"wait {LEASE_SECONDS - age:.0f} s if it is dead, or give another --out"
                )
        self._renew()
        if json.loads(path.read_text())["token"] != self._token:
            raise InputError(f"{path.parent}: another run has started there at the same time")
        self._beat = threading.Thread(target=self._renew_often, daemon=True)
        self._beat.start()

    def _renew(self) -> None:
        claim = {"who": _me(), "token": self._token, "time": time.time()}
        self._path.write_text(json.dumps(claim))

    def _renew_often(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._renew()


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
