"""The one dispatch of all ops: which back end runs a call, and why a named one cannot.

A back end is a module ``pallas_kernels.<op>.<name>`` with the function ``<op>`` (the public arguments without
``implementation``) and, for a kernel, ``check`` (same arguments → the reason it cannot run, or None).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from pallas_kernels import _primitive, tuning
from pallas_kernels._calls import Call, back_end_module, our_rules
from pallas_kernels.errors import UnknownImplementationError, UnsupportedError
from pallas_kernels.stored import BF16_BITS

INTERPRET = "_interpret"

Arrays = Mapping[str, jax.Array | None]


@dataclasses.dataclass(frozen=True)
class Op:
    """An op and the kernels it has beside ``reference`` and ``xla``."""

    name: str
    kernels: tuple[str, ...]
    differentiable: bool = False
    """Whether derivatives of a call are those of its XLA path; else asking for one is an error."""

    @property
    def implementations(self) -> tuple[str, ...]:
        """Every name that ``implementation=`` accepts."""
        interpreted = tuple(kernel + INTERPRET for kernel in self.kernels if kernel != "cpu")
        return ("reference", "xla", *self.kernels, *interpreted)

    def __call__(self, implementation: str | None, arrays: Arrays, **options: Any) -> Any:
        """Run the op on ``arrays`` (by argument name; absent ones are None) with static ``options``.

        ``implementation=None`` picks the kernel of the platform that the call is lowered for (not of the
        host), else XLA.
        """
        if implementation is not None and implementation not in self.implementations:
            known = ", ".join(self.implementations)
            raise UnknownImplementationError(
                f"{self.name}: unknown implementation {implementation!r}; known: None, {known}"
            )
        if implementation is None or implementation in self.kernels:
            return self._bind(implementation, arrays, options)
        back_end = implementation.removesuffix(INTERPRET)
        if back_end in self.kernels:
            self._require(back_end, implementation, arrays, options)
            options = {**options, "interpret": True}
        with our_rules():
            return getattr(back_end_module(self.name, back_end), self.name)(**arrays, **options)

    def _bind(self, named: str | None, arrays: Arrays, options: Mapping[str, Any]) -> Any:
        """A call that stays whole until it is lowered."""
        if named is not None:
            self._require(named, named, arrays, options)
        asked = self.kernels if named is None else ()
        reasons = ((kernel, self._reason(kernel, arrays, options)) for kernel in asked)
        given = {name: array for name, array in arrays.items() if array is not None}
        call = Call(
            op=self.name,
            kernels=self.kernels,
            differentiable=self.differentiable,
            names=tuple(given),
            options=tuple(options.items()),
            refused=tuple((kernel, reason) for kernel, reason in reasons if reason is not None),
            named=named,
            chip=tuning.compiled_for(),
            tuned=tuning.overrides(),
        )
        return _primitive.bind(call, tuple(given.values()))

    def _require(self, kernel: str, implementation: str, arrays: Arrays, options: Mapping[str, Any]) -> None:
        reason = self._reason(kernel, arrays, options)
        if reason is not None:
            raise UnsupportedError(self.name, implementation, reason)

    def _reason(self, kernel: str, arrays: Arrays, options: Mapping[str, Any]) -> str | None:
        """Why a kernel cannot run a call, or None."""
        held = {array.dtype for array in arrays.values() if array is not None}
        if kernel != "cpu" and BF16_BITS in held:
            return "uint16 arrays hold bits of bfloat16 for CPUs only; give it bfloat16"
        with our_rules():
            return back_end_module(self.name, kernel).check(**arrays, **options)
