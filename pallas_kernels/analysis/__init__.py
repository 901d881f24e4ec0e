"""Compile for a TPU or GPU that is not here, and read what its compiler says. Nothing here is measured.

``python -m pallas_kernels.analysis`` prints the table of every op for every chip and writes it as JSON.
"""

from pallas_kernels.analysis.compilation import compile_all, compile_for, lower_for
from pallas_kernels.analysis.devices import abstract_mesh, device_mesh, slice_devices
from pallas_kernels.analysis.errors import CompilationError, CompilerMissingError, UnknownChipError
from pallas_kernels.analysis.report import Kernel, Report

__all__ = [
    "CompilationError",
    "CompilerMissingError",
    "Kernel",
    "Report",
    "UnknownChipError",
    "abstract_mesh",
    "compile_all",
    "compile_for",
    "device_mesh",
    "lower_for",
    "slice_devices",
]
