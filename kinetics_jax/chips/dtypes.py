"""Number formats a model can be served in: bytes of an element, and whose peak the chip reaches."""

from kinetics_jax.errors import UnknownNameError

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5}
_BYTES |= {
    "fp4": 0.5,
    "nvfp4": 0.5625,
    "mxfp4": 0.53125,
}  # with a scale of 8 bits for every 16, or 32, elements
_ALIASES = {
    "f32": "float32",
    "fp32": "float32",
    "bf16": "bfloat16",
    "f16": "float16",
    "fp16": "float16",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
}
_PEAKS = {"bfloat16": "bf16", "float16": "bf16", "fp8": "fp8", "int8": "int8"}
_PEAKS |= dict.fromkeys(("fp4", "nvfp4", "mxfp4"), "fp4")


def canonical(dtype: str) -> str:
    """The one name of a dtype; raises UnknownNameError for one that has no entry here."""
    name = _ALIASES.get(dtype, dtype) if isinstance(dtype, str) else ""
    if name not in _BYTES:
        raise UnknownNameError("dtype", dtype, _BYTES)
    return name


def bytes_per_element(dtype: str) -> float:
    """Bytes that one element takes in memory; scales are counted for ``nvfp4`` and ``mxfp4`` only."""
    return _BYTES[canonical(dtype)]


def peak_name(dtype: str) -> str:
    """Which of a chip's peaks a matmul with operands of this dtype reaches: bf16, fp8, int8 or fp4."""
    name = canonical(dtype)
    if name not in _PEAKS:
        raise UnknownNameError("matmul dtype", dtype, _PEAKS)
    return _PEAKS[name]
