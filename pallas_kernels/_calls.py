"""A call of an op that a compiler will see: which back end runs it, and why not the others.

Nothing of a back end is traced before its turn comes: when the call is lowered, for one platform at a time.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib
import logging
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeVar

import jax
from jax.extend.core import jaxpr_as_fun

from pallas_kernels import _tpu, tuning
from pallas_kernels.errors import UnsupportedError

PLATFORMS = {"tpu": "tpu", "gpu": "cuda", "cpu": "cpu"}  # back end → what JAX calls its platform
STRICT = "PALLAS_KERNELS_STRICT"
"""Where this environment variable is set, a kernel that cannot be traced is an error, not a fallback."""

_LOG = logging.getLogger("pallas_kernels")
REMEMBERED = 4096  # traces of different calls

_T = TypeVar("_T")
Avals = tuple[jax.ShapeDtypeStruct, ...]


@contextlib.contextmanager
def our_rules() -> Iterator[None]:
    """JAX's defaults, for what is traced within: the caller's may be stricter or wider."""
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def back_end_module(op: str, back_end: str) -> ModuleType:
    """``pallas_kernels.<op>.<back_end>``."""
    return importlib.import_module(f"pallas_kernels.{op}.{back_end}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """Everything of a call but its arrays; hashable."""

    op: str
    kernels: tuple[str, ...]
    """The kernels that the op has; where one cannot run, XLA does."""
    differentiable: bool
    names: tuple[str, ...]
    """Argument names of the arrays, in order."""
    options: tuple[tuple[str, Any], ...]
    refused: tuple[tuple[str, str], ...]
    """Kernels whose check refuses the call, and its reason."""
    named: str | None
    """The kernel that the caller named; then no other may run."""
    chip: str
    """The device kind that the call was traced for; `tuning` asks for it."""
    tuned: tuning.Overrides

    def run(self, back_end: str) -> jax.stages.Wrapped:
        """The back end's function of the arrays in order, to be traced with whatever surrounds the call."""
        return _function(self, back_end)

    def results(self, avals: Avals) -> Any:
        """What the op returns, as `jax.ShapeDtypeStruct`s."""
        return _traced(self, "xla", avals).out_info

    def program(self, back_end: str, avals: Avals) -> Callable[..., list[jax.Array]]:
        """The back end's function of the arrays in order → its results as a list, traced already."""
        return jaxpr_as_fun(_traced(self, back_end, avals).jaxpr)

    def choose(self, platform: str, avals: Avals) -> tuple[str, dict[str, str]]:
        """The back end that runs the call on JAX's ``platform``, and why those before it do not.

        Raises:
            UnsupportedError: the caller named a kernel, and it cannot run there.
            LibtpuError: it is a TPU's kernel, and the TPU's compiler is known to get those wrong.

        """
        reasons = dict(self.refused)
        why: str | None = None
        for kernel in (self.named,) if self.named else self.kernels:
            if PLATFORMS[kernel] != platform:
                continue
            if kernel == "tpu" and kernel not in reasons:
                _tpu.require_sound_libtpu()
            why = reasons.get(kernel) or _obstacle(self, kernel, avals)
            if why is None:
                return kernel, {}
            reasons[kernel] = why
        if self.named:
            where = f"it runs on {PLATFORMS[self.named]} only"
            raise UnsupportedError(self.op, self.named, why or where)
        return "xla", {k: why for k, why in reasons.items() if PLATFORMS[k] == platform}


@functools.lru_cache(REMEMBERED)
def _function(call: Call, back_end: str) -> jax.stages.Wrapped:
    function = getattr(back_end_module(call.op, back_end), call.op)

    def run(*arrays: jax.Array) -> Any:
        with our_rules(), tuning.restored(call.tuned):
            return function(**dict(zip(call.names, arrays, strict=True)), **dict(call.options))

    run.__name__ = call.op
    return jax.jit(run, inline=True)


@functools.lru_cache(REMEMBERED)
def _traced(call: Call, back_end: str, avals: Avals) -> jax.stages.Traced:
    """The back end's trace for arrays of these shapes, apart from any program, so that it serves them all."""
    return apart(lambda: _function(call, back_end).trace(*avals))


@functools.lru_cache(REMEMBERED)
def _obstacle(call: Call, kernel: str, avals: Avals) -> str | None:
    """Why the kernel cannot be traced and lowered with this jax, or None."""
    try:
        traced = _traced(call, kernel, avals)
        apart(lambda: traced.lower(lowering_platforms=(PLATFORMS[kernel],)))
    except Exception as error:  # whatever another jax raises is the reason, and is logged
        if os.environ.get(STRICT):
            raise
        return f"jax {jax.__version__} cannot trace it: {type(error).__name__}: {_first_line(error)}"
    return None


def apart(work: Callable[[], _T]) -> _T:
    """``work()`` in a thread of its own, which the caller's contexts do not reach: how a program is split,
    or what else holds around a call, makes no other kernel. Only the chip that it is for is carried over.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    mesh = jax.sharding.AbstractMesh((), (), abstract_device=device)

    def begin() -> _T:
        with our_rules(), jax.disable_jit(False), jax.sharding.use_abstract_mesh(mesh):
            return work()

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(begin).result()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:200]


def tell(call: Call, platform: str, reasons: dict[str, str]) -> None:
    """Log a fall to XLA, once for each op and reason: a warning where an accelerator loses its kernel."""
    for kernel, reason in reasons.items():
        checked = kernel in dict(call.refused)
        expected = platform == "cpu" and checked  # XLA is a CPU's usual back end
        _log_once(logging.DEBUG if expected else logging.WARNING, call.op, kernel, platform, reason)


@functools.cache
def _log_once(level: int, op: str, kernel: str, platform: str, reason: str) -> None:
    _LOG.log(level, "%s on %s runs on XLA, not on its %s kernel: %s", op, platform, kernel, reason)
