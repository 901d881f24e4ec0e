"""The one dispatch of all ops: what a call tries, in order, and why a named back end cannot run it."""

from typing import Any

import jax

from pallas_kernels import _primitive, tuning
from pallas_kernels._back_ends import CATALOGS, BackEnd, Catalog
from pallas_kernels._calls import Call, our_rules, passed_over
from pallas_kernels.stored import BF16_BITS

Implementation = str | tuple[str, ...] | None
"""What every op takes as ``implementation=``: a name, or several to try in order; None tries them all."""


class Op:
    """An op, its back ends, and how a typed call of it is run."""

    def __init__(self, name: str, kernels: tuple[str, ...], differentiable: bool = False) -> None:
        """Derivatives of a differentiable op are those of its XLA path; else asking for one is an error."""
        self.name = name
        self.differentiable = differentiable
        self.catalog = CATALOGS[name] = Catalog(name, kernels)

    @property
    def implementations(self) -> tuple[str, ...]:
        """Every name that ``implementation=`` accepts."""
        return tuple(self.catalog.all)

    def __call__(self, implementation: Implementation, arguments: Any) -> Any:
        """Run the op on ``arguments``, its typed call.

        Of what is named, or of all that the op has, the first that can run on the platform that the call is
        lowered for (not on the host's) does.

        Raises:
            UnknownImplementationError: there is no such back end.
            UnsupportedError: none that is named can run the call.

        """
        tried = self.catalog.named(implementation)
        reasons = {b.name: why for b in tried if (why := _reason(b, arguments)) is not None}
        if len(reasons) == len(tried):
            raise passed_over(self.name, tried, reasons)
        if len(tried) == 1 and tried[0].platform is None:
            with our_rules():
                return tried[0].run(arguments)
        arrays, structure = jax.tree.flatten(arguments)
        call = Call(
            op=self.name,
            tried=tried,
            differentiable=self.differentiable,
            structure=structure,
            refused=tuple(reasons.items()),
            chip=tuning.compiled_for(),
            tuned=tuning.overrides(),
        )
        return _primitive.bind(call, arrays)


def _reason(back_end: BackEnd, arguments: Any) -> str | None:
    """Why a back end cannot run a call, or None."""
    held = {array.dtype for array in jax.tree.leaves(arguments)}
    if not back_end.reads_bits and BF16_BITS in held:
        return "uint16 arrays hold bits of bfloat16 for CPUs only; give it bfloat16"
    with our_rules():
        return back_end.check(arguments)
