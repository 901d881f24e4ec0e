"""A policy that a stored sample names and that is not here: kept as it was written, never run or priced."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.policies.arrays import Array
from kinetics_jax.policies.base import Policy
from kinetics_jax.policies.pages import PageRule


@dataclasses.dataclass(frozen=True)
class UnknownPolicy(Policy):
    """What a sample was made under, where no policy of that name, or none with those fields, is known.

    Samples of it are read, sorted, graded and written as any others. Whatever asks what it reads is
    told in one ``InputError`` that it is not known.
    """

    stored: str
    """The stored object as JSON, ``{"name": …, field: value, …}``."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "UnknownPolicy":
        """From the stored object."""
        return cls(json.dumps(dict(fields)))

    @property
    def fields(self) -> dict[str, Any]:
        """The stored object."""
        return json.loads(self.stored)

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

    def _refuse(self) -> NoReturn:
        raise InputError(
            f"policy {self.label} is not known here: its samples can be read and graded, not run or "
            "priced; use the version of kinetics-jax that made them, or leave them out"
        )

    @property
    def kv_budget(self) -> int | None:
        """Refused."""
        self._refuse()

    @property
    def search_interval(self) -> int | None:
        """Refused."""
        self._refuse()

    @property
    def num_dense_layers(self) -> int:
        """Refused."""
        self._refuse()

    @property
    def pages(self) -> PageRule | None:
        """Refused."""
        self._refuse()

    @property
    def natural_page(self) -> int | None:
        """Refused."""
        self._refuse()

    def on_pages(self, page_size: int) -> Policy:
        """Refused."""
        self._refuse()

    def check_layers(self, num_layers: int) -> None:
        """Refused."""
        self._refuse()

    def at_layer(self, layer: int) -> Policy:
        """Refused."""
        self._refuse()

    def kv_reads(self, lengths: Array) -> Array:
        """Refused."""
        self._refuse()

    def summary_reads(self, lengths: Array) -> Array:
        """Refused."""
        self._refuse()

    def keep_mask(self, logits_bns: np.ndarray, lengths_b: np.ndarray, num_kv_heads: int) -> np.ndarray:
        """Refused."""
        self._refuse()

    def keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """Refused."""
        self._refuse()
