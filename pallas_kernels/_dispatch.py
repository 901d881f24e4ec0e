"""The one dispatch of all ops: which back end runs a call, and why a named one cannot.

A back end is a module ``pallas_kernels.<op>.<name>`` with the function ``<op>`` (the public arguments without
``implementation``) and, for a kernel, ``check`` (same arguments → the reason it cannot run, or None).
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, mlir

from pallas_kernels.errors import UnknownImplementationError, UnsupportedError
from pallas_kernels.stored import BF16_BITS

PLATFORMS = {"tpu": "tpu", "gpu": "cuda", "cpu": "cpu"}  # back end → what JAX calls its platform
INTERPRET = "_interpret"

Arrays = Mapping[str, jax.Array | None]


@dataclasses.dataclass(frozen=True)
class Op:
    """An op and the kernels it has beside ``reference`` and ``xla``."""

    name: str
    kernels: tuple[str, ...]

    @property
    def implementations(self) -> tuple[str, ...]:
        """Every name that ``implementation=`` accepts."""
        interpreted = tuple(kernel + INTERPRET for kernel in self.kernels if kernel != "cpu")
        return ("reference", "xla", *self.kernels, *interpreted)

    def __call__(self, implementation: str | None, arrays: Arrays, **options: Any) -> Any:
        """Run the op on ``arrays`` (by argument name; absent ones are None) with static ``options``."""
        if implementation is None:
            return self._by_platform(arrays, options)
        if implementation not in self.implementations:
            known = ", ".join(self.implementations)
            raise UnknownImplementationError(
                f"{self.name}: unknown implementation {implementation!r}; known: None, {known}"
            )
        back_end = implementation.removesuffix(INTERPRET)
        module = self._module(back_end)
        if back_end in self.kernels:
            reason = self._reason(back_end, arrays, options)
            if reason is not None:
                raise UnsupportedError(self.name, implementation, reason)
            if implementation.endswith(INTERPRET):
                options = {**options, "interpret": True}
            else:
                arrays = _only_on(PLATFORMS[back_end], self.name, implementation, arrays)
        return self._function(module)(**arrays, **options)

    def _by_platform(self, arrays: Arrays, options: Mapping[str, Any]) -> Any:
        """The kernel of the platform that the call is lowered for (not of the host), else XLA."""
        branches = {"default": self._function(self._module("xla"))}
        for kernel in self.kernels:
            module = self._module(kernel)
            if self._reason(kernel, arrays, options) is None:
                branches[PLATFORMS[kernel]] = self._function(module)
        calls = {
            platform: functools.partial(_call_with, function, options)
            for platform, function in branches.items()
        }
        return jax.lax.platform_dependent(dict(arrays), **calls)

    def _reason(self, kernel: str, arrays: Arrays, options: Mapping[str, Any]) -> str | None:
        """Why a kernel cannot run a call, or None."""
        held = {array.dtype for array in arrays.values() if array is not None}
        if kernel != "cpu" and BF16_BITS in held:
            return "uint16 arrays hold bits of bfloat16 for CPUs only; give it bfloat16"
        return self._module(kernel).check(**arrays, **options)

    def _module(self, back_end: str) -> ModuleType:
        return importlib.import_module(f"pallas_kernels.{self.name}.{back_end}")

    def _function(self, module: ModuleType) -> Callable[..., Any]:
        return getattr(module, self.name)


def _call_with(function: Callable[..., Any], options: Mapping[str, Any], arrays: Arrays) -> Any:
    return function(**arrays, **options)


def _only_on(platform: str, op: str, implementation: str, arrays: Arrays) -> Arrays:
    """The same arrays, but lowering them for another platform raises our error, not a compiler's."""
    name, array = next((name, array) for name, array in arrays.items() if array is not None)
    guarded = _GUARDS[platform].bind(array, op=op, implementation=implementation)
    return {**arrays, name: guarded}


def _guard(platform: str) -> Primitive:
    guard = Primitive(f"only_on_{platform}")

    def refuse(context: Any, array: Any, *, op: str, implementation: str) -> Any:
        raise UnsupportedError(op, implementation, f"it runs on {platform} only")

    guard.def_impl(lambda array, **names: jax.jit(functools.partial(guard.bind, **names))(array))
    guard.def_abstract_eval(lambda array, **names: array)
    ad.deflinear2(guard, lambda change, array, **names: [change])
    mlir.register_lowering(guard, refuse)
    mlir.register_lowering(guard, lambda context, array, **names: [array], platform=platform)
    return guard


_GUARDS = {platform: _guard(platform) for platform in PLATFORMS.values()}
