"""A policy that a stored sample names and that is not here: kept as it was written, never run or priced."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from kinetics_jax.errors import InputError
from kinetics_jax.policies.base import Policy

CLASS = "class"
"""Where stored policies say what their class is imported from; no field can be called so."""


@dataclasses.dataclass(frozen=True)
class UnknownPolicy(Policy):
    """What a sample was made under, where no policy of that name, or none with those fields, is known.

    Samples of it are read, sorted, graded and written as any others. Whatever asks what it reads is
    told in one ``InputError`` that it is not known, and where its class is.
    """

    stored: str
    """The stored object as JSON, ``{"name": …, field: value, …}``, without its class."""
    as_written: str = dataclasses.field(compare=False)
    """The same with its class, which may lie elsewhere on each machine."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "UnknownPolicy":
        """From the stored object."""
        return cls(json.dumps(_without_class(fields)), json.dumps(fields))

    @property
    def fields(self) -> dict[str, Any]:
        """The stored object, without its class."""
        return json.loads(self.stored)

    @property
    def written(self) -> dict[str, Any]:
        """The stored object."""
        return json.loads(self.as_written)

    @property
    def name(self) -> str:  # type: ignore[override]  # not the class's, but the sample's own word
        """The name that was stored."""
        return str(self.fields["name"])

    @property
    def label(self) -> str:
        """The name with the fields."""
        fields = self.fields
        name = fields.pop("name")
        return f"{name}({', '.join(f'{k}={v!r}' for k, v in fields.items())})" if fields else name

    @property
    def refusal(self) -> str:
        """Why it is not run or priced, and the mend."""
        place = self.written.get(CLASS)
        mend = f"load its class, which was {place}" if place else "load its class, or leave them out"
        return (
            f"policy {self.label} is not known here: its samples can be read and graded, not run or "
            f"priced; {mend} (docs/extending.md)"
        )

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise InputError(self.refusal)


for _name in ("kv_budget", "search_interval", "num_dense_layers", "pages", "natural_page"):
    setattr(UnknownPolicy, _name, property(UnknownPolicy._refuse))
_COUNTS = ("kv_reads", "summary_reads", "prompt_summary_reads", "launches")
for _name in ("on_pages", "check_layers", "at_layer", *_COUNTS, "keep_mask", "keep"):
    setattr(UnknownPolicy, _name, UnknownPolicy._refuse)


def _without_class(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_class(inner) for key, inner in value.items() if key != CLASS}
    return [_without_class(inner) for inner in value] if isinstance(value, list | tuple) else value
