"""The trials table: one row a finished sample, in columns, from whichever engine and format."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.checks import check_number
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.records import RecordedDeployment
from kinetics_jax.scaling.traces.prompt_lengths import fill_with_group_mean
from kinetics_jax.shapes import ModelConfig, presets

UNKNOWN_CAP = -1
"""``max_tokens`` of a row whose generation cap was not recorded."""
NOT_RECORDED = -1
"""``deployment`` of a row that does not say what it ran on."""


@dataclasses.dataclass(frozen=True)
class InputFile:
    """Where rows came from, so that a result can name its inputs."""

    path: str
    sha256: str
    """Of the file as it lies on disk, compressed or not."""
    format: str
    """``records``, ``csv`` or ``kinetics``."""
    rows: int


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """Finished samples in columns; every array has one entry a row."""

    source: NDArray[Any]
    """Run or repository the row is from (text)."""
    model: NDArray[Any]
    dataset: NDArray[Any]
    problem_id: NDArray[Any]
    trial: NDArray[Any]
    """The sample's own label within its problem (text)."""
    variant: NDArray[Any]
    """What of the label is not a number: rows that differ in it are different settings."""
    policy: NDArray[np.int64]
    """Index into ``policies``."""
    prompt_tokens: NDArray[np.float64]
    """NaN where not recorded."""
    generated_tokens: NDArray[np.int64]
    correct: NDArray[np.bool_]
    max_tokens: NDArray[np.int64]
    """Generation cap; ``UNKNOWN_CAP`` where not recorded."""
    temperature: NDArray[np.float64]
    """NaN where not recorded."""
    answer: NDArray[Any]
    """What the grader read as the answer (text), empty where it found none; None where not recorded."""
    deployment: NDArray[np.int64]
    """Index into ``deployments``; ``NOT_RECORDED`` where the row does not say what it ran on."""
    file: NDArray[np.int64]
    """Index into ``inputs``."""
    line: NDArray[np.int64]
    """Line of that file."""
    policies: tuple[Policy, ...]
    inputs: tuple[InputFile, ...] = ()
    shapes: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """Model → shape as its records have it, of models that are no presets."""
    deployments: tuple[RecordedDeployment, ...] = ()

    def __len__(self) -> int:
        return len(self.correct)

    def where(self, row: int) -> str:
        """FILE:LINE that a row was read from."""
        return f"{self.inputs[self.file[row]].path}:{self.line[row]}"

    def shape_of(self, model: str) -> ModelConfig | None:
        """What a model is priced by: the shape in its records, else the preset of that name, else None.

        Raises ``InputError`` for a shape that cannot be read, or that is not the preset's.
        """
        stored, preset = self.shapes.get(model), presets.get(model)
        if stored is None:
            return preset
        found = ModelConfig.from_dict(stored, model)
        if preset is not None and (what := preset.difference(found)):
            raise InputError(f"the records' {model} is not the preset of that name: {what}; rename it")
        return found

    def select(self, keep: NDArray[Any]) -> "Trials":
        """The rows of a boolean mask or an index array."""
        return dataclasses.replace(self, **{name: getattr(self, name)[keep] for name in COLUMNS})

    def with_prompt_tokens(self, default: float) -> "Trials":
        """Unknown prompt lengths filled in, so that every row can be priced.

        A row takes the mean of its dataset's known rows of the same problem, else of the dataset
        (whole tokens), else ``default`` tokens.
        """
        tokens = check_number("default", default)
        if tokens < 0 or tokens != int(tokens):
            raise InputError(f"default={default} prompt tokens must be a whole number ≥ 0")
        filled = self.prompt_tokens.copy()
        keys = np.array([f"{d}\n{p}" for d, p in zip(self.dataset, self.problem_id, strict=True)])
        for groups in (keys, self.dataset.astype(str)):
            filled = fill_with_group_mean(filled, groups)
        filled = np.where(np.isnan(filled), tokens, np.rint(filled))
        return dataclasses.replace(self, prompt_tokens=filled)


_TABLES = ("policies", "inputs", "shapes", "deployments")
COLUMNS = tuple(f.name for f in dataclasses.fields(Trials) if f.name not in _TABLES)
"""Names of the arrays of ``Trials``."""
