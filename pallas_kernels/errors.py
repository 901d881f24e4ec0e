"""What can go wrong with a call to a kernel, as types: one line that says what, where and how to mend it."""


class KernelError(Exception):
    """Base of every error that this package raises on purpose."""


class ArgumentError(KernelError, ValueError):
    """An array or option of a call is wrong: shape, dtype or value."""


class UnknownImplementationError(ArgumentError):
    """The named implementation is not one that the op has."""


class UnsupportedError(KernelError, NotImplementedError):
    """The named implementation exists but cannot run this call; ``reason`` says why."""

    def __init__(self, op: str, implementation: str, reason: str) -> None:
        super().__init__(
            f"{op}: implementation {implementation!r} cannot run this call: {reason} "
            "(implementation=None picks one that can)"
        )
        self.reason = reason


class NotDifferentiableError(KernelError, TypeError):
    """A derivative of an op was asked for that has none."""


class LibtpuError(KernelError, RuntimeError):
    """The installed TPU compiler is one that compiles kernels wrongly."""


class SelfTestError(KernelError, RuntimeError):
    """A device gave a wrong result for a small problem whose result is known."""


def expect(ok: bool, op: str, message: str) -> None:
    """Raise `ArgumentError` with ``op: message`` unless ``ok``."""
    if not ok:
        raise ArgumentError(f"{op}: {message}")
