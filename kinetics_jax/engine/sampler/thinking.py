"""Thinking budgets of every slot on the device: which sampled token is replaced, and by what.

Axis letters: B slots.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.records import ThinkingBudget

Array = jax.Array

_IDLE = -1
"""Place in the table of a slot that is forced nothing; end token of a slot without a budget."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ThinkingState:
    """Each slot's ``ThinkingBudget`` and where it stands; all int32 but the last."""

    forced: Array
    """[B, most ids]: ids of the close, from ``close_len_b`` on those of the wait, up to ``forced_len_b``."""
    close_len_b: Array
    forced_len_b: Array
    end_b: Array
    """Token that ends thinking; −1 without a budget."""
    max_tokens_b: Array
    min_tokens_b: Array
    waits_left_b: Array
    next_b: Array
    """Place of the id that is forced next; −1 where the model is free."""
    closed_b: Array
    """bool: thinking has ended."""


def init(slots: int, most_ids: int = 64) -> ThinkingState:
    """B slots without a budget, with room for so many forced ids (close and wait together) each."""
    return jax.tree.map(jnp.asarray, rows([None] * slots, most_ids))


def rows(budgets: Sequence[ThinkingBudget | None], most_ids: int = 64) -> ThinkingState:
    """Rows at the start of a sample, as NumPy arrays; None is a slot without a budget.

    Raises:
      InputError: more ids than there is room for.
    """
    forced = np.zeros((len(budgets), most_ids), np.int32)
    numbers = np.zeros((len(budgets), 6), np.int32)
    for row, budget in enumerate(budgets):
        if budget is None:
            numbers[row] = 0, 0, _IDLE, 0, 0, 0
            continue
        ids = budget.closing + budget.wait
        if len(ids) > most_ids:
            raise InputError(
                f"close and wait of a thinking budget are {len(ids)} tokens, but there is room for {most_ids}"
            )
        forced[row, : len(ids)] = ids
        numbers[row] = (
            len(budget.closing),
            len(ids),
            budget.end,
            budget.limit,
            budget.min_tokens,
            budget.max_waits,
        )
    columns: dict[str, Any] = dict(
        zip(
            ("close_len_b", "forced_len_b", "end_b", "max_tokens_b", "min_tokens_b", "waits_left_b"),
            numbers.T.copy(),
            strict=True,
        ),
        forced=forced,
        next_b=np.full(len(budgets), _IDLE, np.int32),
        closed_b=np.zeros(len(budgets), bool),
    )
    return ThinkingState(**columns)


def override(
    state: ThinkingState, token_b: Array, generated_b: Array, active_b: Array | None = None
) -> tuple[Array, ThinkingState]:
    """The tokens that the slots really take, given those that were sampled.

    At the limit the close follows, over a wait that is under way if need be, unless the model ends by
    itself at that very token. What is forced does not depend on what the model would have said.

    Args:
      state: of ``init``.
      token_b: sampled tokens, int32.
      generated_b: tokens generated, this one counted.
      active_b: a slot where this is False keeps its token and its state; None: all are active.

    Returns:
      token_b, and the state after it.
    """
    thought_b = generated_b - 1
    thinking_b = (state.end_b >= 0) & ~state.closed_b
    if active_b is None:
        active_b = jnp.ones(token_b.shape, bool)
    closing_b = (state.next_b >= 0) & (state.next_b < state.close_len_b)
    ends_b = (state.next_b < 0) & (token_b == state.end_b)

    close_b = thinking_b & ~closing_b & ~ends_b & (thought_b >= state.max_tokens_b)
    early_b = (thought_b < state.min_tokens_b) & (state.waits_left_b > 0)
    wait_b = thinking_b & ends_b & early_b
    place_b = jnp.where(close_b, 0, jnp.where(wait_b, state.close_len_b, state.next_b))
    forced_b = active_b & (place_b >= 0)
    forced_token_b = jnp.take_along_axis(state.forced, jnp.maximum(place_b, 0)[:, None], axis=1)[:, 0]
    token_b = jnp.where(forced_b, forced_token_b, token_b)

    end_of_ids_b = jnp.where(place_b < state.close_len_b, state.close_len_b, state.forced_len_b)
    more_b = forced_b & (place_b + 1 < end_of_ids_b)
    return token_b, dataclasses.replace(
        state,
        waits_left_b=state.waits_left_b - (active_b & wait_b),
        next_b=jnp.where(active_b, jnp.where(more_b, place_b + 1, _IDLE), state.next_b),
        closed_b=state.closed_b | (active_b & thinking_b & (token_b == state.end_b)),
    )
