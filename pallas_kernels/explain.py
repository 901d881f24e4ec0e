"""`explain`: which back end a call would run on, platform by platform, and why not the others."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from pallas_kernels import _primitive
from pallas_kernels._back_ends import PLATFORMS
from pallas_kernels._calls import Call
from pallas_kernels.errors import ArgumentError, KernelError
from pallas_kernels.kv_append.api import kv_append
from pallas_kernels.linear.api import linear
from pallas_kernels.look_up.api import look_up
from pallas_kernels.page_scores.api import page_scores
from pallas_kernels.paged_attention.api import paged_attention
from pallas_kernels.prefix_attention.api import prefix_attention
from pallas_kernels.select_pages.api import select_pages

OPS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (kv_append, linear, look_up, page_scores, paged_attention, prefix_attention, select_pages)
}


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What ``implementation=None`` (or what is named) does with a call; printed, it is a line a platform."""

    op: str
    back_ends: Mapping[str, str | None]
    """By platform (``tpu``, ``gpu``, ``cpu``), what would run there; None: the call would raise."""
    passed_over: Mapping[str, Mapping[str, str]]
    """By platform, the back ends that were tried there before, and why each would not run."""
    reasons: Mapping[str, str]
    """By platform, the same in words, or why nothing of its own would run there."""

    def __str__(self) -> str:
        lines = [f"{self.op}:"]
        for platform, back_end in self.back_ends.items():
            why = f" ({self.reasons[platform]})" if platform in self.reasons else ""
            lines.append(f"  {platform}: {back_end or 'an error'}{why}")
        return "\n".join(lines)


def explain(op: str, *arrays: Any, **arguments: Any) -> Explanation:
    """Which back end ``op`` would run on for these arguments, and why not another. Computes nothing.

    Args:
        op: the name of a public op, such as ``"paged_attention"``.
        arrays: its arguments by position; `jax.ShapeDtypeStruct`s will do.
        arguments: its other arguments by name, options and ``implementation`` too.

    Raises:
        ArgumentError: there is no such op, or the call itself would be refused.
        UnsupportedError: ``implementation`` names back ends that all refuse the call wherever it is lowered.

    """
    if op not in OPS:
        raise ArgumentError(f"explain: no op {op!r}; known: {', '.join(OPS)}")
    given = {name: value for name, value in arguments.items() if hasattr(value, "shape")}
    options = {name: value for name, value in arguments.items() if name not in given}

    def call(*positional: Any, **named: Any) -> Any:
        return OPS[op](*positional, **named, **options)

    equations = jax.make_jaxpr(call)(*arrays, **given).eqns
    bound = [equation for equation in equations if equation.primitive is _primitive.CALL]
    if not bound:  # a path that is the same everywhere
        name = options["implementation"]
        return Explanation(op, dict.fromkeys(PLATFORMS, name), {}, {})
    found: Call = bound[0].params["call"]
    avals = _primitive.avals_of([variable.aval for variable in bound[0].invars])
    back_ends: dict[str, str | None] = {}
    passed: dict[str, dict[str, str]] = {}
    reasons: dict[str, str] = {}
    for platform, jax_name in PLATFORMS.items():
        try:
            chosen, passed[platform] = found.choose(jax_name, avals)
            back_ends[platform] = chosen.name
        except KernelError as error:
            back_ends[platform], passed[platform] = None, {}
            reasons[platform] = getattr(error, "reason", str(error))
            continue
        if passed[platform]:
            reasons[platform] = _in_words(platform, passed[platform])
        elif chosen.platform is None:
            reasons[platform] = "the op has no kernel there"
    return Explanation(op, back_ends, passed, reasons)


def _in_words(platform: str, passed_over: Mapping[str, str]) -> str:
    """The platform's own kernel needs no name."""
    return "; ".join(why if name == platform else f"{name}: {why}" for name, why in passed_over.items())
