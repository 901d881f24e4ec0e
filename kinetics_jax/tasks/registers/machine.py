"""The register machine: what it does in a step, and the traces of many machines at once.

Axes: B machines · M registers · T steps. A step writes four tokens: ``address value address value``.
"""

import dataclasses
import functools

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.tasks.registers.symbols import BEGIN, END, HALT, REGISTERS, address, value

TOKENS_PER_STEP = 4
PROMPT_TOKENS = 1 + 2 * REGISTERS
"""``begin``, then every register of bank 0 with its value."""
_HALTS = -1


@dataclasses.dataclass(frozen=True)
class Traces:
    """What B machines wrote."""

    prompts_bp: np.ndarray
    """Prompts, int32 [B, PROMPT_TOKENS]."""
    tokens_bt: np.ndarray
    """The traces up to ``halt``, int32 [B, 4·T]; ``END`` from there on."""
    steps_b: np.ndarray
    """Steps until the halt, that one included; T + 1 where the machine did not halt."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine's one secret: the table of its operation, which only a trained model's weights hold.

    In step t (round r = 1 + t // M, register k = t mod M) the machine reads register x of bank r−1,
    gets v, and writes w = table[v, k mod columns] to register k of bank r. The next x is w. Where
    the table says so, it halts. A round sees the whole memory that the round before it wrote, so
    what a bank held three rounds ago is overwritten, and only its latest version counts.
    """

    columns: int = 32
    """Columns of the table: it has M · columns facts."""
    facts_per_halt: int = 256
    """One fact in this many halts, so that the mean length is about this many steps."""
    seed: int = 1234

    def __post_init__(self) -> None:
        if not 1 <= self.columns <= REGISTERS or REGISTERS % self.columns:
            raise InputError(f"columns={self.columns} must divide the {REGISTERS} registers")
        if not 1 <= self.facts_per_halt <= REGISTERS * self.columns:
            raise InputError(f"facts_per_halt={self.facts_per_halt} must be in 1…{REGISTERS * self.columns}")

    @functools.cached_property
    def table(self) -> np.ndarray:
        """W for each (v, k mod columns), [M, columns]; −1 halts."""
        draw = np.random.default_rng(self.seed)
        table = draw.integers(REGISTERS, size=(REGISTERS, self.columns))
        halts = draw.choice(table.size, table.size // self.facts_per_halt, replace=False)
        table.ravel()[halts] = _HALTS
        return table

    def run(self, memories_bm: np.ndarray, steps: int) -> Traces:
        """Run B machines for at most ``steps`` steps each, side by side.

        Args:
            memories_bm: what bank 0 holds at the start, values 0…M−1, [B, M]. The first x is the
                value of its last register, which is the last token of the prompt.
            steps: T.

        Raises:
            InputError: memories of another shape or with other values, or no steps.
        """
        memories_bm = np.asarray(memories_bm)
        if memories_bm.ndim != 2 or memories_bm.shape[1] != REGISTERS or not memories_bm.size:
            raise InputError(f"memories must be [B, {REGISTERS}], got {memories_bm.shape}")
        if memories_bm.min() < 0 or memories_bm.max() >= REGISTERS:
            raise InputError(f"memories hold values 0…{REGISTERS - 1}")
        if steps < 1:
            raise InputError(f"steps={steps} must be ≥ 1")
        machines = np.arange(len(memories_bm))
        read, written = memories_bm.copy(), np.empty_like(memories_bm)
        x = memories_bm[:, -1]
        tokens = np.full((len(machines), TOKENS_PER_STEP * steps), END, np.int32)
        halted_at = np.full(len(machines), steps + 1)
        for step in range(steps):
            running = halted_at > step
            bank, k = 1 + step // REGISTERS, step % REGISTERS
            v = read[machines, x]
            w = self.table[v, k % self.columns]
            halts = w == _HALTS
            now = (address(bank - 1, x), value(v), address(bank, k), np.where(halts, HALT, value(w)))
            for offset, token in enumerate(now):
                column = TOKENS_PER_STEP * step + offset
                tokens[:, column] = np.where(running, token, END)
            halted_at[running & halts] = step + 1
            x = np.where(halts, 0, w)
            written[:, k] = x
            if k == REGISTERS - 1:
                read, written = written, read
        return Traces(_prompts(memories_bm), tokens, halted_at)


def _prompts(memories_bm: np.ndarray) -> np.ndarray:
    prompts = np.full((len(memories_bm), PROMPT_TOKENS), BEGIN, np.int32)
    prompts[:, 1::2] = address(0, np.arange(REGISTERS))
    prompts[:, 2::2] = value(memories_bm)
    return prompts
