"""The repetition rule of every slot on the device, one comparison per lag and step.

The last b tokens also end d tokens earlier exactly if g[t] = g[t − d] has held for the last b steps. So a
counter per lag d, from b to the window, of how long it has held gives the count of matches that
``RepetitionRule`` asks for, and no window is ever searched. Axis letters: B slots.
"""

import dataclasses

import jax
import jax.numpy as jnp

from kinetics_jax.records import RepetitionRule

Array = jax.Array

_NONE = -1
"""In place of a token before the first; equal to no token id."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RepetitionState:
    """Last tokens of each slot and how long they have repeated themselves, by lag."""

    recent: Array
    """[B, window]: the last generated tokens, int32, the newest first."""
    runs: Array
    """[B, lags]: steps for which the newest token has equalled the one d before it, up to b."""
    rule: RepetitionRule = dataclasses.field(metadata={"static": True})


def init(rule: RepetitionRule | None, slots: int) -> RepetitionState | None:
    """State of B slots without a token; None without a rule, which the functions below take too."""
    if rule is None:
        return None
    lags = rule.window - rule.block + 1
    return RepetitionState(
        recent=jnp.full((slots, rule.window), _NONE, jnp.int32),
        runs=jnp.zeros((slots, lags), jnp.uint8 if rule.block < 256 else jnp.int32),
        rule=rule,
    )


def reset(state: RepetitionState | None, slot_mask_b: Array) -> RepetitionState | None:
    """The state with these slots as they are at the start."""
    if state is None:
        return None
    return dataclasses.replace(
        state,
        recent=jnp.where(slot_mask_b[:, None], _NONE, state.recent),
        runs=jnp.where(slot_mask_b[:, None], 0, state.runs),
    )


def update(
    state: RepetitionState | None, token_b: Array, generated_b: Array, prompt_len_b: Array, active_b: Array
) -> tuple[RepetitionState | None, Array]:
    """Takes each slot's newest token, and says which slots are to stop.

    The rule looks at the tokens before the newest, so a stop shows one token late, and the newest may be
    an end-of-text token: the reference cuts then, too. See ``RepetitionRule.kept_tokens``.

    Args:
      state: of ``init``.
      token_b: the newest token, int32 ≥ 0.
      generated_b: tokens generated, the newest counted.
      prompt_len_b: tokens of the prompt.
      active_b: a slot where this is False keeps its state and does not stop.

    Returns:
      The state with the token taken in, and stop_b.
    """
    if state is None:
        return None, jnp.zeros(token_b.shape, bool)
    rule, runs = state.rule, state.runs
    matches_b = (runs >= rule.block).sum(axis=-1)
    length_b = prompt_len_b + generated_b - 1
    stop_b = active_b & (length_b > rule.window) & (matches_b >= rule.matches)

    same = state.recent[:, rule.block - 1 :] == token_b[:, None]
    longer = jnp.where(runs < rule.block, runs + 1, runs)
    recent = jnp.concatenate([token_b[:, None], state.recent[:, :-1]], axis=1)
    state = dataclasses.replace(
        state,
        recent=jnp.where(active_b[:, None], recent, state.recent),
        runs=jnp.where(active_b[:, None], jnp.where(same, longer, 0), runs),
    )
    return state, stop_b
