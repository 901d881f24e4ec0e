"""Problems of the register machine: seeded, of chosen lengths, in splits that cannot overlap.

Axes: B machines · M registers.
"""

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
from kinetics_jax.tasks.registers.machine import TOKENS_PER_STEP, Machine
from kinetics_jax.tasks.registers.symbols import REGISTERS

NAME = "registers"
SPLITS = {"train": (0, 1), "validation": (2,), "test": (3,)}
"""Remainders modulo 4 of the sum of a split's starting memories: no memory is in two splits."""
SHORTEST, LONGEST = 96, 480
"""Steps of the shortest and longest problem; with the prompt, contexts of 513…2,049 tokens."""

_CHUNK, _POOL = 64, 4096
_GOLDEN = (5**0.5 - 1) / 2


def draw_memories(draw: np.random.Generator, count: int, split: str) -> np.ndarray:
    """Random starting memories of a split, [count, M]: uniform among those that it holds.

    Raises:
        InputError: no such split.
    """
    if split not in SPLITS:
        raise InputError(f"split={split!r} must be one of {', '.join(SPLITS)}")
    memories = draw.integers(REGISTERS, size=(count, REGISTERS))
    wanted = draw.choice(SPLITS[split], count)
    # REGISTERS is a multiple of 4, so shifting one value cyclically keeps its distribution uniform.
    shift = (wanted - memories.sum(axis=1)) % 4
    memories[:, 0] = (memories[:, 0] + shift) % REGISTERS
    return memories


def make_problems(
    count: int,
    *,
    split: str = "test",
    seed: int = 0,
    shortest: int = SHORTEST,
    longest: int = LONGEST,
    machine: Machine | None = None,
) -> tuple[Problem, ...]:
    """``count`` problems whose lengths spread evenly in the logarithm over shortest…longest steps.

    The first problems of a larger set are the smaller set. ``answer`` is the whole trace up to and
    with ``halt``, as token ids; ``extra`` holds the ``steps``.

    Raises:
        InputError: no such split, a count below 1, or lengths out of order.
    """
    machine = machine or Machine()
    if count < 1 or not 1 <= shortest <= longest:
        raise InputError(f"count={count} must be ≥ 1 and 1 ≤ shortest={shortest} ≤ longest={longest}")
    problems: list[Problem] = []
    for chunk in range(-(-count // _CHUNK)):
        draw = np.random.default_rng([seed, chunk, *split.encode()])
        traces = machine.run(draw_memories(draw, _POOL, split), longest)
        for row in _pick(traces.steps_b, draw.random(), shortest, longest):
            steps = int(traces.steps_b[row])
            problems.append(
                Problem(
                    task=NAME,
                    problem_id=f"{split}-{seed}-{len(problems):05}",
                    prompt=tuple(traces.prompts_bp[row].tolist()),
                    answer=tuple(traces.tokens_bt[row, : TOKENS_PER_STEP * steps].tolist()),
                    extra={"steps": steps},
                )
            )
    return tuple(problems[:count])


def _pick(steps_b: np.ndarray, offset: float, shortest: int, longest: int) -> list[int]:
    """Rows of a chunk, each the closest in length to a wish; wishes are a golden-ratio sequence."""
    ratio = np.log((longest + 1) / shortest)
    share = (offset + _GOLDEN * np.arange(_CHUNK)) % 1
    wishes = np.floor(shortest * np.exp(ratio * share)).astype(int)
    free = np.flatnonzero((steps_b >= shortest) & (steps_b <= longest))
    if len(free) < _CHUNK:
        raise InputError(
            f"too few machines halt after {shortest}…{longest} steps; widen the range of lengths"
        )
    rows = []
    for wish in wishes:
        nearest = int(np.argmin(np.abs(steps_b[free] - wish)))
        rows.append(int(free[nearest]))
        free = np.delete(free, nearest)
    return rows
