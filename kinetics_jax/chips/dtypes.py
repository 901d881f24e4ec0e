"""Number formats a model can be served in: bytes of an element, and whose peak the chip reaches."""

from kinetics_jax.errors import UnknownNameError

_BYTES = {
    "float32": 4.0,
    "bfloat16": 2.0,
    "float16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.5,
    "fp4": 0.5,
    # Block formats have their scale's share in each element: one byte (FP8 E4M3) for 16 elements of NVFP4
    # (developer.nvidia.com/blog/introducing-nvfp4-for-efficient-and-accurate-low-precision-inference), one
    # (E8M0) for 32 of MXFP4 (OCP Microscaling Formats v1.0, table 1).
    "nvfp4": 0.5 + 1 / 16,
    "mxfp4": 0.5 + 1 / 32,
}
_ALIASES = {
    "f32": "float32",
    "fp32": "float32",
    "bf16": "bfloat16",
    "f16": "float16",
    "fp16": "float16",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
    "float4_e2m1fn": "fp4",
}
_PEAKS = {
    "bfloat16": "bf16",
    "float16": "bf16",
    "fp8": "fp8",
    "int8": "int8",
    "fp4": "fp4",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
}


def canonical(dtype: str) -> str:
    """The one name of a dtype; raises UnknownNameError for one that has no entry here."""
    name = _ALIASES.get(dtype, dtype) if isinstance(dtype, str) else ""
    if name not in _BYTES:
        raise UnknownNameError("dtype", dtype, _BYTES)
    return name


def bytes_per_element(dtype: str) -> float:
    """Bytes that one element takes in memory.

    Scales are counted for the formats that fix them, ``nvfp4`` (0.5625) and ``mxfp4`` (0.53125), a tensor's
    one FP32 scale apart. Of the others (``fp8``, ``int8``, ``int4``, ``fp4``) checkpoints choose, and none is
    counted.
    """
    return _BYTES[canonical(dtype)]


def peak_name(dtype: str) -> str:
    """Which of a chip's peaks a matmul with operands of this dtype reaches: bf16, fp8, int8 or fp4.

    Raises UnknownNameError for a dtype that is only stored: weights in int4 are multiplied in another.
    """
    name = canonical(dtype)
    if name not in _PEAKS:
        stored = "(int4 is of weights and KV only; they are multiplied in bfloat16, fp8 or int8)"
        raise UnknownNameError("matmul dtype", dtype, _PEAKS, stored if name == "int4" else "")
    return _PEAKS[name]
