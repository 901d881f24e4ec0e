"""Runs a back end's Mosaic GPU kernel under the GPU interpreter with race detection."""

from typing import Any

from pallas_kernels._gpu import plgpu
from tests.pallas_kernels.op_tests import typed


def call(module: Any, op: str, arguments: dict[str, Any]) -> Any:
    """Run a kernel under the interpreter, or fail with the reason that its check gives."""
    call = typed(op, arguments)
    reason = module.check(call)
    assert reason is None, reason
    races = plgpu.InterpretGPUParams(detect_races=True)
    return getattr(module, op)(call, interpret=races)
