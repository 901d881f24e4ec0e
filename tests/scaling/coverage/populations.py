"""Populations of questions whose law is known: draws of any size from them, as families of traces.

A question has a hardness (and a topic); a model has a skill, a policy takes some of it; a sample is right
with the logistic of skill less hardness, and its length is lognormal and grows with hardness. Axes: Q
questions · S samples.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kinetics_jax.policies import BlockTopK, Dense
from kinetics_jax.scaling import Cell
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.shapes import presets

SIZES = {"qwen3-0.6b": -1.0, "qwen3-4b": 0.0, "qwen3-14b": 1.0}
POLICIES = {Dense(): 0.0, BlockTopK(block_size=16, top_blocks=64): -0.2}
CAP = 32_768


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """What questions and models are like, and how many of either a draw has."""

    questions: int
    samples: int
    skills: Mapping[str, float] = dataclasses.field(default_factory=lambda: SIZES)
    """Model → skill, in logits."""
    policies: Mapping[object, float] = dataclasses.field(default_factory=lambda: POLICIES)
    """Policy → what it adds to the skill."""
    hardness: float = 0.0
    """Mean, in logits."""
    spread: float = 1.5
    """Standard deviation of the hardness."""
    length: float = 5_000.0
    """Median tokens of a question of hardness 0."""
    tail: float = 0.6
    """Standard deviation of the logarithm of the length."""
    cap: int = CAP
    topics: int = 0
    """Topics, each easier for some models than for others; 0: none."""
    own: float = 0.0
    """Standard deviation of what each model thinks of each question on its own, in logits."""

    def draw(self, seed: int, questions: int | None = None) -> Family:
        """A family of traces: ``questions`` of the population (as many as a draw has unless given)."""
        rng = np.random.default_rng(seed)
        count = questions or self.questions
        hard = rng.normal(self.hardness, self.spread, count)
        topic = rng.integers(max(self.topics, 1), size=count)
        taste = np.random.default_rng(1).normal(0, 1.0, (len(self.skills), max(self.topics, 1)))
        cells = []
        for m, (model, skill) in enumerate(self.skills.items()):
            own = rng.normal(0, self.own, count) + (taste[m, topic] if self.topics else 0.0)
            for policy, less in self.policies.items():
                shape = (count, self.samples)
                rate = 1 / (1 + np.exp(hard - own - skill - less))
                tokens = rng.lognormal(np.log(self.length) + 0.2 * hard[:, None], self.tail, shape)
                tokens = np.clip(tokens, 50, self.cap).round()
                right = (rng.random(shape) < rate[:, None]) & (tokens < self.cap)
                cells.append(_cell(model, policy, self.cap, tokens, right))
        return Family("simulated", "made up", tuple(cells), ())


def _cell(model: str, policy: object, cap: int, tokens: np.ndarray, right: np.ndarray) -> Cell:
    return Cell(
        source="simulated",
        model=model,
        policy=policy,
        dataset="made up",
        max_tokens=cap,
        variant="",
        temperature=0.6,
        questions=tuple(f"q{i}" for i in range(len(right))),
        generated_tokens=tokens,
        correct=right,
        present=np.ones(right.shape, bool),
        prompt_tokens=np.full(len(right), 100.0),
        shape=presets[model],
    )


DESIGNS = {
    "default shape": Population(questions=200, samples=4),
    "AIME shape": Population(questions=30, samples=32, hardness=1.0, spread=2.5),
    "easy": Population(questions=100, samples=8, hardness=-6.0, spread=2.0),
    "hard": Population(questions=100, samples=8, hardness=7.0, spread=2.0),
    "ten questions": Population(questions=10, samples=16),
    "one trial": Population(questions=200, samples=1, spread=2.0),
    "heavy tails": Population(questions=60, samples=16, tail=1.4, length=3_000.0),
    "topics": Population(questions=80, samples=8, topics=5),
    "one size": Population(questions=50, samples=64, skills={"qwen3-8b": 0.5}),
    "two trials": Population(questions=150, samples=2, own=0.5),
    "capped": Population(questions=60, samples=16, cap=6_144),
    "near ties": Population(
        questions=40, samples=16, skills={"qwen3-0.6b": -0.1, "qwen3-4b": 0.0, "qwen3-14b": 0.1}, own=1.0
    ),
    # Those above were at hand when the intervals were made, these when they were widened, and the rest after.
    "GSM shape": Population(questions=150, samples=6, hardness=-1.5, spread=1.5, length=600.0),
    "many trials": Population(questions=50, samples=32, hardness=0.5, spread=2.0),
    "few and hard": Population(questions=25, samples=8, hardness=2.0, spread=2.0),
    "three trials": Population(questions=120, samples=3, own=0.7),
    "long answers": Population(questions=40, samples=16, cap=10_000, length=7_000.0),
    "tails and topics": Population(questions=80, samples=12, tail=1.1, topics=4, length=4_000.0),
    "two sizes": Population(questions=100, samples=8, skills={"qwen3-1.7b": -0.3, "qwen3-8b": 0.5}),
    "twelve questions": Population(questions=12, samples=64, spread=2.0),
    "four trials": Population(questions=64, samples=4, hardness=1.5, spread=1.8, own=0.4),
    "alike": Population(questions=100, samples=16, hardness=0.3, spread=1.2, tail=0.9),
    "two trials of many": Population(questions=300, samples=2, spread=2.0),
    "twenty questions": Population(questions=20, samples=24, hardness=0.5, spread=2.2),
    "rather easy": Population(questions=80, samples=8, hardness=-3.0, spread=1.5),
    "four sizes": Population(
        questions=70,
        samples=10,
        skills={"qwen3-0.6b": -1.2, "qwen3-1.7b": -0.5, "qwen3-4b": 0.2, "qwen3-14b": 0.6},
    ),
}
"""Name → population: questions 10 to 300, trials 1 to 64."""
