"""What the TPU kernels share: which versions of the TPU's compiler they must not run with."""

import importlib.metadata

from pallas_kernels.errors import LibtpuError

# Copies out of HBM give zeros where a kernel has an operand that it does not read (jax issue 39744).
WRONG_COPIES = ("0.0.43", "0.0.44", "0.0.45")


def require_sound_libtpu() -> None:
    """Raise `LibtpuError` where the installed libtpu is known to compile TPU kernels wrongly."""
    try:
        version = importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:  # lowered here, compiled elsewhere
        return
    if ".".join(version.split(".")[:3]) in WRONG_COPIES:
        raise LibtpuError(
            f"libtpu {version} makes Pallas kernels copy zeros (jax issue 39744); install the one that "
            "goes with your jax (pip install -U 'jax[tpu]'), 0.0.42 or from 0.0.46 on, or name "
            "implementation='xla'"
        )
