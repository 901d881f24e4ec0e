"""When the TPU kernel copies and attends: turns of ``ring`` steps, full ones without a branch inside.

A step alone is a chain: await its pages, weigh, gather. Branches keep the compiler from laying the chains of
several steps side by side, so the kernel asks once a turn whether all that the turn attends and starts to
copy is full, and then runs it as one block of code. In it a step's keys and the values of the step before
enter the matrix units together, as neither product waits for the other:

      turn i        │ step 0   step 1   step 2   step 3 │             ring = 4
      awaits        │ slot 0   slot 1   slot 2   slot 3 │
      weighs keys   │ slot 0   slot 1   slot 2   slot 3 │
      gathers values│          slot 0   slot 1   slot 2   slot 3 │
      starts copies │ slot 3   slot 0   slot 1   slot 2 │             of the steps three later

Any other turn goes step by step and page by page. Letters as in `tpu_kernel`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from pallas_kernels.paged_attention import tpu_kernel as do
from pallas_kernels.paged_attention.tpu_attend import Weighed, close_lists, gather, open_lists, weigh
from pallas_kernels.paged_attention.tpu_kernel import Plan, Refs


def kernel(*refs: Any, plan: Plan) -> None:
    """Attend all steps of a block; copies run ahead across the blocks of a core."""
    names = Refs(plan, refs)
    first = pl.program_id(0) * plan.steps
    end = first + plan.steps
    block_start = first + pl.program_id(1) * plan.block
    if plan.chunks == 1:
        _short_lists(plan, names, first, block_start, end)
    else:
        _long_lists(plan, names, first, block_start, end)


def _short_lists(plan: Plan, refs: Refs, first: jax.Array, block_start: jax.Array, end: jax.Array) -> None:
    """Every list is one chunk: steps and slots go in lockstep, so slots are known when compiling."""

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        for s in range(min(plan.ring - 1, plan.steps)):
            _start_some(plan, refs, first + s, 0, do.ring_slot(s, plan))

    def turn(i: jax.Array, nothing: int) -> int:
        base, local = block_start + i * plan.ring, i * plan.ring

        def at_once(starts: int) -> None:
            here = [(base + s, local + s, 0, do.ring_slot(s, plan)) for s in range(plan.ring)]
            later = range(plan.ring - 1, plan.ring - 1 + starts)
            _full_steps(plan, refs, here, [(base + s, 0, do.ring_slot(s, plan)) for s in later])

        if plan.assume_full:
            at_once(plan.ring)
            return nothing
        more = base + plan.ring < end  # then steps come after this turn, at least a turn of them
        full = _all_full(plan, refs, base, plan.ring)
        after = jnp.where(more, base + plan.ring, base)
        full_after = _all_full(plan, refs, after, plan.ring - 1)
        pl.when(full & full_after & more)(lambda: at_once(plan.ring))
        pl.when(full & jnp.logical_not(more))(lambda: at_once(1))

        @pl.when(jnp.logical_not(full & full_after))
        def _() -> None:
            def one(s: jax.Array, nothing: int) -> int:
                ahead = base + s + plan.ring - 1
                here = (base + s, local + s, 0, do.ring_slot(s, plan))
                slot = do.ring_slot(s + plan.ring - 1, plan)
                _any_step(plan, refs, here, (ahead, 0, slot, ahead < end))
                return nothing

            lax.fori_loop(0, plan.ring, one, 0)

        return nothing

    lax.fori_loop(0, plan.block // plan.ring, turn, 0)


def _long_lists(plan: Plan, refs: Refs, first: jax.Array, block_start: jax.Array, end: jax.Array) -> None:
    """Lists of several chunks, as many as each has: a second cursor says what to copy next."""
    assert refs.cursor is not None
    cursor = refs.cursor  # (step to copy, its chunk)

    def advance() -> None:
        more = cursor[1] + 1 < do.chunks_of(plan, refs, jnp.minimum(cursor[0], end - 1))
        cursor[1] = jnp.where(more, cursor[1] + 1, 0)
        cursor[0] = jnp.where(more, cursor[0], cursor[0] + 1)

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        cursor[0], cursor[1] = first, jnp.int32(0)
        for s in range(plan.ring - 1):  # a step has at least these
            _start_some(plan, refs, cursor[0], cursor[1], do.ring_slot(s, plan))
            advance()

    def attend_step(local: jax.Array, nothing: int) -> int:
        step = block_start + local
        chunks, full = do.chunks_of(plan, refs, step), do.full_chunks_of(plan, refs, step)
        after = jnp.minimum(step + 1, end - 1)
        open_lists(refs)

        def turn(i: jax.Array, nothing: int) -> int:
            base = i * plan.ring

            def at_once(last: bool) -> None:
                """Attend to four chunks, start to copy the next ones, of the next step after the last."""
                here, ahead = [], []
                for s in range(plan.ring):
                    here.append((step, local, base + s, do.ring_slot(s, plan)))
                    later = s + plan.ring - 1
                    which = (after, s - 1) if last and s > 0 else (step, base + later)
                    ahead.append((*which, do.ring_slot(later, plan)))
                _full_steps(plan, refs, here, ahead)
                cursor[0] = after if last else step
                cursor[1] = plan.ring - 1 if last else base + 2 * plan.ring - 1

            if plan.assume_full:
                at_once(last=False)
                return nothing
            inside = base + 2 * plan.ring - 1 <= full
            across = (base + plan.ring == chunks) & (chunks <= full) & (step < after)
            across &= do.full_chunks_of(plan, refs, after) >= plan.ring - 1
            pl.when(inside)(lambda: at_once(last=False))
            pl.when(across)(lambda: at_once(last=True))
            pl.when(jnp.logical_not(inside | across))(
                lambda: lax.fori_loop(base, base + plan.ring, one, None)
            )
            return nothing

        def one(chunk: jax.Array, nothing: None) -> None:
            here = (step, local, chunk, do.ring_slot(chunk, plan))
            slot = do.ring_slot(chunk + plan.ring - 1, plan)
            exists = cursor[0] < end
            _any_step(plan, refs, here, (cursor[0], cursor[1], slot, exists))
            pl.when(exists)(advance)

        turns = plan.chunks // plan.ring
        lax.fori_loop(0, turns if plan.assume_full else lax.div(chunks, plan.ring), turn, 0)
        close_lists(plan, refs, local)
        return nothing

    lax.fori_loop(0, plan.block, attend_step, 0)


def _all_full(plan: Plan, refs: Refs, step: jax.Array, steps: int) -> jax.Array:
    """Whether all lists of some steps, of one chunk each, have all their pages."""
    fullest = do.full_chunks_of(plan, refs, step)
    for s in range(1, steps):
        fullest = jnp.minimum(fullest, do.full_chunks_of(plan, refs, step + s))
    return fullest > 0


Here = tuple[jax.Array, jax.Array, Any, Any]  # step, step in the block, chunk, slot
Ahead = tuple[jax.Array, Any, Any]  # step, chunk, slot


def _full_steps(plan: Plan, refs: Refs, here: list[Here], ahead: list[Ahead]) -> None:
    """Attend the full chunks of a turn and start the copies of others: no branch, no loop."""
    before: list[Weighed] = []
    for s, (step, local, chunk, slot) in enumerate(here):
        fills = do.fills_of(plan, refs, step, chunk)  # no scalar load passes a wait
        do.wait_slot(refs, slot)
        if plan.scaled:
            do.copy_scales(refs, step, chunk, slot).wait()
        weighed = weigh(plan, refs, local, slot, fills)
        for pair in before:
            gather(plan, refs, pair)
        if s < len(ahead):  # into the slot whose values were just gathered
            do.start_chunk(plan, refs, *ahead[s], None)
        before = weighed
    for pair in before:
        gather(plan, refs, pair)


def _any_step(
    plan: Plan,
    refs: Refs,
    here: tuple[jax.Array, jax.Array, Any, Any],
    ahead: tuple[jax.Array, Any, Any, jax.Array],
) -> None:
    """The same with as many pages as there are; ``ahead`` ends with whether there is such a chunk."""
    step, local, chunk, slot = here
    *other, exists = ahead
    counts = do.pages_of(plan, refs, step, chunk)
    for item in range(plan.lists):
        do.wait_pages(refs, slot, item, counts[item])
    if plan.scaled:
        do.copy_scales(refs, step, chunk, slot).wait()

    @pl.when(exists)
    def _() -> None:
        _start_some(plan, refs, *other)

    def attend() -> None:
        fills = do.fills_of(plan, refs, step, chunk)
        for pair in weigh(plan, refs, local, slot, fills, counts):
            gather(plan, refs, pair)

    # A list of one chunk is written even when it is empty.
    attend() if plan.chunks == 1 else pl.when(sum(counts) > 0)(attend)


def _start_some(plan: Plan, refs: Refs, step: jax.Array, chunk: Any, slot: Any) -> None:
    """Start the copies of a chunk, of as many pages as there are."""
    counts = None if plan.assume_full else do.pages_of(plan, refs, step, chunk)
    do.start_chunk(plan, refs, step, chunk, slot, counts)
