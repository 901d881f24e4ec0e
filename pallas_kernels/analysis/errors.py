"""What can go wrong when compiling for a chip that is not here."""

from pallas_kernels.errors import ArgumentError, KernelError


class UnknownChipError(ArgumentError):
    """The chip, or a slice of that many devices, is not one that the analysis knows."""


class CompilerMissingError(KernelError, ImportError):
    """The chip's compiler is not installed; the message names the extra that brings it."""


class CompilationError(KernelError):
    """The chip's compiler refused the program; the message is its first lines."""
