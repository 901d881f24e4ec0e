"""A call of an op that a compiler will see: which back end runs it, and why not the others.

Nothing of a back end is traced before its turn comes: when the call is lowered, for one platform at a time.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
from jax.extend.core import jaxpr_as_fun

from pallas_kernels import _tpu, tuning
from pallas_kernels._back_ends import PLATFORMS, BackEnd, ours
from pallas_kernels.errors import UnsupportedError

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """Everything of a call but its arrays; hashable."""

    op: str
    tried: tuple[BackEnd, ...]
    """What may run it, in order."""
    differentiable: bool
    structure: jax.tree_util.PyTreeDef
    """The op's typed call without its arrays."""
    refused: tuple[tuple[str, str], ...]
    """Back ends whose check refuses the call, and its reason."""
    chip: str
    """The device kind that the call was traced for; `tuning` asks for it."""
    tuned: tuning.Overrides

    @property
    def xla(self) -> BackEnd:
        """The path of every platform, which says what the results are."""
        return ours(self.op, "xla")

    def run(self, back_end: BackEnd) -> jax.stages.Wrapped:
        """The back end's function of the arrays in order, to be traced with whatever surrounds the call."""
        return _function(self, back_end)

    def results(self, avals: Avals) -> Any:
        """What the op returns, as `jax.ShapeDtypeStruct`s."""
        return _traced(self, self.xla, avals).out_info

    def program(self, back_end: BackEnd, avals: Avals) -> Callable[..., list[jax.Array]]:
        """The back end's function of the arrays in order → its results as a list, traced already."""
        return jaxpr_as_fun(_traced(self, back_end, avals).jaxpr)

    def choose(self, platform: str, avals: Avals) -> tuple[BackEnd, dict[str, str]]:
        """The back end that runs the call on JAX's ``platform``, and why those before it do not.

        Raises:
            UnsupportedError: none of those that the caller named can run there.
            LibtpuError: it is a TPU's kernel, and the TPU's compiler is known to get those wrong.

        """
        refused = dict(self.refused)
        reasons: dict[str, str] = {}
        for back_end in self.tried:
            if back_end.platform not in (None, _OURS.get(platform)):
                continue
            if back_end.platform == "tpu" and back_end.name not in refused:
                _tpu.require_sound_libtpu()
            why = refused.get(back_end.name) or _obstacle(self, back_end, avals)
            if why is None:
                return back_end, reasons
            reasons[back_end.name] = why
        raise passed_over(self.op, self.tried, refused | reasons)


_OURS = {theirs: ours_ for ours_, theirs in PLATFORMS.items()}


def passed_over(op: str, tried: tuple[BackEnd, ...], reasons: Mapping[str, str]) -> UnsupportedError:
    """The error of a call that nothing of what the caller named can run; the others run elsewhere."""
    said = [reasons.get(b.name) or f"it runs on {PLATFORMS[b.platform or 'cpu']} only" for b in tried]
    if len(tried) == 1:
        return UnsupportedError(op, tried[0].name, said[0])
    each = "; ".join(f"{b.name}: {why}" for b, why in zip(tried, said, strict=True))
    return UnsupportedError(op, ", ".join(b.name for b in tried), each)


@functools.lru_cache(REMEMBERED)
def _function(call: Call, back_end: BackEnd) -> jax.stages.Wrapped:
    def run(*arrays: jax.Array) -> Any:
        with our_rules(), tuning.restored(call.tuned):
            return back_end.run(jax.tree.unflatten(call.structure, arrays))

    run.__name__ = call.op
    return jax.jit(run, inline=True)


@functools.lru_cache(REMEMBERED)
def _traced(call: Call, back_end: BackEnd, avals: Avals) -> jax.stages.Traced:
    """The back end's trace for arrays of these shapes, apart from any program, so that it serves them all."""
    return apart(lambda: _function(call, back_end).trace(*avals))


@functools.lru_cache(REMEMBERED)
def _obstacle(call: Call, back_end: BackEnd, avals: Avals) -> str | None:
    """Why the kernel cannot be traced and lowered with this jax, or gives what the op does not; or None."""
    if back_end.platform is None:
        return None
    try:
        traced = _traced(call, back_end, avals)
        apart(lambda: traced.lower(lowering_platforms=(PLATFORMS[back_end.platform or ""],)))
    except Exception as error:  # whatever another jax raises is the reason, and is logged
        if os.environ.get(STRICT):
            raise
        return f"jax {jax.__version__} cannot trace it: {type(error).__name__}: {_first_line(error)}"
    got, want = (_leaves(info) for info in (traced.out_info, call.results(avals)))
    return None if got == want else f"it returns {got}, and the op {want}"


def _leaves(results: Any) -> str:
    return ", ".join(f"{x.dtype}{list(x.shape)}" for x in jax.tree.leaves(results))


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


def tell(call: Call, platform: str, chosen: BackEnd, reasons: dict[str, str]) -> None:
    """Log what was passed over, once for each reason: a warning where an accelerator loses its kernel."""
    for name, reason in reasons.items():
        expected = platform == "cpu" and name in dict(call.refused)  # XLA is a CPU's usual back end
        level = logging.DEBUG if expected else logging.WARNING
        _log_once(level, call.op, platform, "XLA" if chosen == call.xla else chosen.name, name, reason)


@functools.cache
def _log_once(level: int, op: str, platform: str, chosen: str, name: str, reason: str) -> None:
    _LOG.log(level, "%s on %s runs on %s, not on its %s kernel: %s", op, platform, chosen, name, reason)
