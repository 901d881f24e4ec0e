"""Training rows of the register machine, made with vectorised NumPy as fast as they are used.

A row is a piece of a trace at its true positions, what came before it shortened: all that a step
needs of the past is the memory that it reads. Axis letters: B rows · T tokens · S context entries.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from kinetics_jax.tasks.registers import (
    BANKS,
    END,
    PROMPT_TOKENS,
    REGISTERS,
    TOKENS_PER_STEP,
    Machine,
    address,
    draw_memories,
    value,
)

Array = Any
"""NumPy where rows are made, JAX where a step takes them."""

ROUND_TOKENS = TOKENS_PER_STEP * REGISTERS
KINDS = ("read_address", "value_read", "write_address", "value_written", "end")
"""What a token of a trace is, in the order of a step; ``end`` is the stop token after ``halt``."""
_VALUE_READ, _WRITE_ADDRESS, _END = 1, 2, 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """B rows of T tokens."""

    token_bt: Array
    position_bt: Array
    target_bt: Array
    """The token after each; meaningless where the weight is 0."""
    weight_bt: Array
    """1 where the target is learnt, else 0 (float32)."""
    kind_bt: Array
    """Index in ``KINDS`` of each target."""
    entry_bts: Array | None = None
    """For targets that are values read: the entries that hold the answer. Only for the warm-up."""


def look_up_rows(draw: np.random.Generator, count: int, keys: int, reads: int) -> Rows:
    """Rows that teach one thing: find the latest value of a key.

    ``keys`` pairs ``address value``; far behind them as many with the same addresses and newer
    values; after a gap ``reads`` pairs that repeat what the newer ones say.
    """
    order = draw.permuted(np.tile(np.arange(BANKS * REGISTERS), (count, 1)), axis=1)[:, :keys]
    key = address(0, order)
    newer = value(draw.integers(REGISTERS, size=order.shape))
    older = value(draw.integers(REGISTERS, size=order.shape))
    pick = draw.integers(keys, size=(count, reads))
    read = (np.take_along_axis(key, pick, 1), np.take_along_axis(newer, pick, 1))
    parts = [_pairs(draw.permuted(key, axis=1), older), _pairs(key, newer), _pairs(*read)]
    token = np.concatenate(parts, axis=1)
    position = draw.integers(0, 2 * ROUND_TOKENS, size=(count, 1)) + np.arange(token.shape[1])
    position[:, 2 * keys :] += draw.integers(2 * ROUND_TOKENS, 5 * ROUND_TOKENS, size=(count, 1))
    gap = draw.integers(0, 2 * ROUND_TOKENS - 2 * (keys + reads), size=(count, 1))
    position[:, 4 * keys :] += np.where(draw.random((count, 1)) < 0.7, gap, 0)
    weight = np.zeros(token.shape, np.float32)
    weight[:, 4 * keys :: 2] = 1
    kind = np.full(token.shape, _VALUE_READ)
    rows = Rows(token, position, np.roll(token, -1, 1), weight, kind)
    return dataclasses.replace(rows, entry_bts=_entries(rows))


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([first, second], axis=-1).reshape(len(first), -1)


def _entries(rows: Rows) -> np.ndarray:
    """Entries [B, T, S] that were written under the key at T, in the last two rounds."""
    T = rows.token_bt.shape[1]
    before = np.concatenate([np.full((len(rows.token_bt), 1), -1), rows.token_bt[:, :-1]], 1)
    same = before[:, None, :] == rows.token_bt[:, :, None]
    recent = rows.position_bt[:, :, None] - rows.position_bt[:, None, :] < 2 * ROUND_TOKENS
    asked = (rows.weight_bt > 0) & (rows.kind_bt == _VALUE_READ)
    return same & recent & np.tri(T, dtype=bool) & asked[:, :, None]


class TracePool:
    """Traces of many machines of the training split, to cut rows from."""

    def __init__(self, draw: np.random.Generator, machine: Machine, size: int, steps: int) -> None:
        """``size`` machines, each run for at most ``steps`` steps."""
        traces = machine.run(draw_memories(draw, size, "train"), steps)
        stop = np.full((size, 1), END, np.int32)
        self._token = np.concatenate([traces.prompts_bp, traces.tokens_bt, stop], axis=1)
        self._steps = np.minimum(traces.steps_b, steps)
        halted = traces.steps_b <= steps
        self._length = PROMPT_TOKENS + TOKENS_PER_STEP * self._steps + halted

    def short(self, draw: np.random.Generator, count: int, steps: int) -> Rows:
        """Pieces of ``steps`` steps with nothing before them; values read are not learnt from these.

        They teach the table of the operation and the two addresses, at the price of short rows.
        """
        machine = draw.integers(len(self._token), size=count)
        first = _between(draw, 0, np.maximum(self._steps[machine] - steps, 0))
        start = PROMPT_TOKENS + TOKENS_PER_STEP * first + 1
        place = start[:, None] + np.arange(TOKENS_PER_STEP * steps)
        rows = self._cut(machine, place)
        learnt = rows.weight_bt * (rows.kind_bt != _VALUE_READ)
        learnt[:, 0] = 0  # the first write address has none before it to count on from
        return dataclasses.replace(rows, weight_bt=learnt)

    def rounds(self, draw: np.random.Generator, count: int, steps: int) -> Rows:
        """``steps`` steps of a round, after the round that wrote what they read and a stale memory.

        The steps of the same round before them are left out: nothing reads what they wrote yet.
        """
        machine = draw.integers(len(self._token), size=count)
        turn = _between(draw, 0, (self._steps[machine] - 1) // REGISTERS)
        first = turn * REGISTERS + draw.integers(0, REGISTERS - steps + 1, size=count)
        stale = turn - BANKS * _between(draw, 1, np.maximum(turn // BANKS, 1))
        stale = np.where(stale >= 0, stale, turn)  # a copy of the fresh one where none is stale
        before = PROMPT_TOKENS + ROUND_TOKENS * (turn[:, None] - 1) + np.arange(ROUND_TOKENS)
        before = np.where(turn[:, None] > 0, before, np.tile(_memory(turn * 0), 2))
        piece = (
            PROMPT_TOKENS + TOKENS_PER_STEP * first[:, None] + np.arange(-3, TOKENS_PER_STEP * steps)
        )  # the three tokens before say which bank is written
        rows = self._cut(machine, np.concatenate([_memory(stale), before, piece], axis=1))
        learnt = rows.weight_bt.copy()
        learnt[:, : 2 * REGISTERS + ROUND_TOKENS + 2] = 0
        return dataclasses.replace(rows, weight_bt=learnt)

    def long(self, draw: np.random.Generator, count: int, tokens: int, learnt: int) -> Rows:
        """Unshortened traces of ``tokens`` tokens of which the last ``learnt`` are learnt."""
        fits = np.flatnonzero(self._length > PROMPT_TOKENS + TOKENS_PER_STEP * REGISTERS)
        machine = draw.choice(fits, count)
        end = _between(draw, np.minimum(tokens, self._length[machine]), self._length[machine])
        place = np.maximum(end - tokens - 1, 0)[:, None] + np.arange(tokens + 1)
        rows = self._cut(machine, place)
        weight = rows.weight_bt.copy()
        weight[:, :-learnt] = 0
        return dataclasses.replace(rows, weight_bt=weight)

    def _cut(self, machine: np.ndarray, place_bt: np.ndarray) -> Rows:
        """The tokens at ``place_bt`` of each machine; all that follow one another are learnt."""
        past = place_bt >= self._length[machine][:, None]
        place = np.minimum(place_bt, self._token.shape[1] - 1)
        token = self._token[machine[:, None], place]
        next_to = place_bt[:, 1:] == place_bt[:, :-1] + 1
        of_trace = place_bt[:, 1:] >= PROMPT_TOKENS
        kind = (place_bt[:, 1:] - PROMPT_TOKENS) % TOKENS_PER_STEP
        kind = np.where(token[:, 1:] == END, _END, kind)
        weight = (next_to & of_trace & ~past[:, 1:]).astype(np.float32)
        return Rows(token[:, :-1], place_bt[:, :-1], token[:, 1:], weight, kind)


def _memory(turn_b: np.ndarray) -> np.ndarray:
    """Places of the pairs ``address value`` that the round ``turn`` (from 0) reads, [B, 2·M]."""
    register = np.arange(REGISTERS)
    wrote = (turn_b[:, None] - 1) * REGISTERS + register
    key = np.where(
        turn_b[:, None] > 0, PROMPT_TOKENS + TOKENS_PER_STEP * wrote + _WRITE_ADDRESS, 1 + 2 * register
    )
    return _pairs(key, key + 1)


def _between(draw: np.random.Generator, low: np.ndarray | int, high: np.ndarray) -> np.ndarray:
    """Whole numbers, uniform over low…high, both included."""
    return low + np.floor(draw.random(high.shape) * (high - low + 1)).astype(np.int64)
