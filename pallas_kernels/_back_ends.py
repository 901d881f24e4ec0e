"""What can run an op: the meaning, XLA's path, our kernels by platform, and those that a user registers."""

import dataclasses
import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pallas_kernels.errors import ArgumentError, UnknownImplementationError, expect

PLATFORMS = {"tpu": "tpu", "gpu": "cuda", "cpu": "cpu"}  # our name of a platform → JAX's
INTERPRET = "_interpret"

Run = Callable[[Any], Any]
Check = Callable[[Any], str | None]


def runs_everything(call: Any) -> str | None:
    """The check of a back end that runs every call."""
    return None


@dataclasses.dataclass(frozen=True)
class BackEnd:
    """One way to run an op."""

    name: str
    platform: str | None
    """Of `PLATFORMS`; None: it runs on every one."""
    run: Run
    """The op's typed call → what the op returns."""
    check: Check = runs_everything
    """The op's typed call, with arrays or their shapes → why it cannot be run, or None."""

    @property
    def reads_bits(self) -> bool:
        """Whether it takes `BF16_BITS`: the plain paths and a CPU's do."""
        return self.platform == "cpu" or self.name in ("reference", "xla")


def back_end_module(op: str, name: str) -> ModuleType:
    """Where one of our back ends is: ``pallas_kernels.<op>.<name>``, the CPU's in ``numba_cpu``."""
    path = f"numba_cpu.{op}" if name == "cpu" else f"{op}.{name}"
    return importlib.import_module(f"pallas_kernels.{path}")


@functools.cache
def ours(op: str, name: str) -> BackEnd:
    """A back end of this package, of which nothing is imported before it is asked."""
    kernel = name.removesuffix(INTERPRET)
    options = {} if kernel == name else {"interpret": True}

    def run(call: Any) -> Any:
        return getattr(back_end_module(op, kernel), op)(call, **options)

    def check(call: Any) -> str | None:
        return back_end_module(op, kernel).check(call)

    if kernel not in PLATFORMS:
        return BackEnd(name, None, run)
    return BackEnd(name, None if options else kernel, run, check)


_REGISTERED: dict[str, tuple[BackEnd, ...]] = {}


@dataclasses.dataclass(frozen=True)
class Catalog:
    """The back ends of one op."""

    op: str
    kernels: tuple[str, ...]
    """The platforms that we have a kernel for, whose names the kernels have."""

    @property
    def all(self) -> dict[str, BackEnd]:
        """Every back end that ``implementation=`` names."""
        interpreted = [kernel + INTERPRET for kernel in self.kernels if kernel != "cpu"]
        own = [ours(self.op, name) for name in ("reference", "xla", *self.kernels, *interpreted)]
        return {back_end.name: back_end for back_end in (*own, *_REGISTERED.get(self.op, ()))}

    @property
    def default(self) -> tuple[BackEnd, ...]:
        """What ``implementation=None`` tries, in order: what users registered, our kernels, XLA."""
        return (*_REGISTERED.get(self.op, ()), *(ours(self.op, name) for name in (*self.kernels, "xla")))

    def named(self, implementation: str | tuple[str, ...] | None) -> tuple[BackEnd, ...]:
        """What a call tries, in order.

        Raises:
            UnknownImplementationError: the op has no back end of such a name, or none is named.

        """
        if implementation is None:
            return self.default
        known = self.all
        names = (implementation,) if isinstance(implementation, str) else tuple(implementation)
        for name in names or ("",):
            if name not in known:
                raise UnknownImplementationError(
                    f"{self.op}: unknown implementation {name!r}; known: None, {', '.join(known)}"
                )
        return tuple(known[name] for name in names)


CATALOGS: dict[str, Catalog] = {}
"""By op, filled as the ops are imported."""


def register_back_end(op: str, name: str, *, platform: str, run: Run, check: Check = runs_everything) -> None:
    """Add a back end of your own to an op: ``implementation=None`` tries those before ours, oldest first.

    One whose ``check`` refuses a call, or that JAX cannot trace or lower, or whose results are not of the
    op's shapes and dtypes, is passed over with a reason (`pallas_kernels.explain` tells it).

    Args:
        op: the name of a public op, such as ``"page_scores"``.
        name: what ``implementation=`` will call it; not a name that the op has already.
        platform: ``"tpu"``, ``"gpu"`` or ``"cpu"``.
        run: from the op's typed call (`pallas_kernels.PageScores` …, its arrays checked and complete) to what
            the public function returns. JAX traces it.
        check: from the same call, whose arrays may be shapes only, to the reason it cannot be run, or None.

    Raises:
        ArgumentError: no such op or platform, or the name is taken.

    """
    if op not in CATALOGS:
        raise ArgumentError(f"register_back_end: no op {op!r}; known: {', '.join(sorted(CATALOGS))}")
    known = ", ".join(PLATFORMS)
    expect(platform in PLATFORMS, "register_back_end", f"no platform {platform!r}; known: {known}")
    taken = f"{op} has a back end {name!r} already; give yours another name"
    expect(name not in CATALOGS[op].all, "register_back_end", taken)
    _REGISTERED[op] = (*_REGISTERED.get(op, ()), BackEnd(name, platform, run, check))
