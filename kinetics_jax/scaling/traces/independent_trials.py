"""Cells: groups of rows that are independent trials of one setting on several questions.

Rows with different caps or budget-forcing variants are not trials of one setting and never meet in a
cell. Axes: Q questions · S samples of a question (padded where questions have different numbers).
"""

import dataclasses
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy, UnknownPolicy
from kinetics_jax.records import RecordedDeployment
from kinetics_jax.scaling.traces.answers import answer_codes
from kinetics_jax.scaling.traces.trials import NOT_RECORDED, UNKNOWN_CAP, Trials
from kinetics_jax.shapes import ModelConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """Independent trials of one (source, model, policy, dataset, cap, variant, temperature)."""

    source: str
    model: str
    policy: Policy
    dataset: str
    max_tokens: int | None
    """Generation cap of the run; None where it was not recorded."""
    variant: str
    temperature: float | None
    questions: tuple[str, ...]
    generated_tokens: NDArray[np.float64]
    """[Q, S]; padding repeats the question's first sample."""
    correct: NDArray[np.bool_]
    """[Q, S]; False in the padding."""
    present: NDArray[np.bool_]
    """[Q, S]; which entries are samples and not padding."""
    prompt_tokens: NDArray[np.float64]
    """[Q]; NaN where not recorded."""
    answers: NDArray[np.int64] | None = None
    """Which of its question's answers each sample gave, [Q, S], ``answers.NO_ANSWER`` where none was found;
    None where the answer of some sample is not recorded."""
    shape: ModelConfig | None = None
    """What the model is priced by; None where no shape is known."""
    deployments: tuple[RecordedDeployment | None, ...] = (None,)
    """What its samples ran on, each that occurs; None for samples whose records do not say."""
    trials_limit: int | None = None
    """Largest N that may be asked about, where what it is compared with has fewer samples."""

    @property
    def samples(self) -> NDArray[np.int64]:
        """Samples of each question, [Q]."""
        return self.present.sum(axis=1)

    @property
    def max_trials(self) -> int:
        """Largest N whose pass@N every question can be estimated at.

        Greedy samples (temperature 0) are copies of one another, so a greedy cell has one trial.
        """
        most = 1 if self.temperature == 0 else int(self.samples.min())
        return most if self.trials_limit is None else min(most, self.trials_limit)

    @property
    def accuracy(self) -> float:
        """Mean pass@1 over questions."""
        return float(np.mean(self.correct.sum(axis=1) / self.samples))

    @property
    def label(self) -> str:
        """A short text that tells the cell from its neighbours."""
        cap = f"cap {self.max_tokens}" if self.max_tokens else ""
        parts = (self.model, self.policy.label, self.dataset, cap, self.variant)
        return ", ".join(part for part in parts if part)

    def restrict(self, questions: tuple[str, ...]) -> "Cell":
        """The cell on these questions, in this order.

        Raises:
            InputError: a question that the cell lacks.
        """
        at = {question: i for i, question in enumerate(self.questions)}
        if missing := [question for question in questions if question not in at]:
            raise InputError(f"{self.label} has no question {missing[0]!r}")
        rows = np.array([at[question] for question in questions], dtype=np.int64)
        arrays = ("generated_tokens", "correct", "present", "prompt_tokens", "answers")
        picked = {name: getattr(self, name)[rows] for name in arrays if getattr(self, name) is not None}
        return dataclasses.replace(self, questions=questions, **picked)


def group_cells(trials: Trials) -> list[Cell]:
    """The cells of a trials table, sorted by dataset, source, model, policy, cap and variant."""
    caps = [None if cap == UNKNOWN_CAP else cap for cap in trials.max_tokens.tolist()]
    temperatures = [None if math.isnan(t) else t for t in trials.temperature.tolist()]
    rows_of: dict[tuple[Any, ...], list[int]] = {}
    texts = (trials.dataset, trials.source, trials.model)
    keys = zip(*texts, trials.policy.tolist(), caps, trials.variant, temperatures, strict=True)
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    cells = [_cell(trials, key, rows) for key, rows in rows_of.items()]
    return sorted(cells, key=_order)


def _order(cell: Cell) -> tuple[Any, ...]:
    budget = None if isinstance(cell.policy, UnknownPolicy) else cell.policy.kv_budget
    policy = (budget is not None, budget or 0, cell.policy.label)
    rest = (cell.max_tokens or 0, cell.variant, cell.temperature or 0.0)
    return (cell.dataset, cell.source, cell.model, *policy, *rest)


def _cell(trials: Trials, key: tuple[Any, ...], rows: list[int]) -> Cell:
    """One cell; a question's samples are in the order of their trial labels, numbers by value.

    The order matters where one run was cut at several caps: the same sample then has the same rank in
    every cell, and the halves of ``held_out`` never part it.
    """
    dataset, source, model, policy, cap, variant, temperature = key
    by_question: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: _natural(trials.trial[row])):
        by_question.setdefault(trials.problem_id[row], []).append(row)
    questions = tuple(sorted(by_question, key=_natural))
    most = max(map(len, by_question.values()))
    padded = [by_question[q] + by_question[q][:1] * (most - len(by_question[q])) for q in questions]
    index = np.array(padded, dtype=np.int64)
    counts = np.array([len(by_question[question]) for question in questions])
    present = np.arange(most) < counts[:, None]
    ran = sorted(set(trials.deployment[rows].tolist()))
    prompts = np.where(present, trials.prompt_tokens[index], 0.0).sum(axis=1) / counts
    return Cell(
        source,
        model,
        trials.policies[policy],
        dataset,
        cap,
        variant,
        temperature,
        questions,
        trials.generated_tokens[index].astype(np.float64),
        trials.correct[index] & present,
        present,
        prompts,
        answer_codes(trials.answer[index], present),
        trials.shape_of(model),
        deployments=tuple(None if index == NOT_RECORDED else trials.deployments[index] for index in ran),
    )


def _natural(text: Any) -> tuple[Any, ...]:
    """Sort key that puts 2 before 10: texts and numbers alternate in the split."""
    return tuple(int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", text)))
