"""Rows on their way into a ``Trials``, whichever format they are read from."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kinetics_jax.checks import is_text
from kinetics_jax.policies import Policy
from kinetics_jax.records import RecordedDeployment
from kinetics_jax.scaling.traces.text_lines import Lines
from kinetics_jax.scaling.traces.trials import COLUMNS, NOT_RECORDED, UNKNOWN_CAP, InputFile, Trials

_KINDS: dict[str, type] = {
    "policy": np.int64,
    "prompt_tokens": np.float64,
    "generated_tokens": np.int64,
    "correct": np.bool_,
    "max_tokens": np.int64,
    "temperature": np.float64,
    "deployment": np.int64,
    "file": np.int64,
    "line": np.int64,
}


class Row(NamedTuple):
    """One finished sample, as ``Trials`` describes its columns."""

    source: str
    model: str
    dataset: str
    problem_id: str
    trial: str
    policy: Policy
    prompt_tokens: float
    generated_tokens: int
    correct: bool
    max_tokens: int = UNKNOWN_CAP
    temperature: float = math.nan
    answer: str | None = None
    shape: Mapping[str, Any] | None = None
    """Of a model that is no preset."""
    deployment: Mapping[str, Any] | None = None
    """What it ran on, as its record says it."""


class Rows:
    """All rows read so far; a sample that comes twice is refused."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        """In the order of ``COLUMNS``."""
        self._seen: set[tuple[Any, ...]] = set()
        self._policies: dict[Policy, int] = {}
        self._variants: dict[str, str] = {}
        self._shapes: dict[str, Mapping[str, Any]] = {}
        self._deployments: dict[RecordedDeployment, int] = {}
        self.file = 0
        """Index of the file that is being read."""

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, lines: Lines, row: Row) -> None:
        """Append one sample; ``lines`` says where it was read."""
        if row.answer == "" and row.correct:  # a right sample had one: it was not kept
            row = row._replace(answer=None)
        for text in (*row[:5], row.answer or ""):
            if not is_text(text):  # JSON can spell what UTF-8 cannot
                raise lines.error(f"{text!r} holds half of a character", lines.advice())
        if row.shape is not None and self._shapes.setdefault(row.model, row.shape) != row.shape:
            raise lines.error(
                f"{row.model} has another shape here than above", "rename one of the two models"
            )
        policy = self._policies.setdefault(row.policy, len(self._policies))
        key = (*row[:5], policy, row.max_tokens)
        if key in self._seen:
            raise lines.error(
                f"trial {row.trial} of problem {row.problem_id} ({row.model}, {row.dataset}) is there twice",
                "delete one of the two, or give each sample its own trial",
            )
        self._seen.add(key)
        variant = self._variants.get(row.trial)
        if variant is None:
            variant = self._variants[row.trial] = re.sub(r"\d+", "", row.trial).strip("_- ")
        ran = NOT_RECORDED
        if row.deployment is not None:
            recorded = RecordedDeployment.from_stored(row.deployment)
            ran = self._deployments.setdefault(recorded, len(self._deployments))
        self._rows.append((*row[:5], variant, policy, *row[6:-2], ran, self.file, lines.number))

    def to_trials(self, inputs: Sequence[InputFile]) -> Trials:
        """The table of all rows added."""
        columns: dict[str, Any] = {
            name: np.array(column, dtype=_KINDS.get(name, object))
            for name, column in zip(COLUMNS, zip(*self._rows, strict=True), strict=True)
        }
        return Trials(
            **columns,
            policies=tuple(self._policies),
            inputs=tuple(inputs),
            shapes=self._shapes,
            deployments=tuple(self._deployments),
        )
