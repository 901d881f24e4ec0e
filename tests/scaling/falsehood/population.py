"""Populations of questions whose solve rates are known, and data sets drawn from them.

Axes: Q questions · S samples of a question.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.policies import Dense, Policy
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.independent_trials import Cell
from kinetics_jax.scaling.traces.trials import NOT_RECORDED, InputFile, Trials
from kinetics_jax.shapes import presets

CAP = 16_384
PROMPT = 150.0
DENSE = Dense()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """A model under a policy, and how it was run."""

    model: str
    policy: Policy = DENSE
    skill: float
    """Log-odds of solving a question of middle difficulty."""
    length: float = 4000.0
    """Typical tokens of a trace."""
    samples: int = 16
    cap: int = CAP
    temperature: float = 0.6
    source: str = "made"
    """Another source has another grader."""
    stored: int = 1
    """How often every sample was stored, under labels of its own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draw:
    """Tokens and outcomes of one side, [Q, S] each."""

    side: Side
    tokens: NDArray[np.int64]
    correct: NDArray[np.bool_]


def draw(sides: tuple[Side, ...], questions: int, spread: float, seed: int) -> list[Draw]:
    """Samples of some questions: difficulty is common to all sides but for a little of each side's own.

    Args:
      sides: what was run.
      questions: Q.
      spread: standard deviation of the difficulty, in log-odds.
      seed: another seed is another set of questions and of samples.
    """
    rng = np.random.default_rng(seed)
    hard = rng.normal(0.0, spread, questions)
    long = rng.normal(0.0, 0.35, questions)
    found = []
    for side in sides:
        odds = side.skill - hard + rng.normal(0.0, 0.5, questions)
        solve = 1.0 / (1.0 + np.exp(-odds))
        shape = (questions, side.samples)
        mean = np.log(side.length) + 0.6 * long + 0.06 * hard
        tokens = np.ceil(np.exp(mean[:, None] + rng.normal(0.0, 0.5, shape))).astype(np.int64)
        correct = (rng.random(shape) < solve[:, None]) & (tokens <= side.cap)
        found.append(Draw(side=side, tokens=np.minimum(tokens, side.cap), correct=correct))
    return found


def as_trials(draws: list[Draw]) -> Trials:
    """A table as ``read_trials`` would give it, copies under trial labels of their own."""
    policies = tuple(dict.fromkeys(one.side.policy for one in draws))
    columns: dict[str, list[NDArray]] = {}
    for one in draws:
        side, times = one.side, one.side.stored
        tokens, correct = np.tile(one.tokens, times), np.tile(one.correct, times)
        questions, samples = tokens.shape
        count = tokens.size
        texts = {"source": side.source, "model": side.model, "dataset": "known", "variant": ""}
        values = {
            **{name: np.full(count, text, dtype=object) for name, text in texts.items()},
            "problem_id": np.repeat(np.array([str(q) for q in range(questions)], object), samples),
            "trial": np.tile(np.array([str(s) for s in range(samples)], object), questions),
            "policy": np.full(count, policies.index(side.policy)),
            "prompt_tokens": np.full(count, PROMPT),
            "generated_tokens": tokens.ravel(),
            "correct": correct.ravel(),
            "max_tokens": np.full(count, side.cap),
            "temperature": np.full(count, side.temperature),
            "file": np.zeros(count, np.int64),
            "line": np.arange(count) + 2,
            "deployment": np.full(count, NOT_RECORDED),
            "answer": np.full(count, None, dtype=object),
        }
        for name, value in values.items():
            columns.setdefault(name, []).append(value)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    rows = len(joined["correct"])
    return Trials(**joined, policies=policies, inputs=(InputFile("made.csv", "0", "csv", rows),))


def as_family(draws: list[Draw]) -> Family:
    """The same as cells, without looking for what is wrong with them: for large populations."""
    cells = []
    for one in draws:
        questions, _ = one.tokens.shape
        cells.append(
            Cell(
                source="made",
                model=one.side.model,
                policy=one.side.policy,
                dataset="known",
                max_tokens=one.side.cap,
                variant="",
                temperature=one.side.temperature,
                questions=tuple(str(q) for q in range(questions)),
                generated_tokens=one.tokens.astype(np.float64),
                correct=one.correct,
                present=np.ones(one.tokens.shape, bool),
                prompt_tokens=np.full(questions, PROMPT),
                shape=presets[one.side.model],
            )
        )
    return Family("made", "known", tuple(cells), ())
