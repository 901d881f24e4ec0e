"""What a sample ran on, as its record says it: slots, chips of a copy, dtypes, page size.

It decides no token, so it stands beside a sample's provenance and not in it: a run may go on with others.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kinetics_jax.checks import shown
from kinetics_jax.errors import InputError
from kinetics_jax.records.stored import check_count, check_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedDeployment:
    """How one copy of a model was run."""

    slots: int
    """Sequences that one copy could decode together."""
    tensor_parallel: int
    """Devices of one copy: ways of tensor times ways of expert parallelism."""
    weight_dtype: str
    kv_dtype: str
    compute_dtype: str
    """Of the matmuls' operands."""
    page_size: int
    """Tokens in a page of the KV cache."""
    device: str = ""
    """What JAX calls the kind of device, such as ``NVIDIA H100 80GB HBM3`` or ``cpu``."""

    def __post_init__(self) -> None:
        for field in ("slots", "tensor_parallel", "page_size"):
            check_count(f"deployment.{field}", getattr(self, field), 1)
        for field in ("weight_dtype", "kv_dtype", "compute_dtype"):
            check_text(f"deployment.{field}", getattr(self, field))
        if not isinstance(self.device, str):
            raise InputError(f"deployment.device={shown(self.device)} must be a text, or left out")

    @classmethod
    def from_stored(cls, fields: Mapping[str, Any]) -> "RecordedDeployment":
        """The deployment that a record's fields say; fields of other versions are let pass.

        Raises ``InputError`` where one lacks or is of a wrong type.
        """
        known = dataclasses.fields(cls)
        required = [field.name for field in known if field.default is dataclasses.MISSING]
        if missing := [name for name in required if name not in fields]:
            raise InputError(f"deployment lacks {', '.join(missing)}")
        return cls(**{field.name: fields[field.name] for field in known if field.name in fields})

    def to_stored(self) -> dict[str, Any]:
        """As a record keeps it."""
        return dataclasses.asdict(self)


def check_deployment(value: object) -> None:
    """Raise ``InputError`` unless ``value`` is None or an object that says a whole deployment."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise InputError(f"deployment={value!r} must be an object, or left out")
    RecordedDeployment.from_stored(value)
