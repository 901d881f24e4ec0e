"""What can go wrong when compiling for a chip that is not here."""

from kinetics_jax.errors import InputError
from pallas_kernels.errors import ArgumentError, KernelError


class UnknownChipError(ArgumentError, InputError):
    """The chip, the slice, or one of that many devices, is not one that the compiler knows."""


class CompilerMissingError(KernelError, ImportError):
    """The chip's compiler is not installed; the message names the extra that brings it."""


class CompilationError(KernelError):
    """The chip's compiler refused the program; the message is its first lines."""
