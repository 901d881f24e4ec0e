"""A child process that answers lines on a pipe: its next line in time, its end, and how it ended.

Not ``multiprocessing``: no fork of a process that holds an accelerator, no second import of the caller's
``__main__``, no pickle, and a kill that C code cannot ignore.
"""

import os
import select
import signal
import subprocess
import time

_CHUNK = 1 << 20
"""Bytes read at a time."""


def read_line(process: subprocess.Popen[bytes], seconds: float, most: int | None = None) -> bytes | None:
    """The next line of its output with the newline; None where it does not come within ``seconds``.

    Without a newline it is what there was when the process ended, or the first ``most`` bytes and more.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    parts, length = [b""], 0
    while not parts[-1].endswith(b"\n") and (most is None or length < most):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            return None
        parts.append(os.read(process.stdout.fileno(), _CHUNK))
        length += len(parts[-1])
        if not parts[-1]:
            break
    return b"".join(parts)


def end(process: subprocess.Popen[bytes], patience: float = 0.0) -> int:
    """End a process, by force where ``patience`` seconds do not do; its exit status, as ``Popen`` has it."""
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        try:
            pipe.close()
        except OSError:  # unsent bytes of a broken pipe
            continue
    return process.wait()


def ending(status: int) -> str:
    """An exit status in words: the signal's name, or the number."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
