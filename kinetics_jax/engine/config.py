"""``EngineConfig``: the settings of an engine, as plain data. No JAX."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from kinetics_jax.checks import check_flag, check_number, check_whole, shown
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import Policy
from kinetics_jax.records import RepetitionRule

Settings = TypeVar("Settings")

DEFAULT_PAGE = 64
"""Tokens in a page where neither the config nor the policy says."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Sizes and modes of an ``Engine``. Raises ``InputError`` for those that cannot be."""

    slots: int | None = None
    """Samples that run at once *in each share of the mesh axes that sequences are split over*; None: as many
    as the free memory holds."""
    max_context: int | None = None
    """Longest prompt and generation together, in tokens; None: the model's."""
    page_size: int | None = None
    """Tokens in a page; None: the policy's blocks, else ``DEFAULT_PAGE``."""
    exact_masks: bool = False
    """Run the reference implementation's exact index sets (sinks of single tokens, blocks that start after
    them) by masking every score. It measures; it saves no bytes."""
    share_prompts: bool = True
    """Whether samples of a prompt share its full pages. Changes memory, not samples."""
    repetition: RepetitionRule | None = None
    """When a sample is taken to be caught in a loop and stopped; None: never."""
    chunk_steps: int = 64
    """Decode steps between two visits of the host."""
    prefill_chunk: int = 512
    """Prompt tokens read at a time."""
    prompt_rows: int = 2
    """Prompts of a share of the mesh that may be read ahead or wait for slots."""
    cache_dtype: str | type | np.dtype | None = None
    """Of keys and values; None: the model's (float32 on a CPU)."""
    memory_fraction: float = 0.9
    """Of the free memory that the cache may take where ``slots`` is None."""
    implementation: str | None = None
    """Back end of ``pallas_kernels``; None picks by the platform."""

    def __post_init__(self) -> None:
        for name in ("slots", "max_context", "page_size", "chunk_steps", "prefill_chunk", "prompt_rows"):
            value, default = getattr(self, name), getattr(type(self), name)
            if value is not None or default is not None:
                object.__setattr__(self, name, check_whole(name, value, 1))
        for name in ("exact_masks", "share_prompts"):
            object.__setattr__(self, name, check_flag(name, getattr(self, name)))
        if not 0 < check_number("memory_fraction", self.memory_fraction) <= 1:
            raise InputError(f"memory_fraction={self.memory_fraction!r} must be in (0, 1]")
        if self.repetition is not None and not isinstance(self.repetition, RepetitionRule):
            raise InputError(f"repetition={shown(self.repetition)} must be a RepetitionRule, or None")

    def on_pages(self, policy: Policy) -> tuple[int, Policy]:
        """The page size, and the form of ``policy`` that runs on such pages (itself with ``exact_masks``)."""
        page_size = self.page_size or policy.natural_page or DEFAULT_PAGE
        return page_size, policy if self.exact_masks else policy.on_pages(page_size)


def with_fields(kind: type[Settings], given: Settings | None, fields: Mapping[str, Any]) -> Settings:
    """``given`` (None: ``kind()``) with ``fields`` in place of its own.

    Raises ``UnknownNameError``, which names the nearest, for a field that the dataclass ``kind`` has not.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in fields:
        if name not in known:
            raise UnknownNameError("option", name, known)
    if given is not None and not isinstance(given, kind):
        raise InputError(f"{shown(given)} must be of {kind.__name__}")
    return dataclasses.replace(kind() if given is None else given, **fields)  # type: ignore[type-var]
