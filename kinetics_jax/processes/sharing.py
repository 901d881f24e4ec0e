"""Processes that share work and end with the process that asked for it, whatever ends that.

Workers of ``concurrent.futures`` alone outlive a parent that was killed: they wait for work for ever. Here
each holds one end of a pipe whose other end is the parent's only, and ends when that is gone.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import TypeVar

from kinetics_jax.errors import InputError

_THREADS = "OMP_NUM_THREADS"
"""Read by OpenBLAS, MKL and BLIS; a variable of their own goes before it."""
T = TypeVar("T")
R = TypeVar("R")


def map_in_processes(function: Callable[[T], R], work: Sequence[T], jobs: int) -> Generator[R, None, None]:
    """``map`` on up to ``jobs`` new processes, results in order. Each computes with one thread.

    Close the iterator where it is not read to its end: that and any exception end the processes at once.

    Raises ``InputError`` where a process is killed from outside.
    """
    context = multiprocessing.get_context("spawn")
    child_end, own_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(jobs, len(work)), context, initializer=_follow, initargs=(child_end,))
    try:
        with _one_thread_each():  # all processes are started by this call
            results = pool.map(function, work)
        yield from results
    except BrokenProcessPool:
        raise InputError(
            "a process that shared the work was killed, perhaps for lack of memory: use fewer (--jobs)"
        ) from None
    except BaseException:
        own_end.close()  # what is at work ends without being waited for
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        own_end.close()
        child_end.close()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """What processes that start meanwhile find in their environment; what the user has set stays.

    Libraries of linear algebra take a thread for every core in every process, and those then wait for one
    another: two processes on two cores took 1.35 times as long for 23 laws.
    """
    if _THREADS in os.environ:
        yield
        return
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[_THREADS]


def _follow(parent: Connection) -> None:
    """In a worker: end when the parent has gone or let go; leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)
