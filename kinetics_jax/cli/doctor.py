"""What is installed here, and which kernels run: ``kinetics doctor``. Exit code 1: something is broken."""

import importlib.metadata
import importlib.util
import platform

import pallas_kernels
from kinetics_jax._version import __version__
from kinetics_jax.commands.flags import Flags, one_line
from kinetics_jax.commands.main import Command
from kinetics_jax.commands.requirements import requirements, unmet

EXTRAS = {
    "aot": ("libtpu", "compiling for TPUs that are not here"),
    "cpu": ("numba", "CPU kernels at memory speed"),
    "gcs": ("gcsfs", "samples and laws on gs://"),
    "gguf": ("gguf", "reading GGUF files"),
    "hub": ("huggingface_hub", "models and problems by hub name"),
    "tasks": ("math_verify", "grading of mathematics"),
}
flags = Flags()


def main(_: list[str]) -> int:
    """Look, say what was found, and give the exit code."""
    print(f"kinetics-jax {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name, least in requirements().items():
        print(f"  {name:18} {_version(name) or 'missing'} (at least {least})")
    for extra, (module, use) in EXTRAS.items():
        state = "installed" if importlib.util.find_spec(module) else f"pip install 'kinetics-jax[{extra}]'"
        print(f"  extra {extra:12} {state}: {use}")
    if line := unmet():
        print(f"broken: {line}")
        return 1
    return _devices()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> int:
    """Every kind of device, and whether the kernels compute there what they should."""
    import jax  # not before its version is known to be right

    broken = 0
    for kind, device in {device.device_kind: device for device in jax.local_devices()}.items():
        count = sum(device.device_kind == kind for device in jax.local_devices())
        try:
            pallas_kernels.self_test(device)
            state = "kernels pass their self-test"
        except pallas_kernels.KernelError as error:
            broken, state = 1, f"broken: {one_line(error)}"
        print(f"{count} × {kind} ({device.platform}): {state}")
    return broken


command = Command(about=__doc__, flags=flags, main=main)
