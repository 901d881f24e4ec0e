"""The TPU kernel of `paged_attention`, its memory: a ring of VMEM buffers that page copies run ahead through.

One step attends L lists (a list = one sequence's one KV head) to one chunk of C listed pages each:

      HBM pool [pages, K, 2, p, H]         VMEM ring, one slot = [L, C, 2, p, H]
      ┌────┐ ┌────┐ ┌────┐              ┌─ slot 0 ─┬─ slot 1 ─┬─ slot 2 ─┬─ slot 3 ─┐
      │K, V│ │K, V│ │K, V│ ── L·C DMAs ─►│ attended │ in flight│ in flight│ starting │
      └────┘ └────┘ └────┘  one a page  └──────────┴──────────┴──────────┴──────────┘
         ids[list, j] in SMEM              │ one wait for the bytes of all L·C pages
                                           ▼
                                      `tpu_attend`, in the order that `tpu_schedule` says

Letters: L lists · C pages · p page size · H head dim · G query rows of a list · t = C·p tokens.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES = 128


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static shape of one call; see the head of the file for the letters."""

    lists: int
    chunk: int  # C
    chunks: int  # the most chunks of a list; when more than one, in whole turns of the ring
    page_size: int
    head_dim: int
    rows: int  # G
    heads: int  # KV heads: list i is head i mod K of sequence i div K
    listed: int  # J
    steps: int  # U of one core
    block: int  # steps whose queries and outputs are in VMEM together
    lse_lists: int  # lists of a row of log-sum-exps: those of a sequence, or of a pair
    ring: int
    cores: int
    scale: float
    compute_dtype: Any
    scaled: bool
    assume_full: bool  # all lists are, and a step follows every step: right for estimates only

    @property
    def tokens(self) -> int:
        """t: tokens of a chunk."""
        return self.chunk * self.page_size


class Refs:
    """The kernel's references by name."""

    def __init__(self, plan: Plan, refs: tuple[Any, ...]) -> None:
        self.ids, self.pages, self.lengths, self.query, self.pool, *rest = refs
        self.scales_hbm = rest.pop(0) if plan.scaled else None
        self.out, self.lse, self.ring, self.sems, *rest = rest
        self.scales = rest.pop(0) if plan.scaled else None
        running: list[Any] = rest if plan.chunks > 1 else [None] * 4
        self.cursor, self.top, self.total, self.sum = running


# The four functions below are what a wrong kernel gets wrong; the tests replace each to prove they notice.


def page_at(refs: Refs, index: jax.Array, first: Any, j: Any) -> jax.Array:
    """The page at position ``first + j`` of a list."""
    # An offset of the reference is part of the load's address, a sum is an operation of its own; but
    # only rows of a single tile may be sliced anywhere.
    if isinstance(j, int) and refs.ids.shape[1] <= LANES:
        return refs.ids.at[:, pl.ds(j, refs.ids.shape[1] - j)][index, first]
    return refs.ids[index, first + j]


def ring_slot(count: Any, plan: Plan) -> Any:
    """The slot of the count-th step."""
    return count % plan.ring if isinstance(count, int) else lax.rem(count, plan.ring)


def wait_slot(refs: Refs, slot: Any) -> None:
    """Wait for the bytes of a whole slot, however many copies bring them."""
    buffer = refs.ring.at[slot]
    pltpu.make_async_copy(buffer, buffer, refs.sems.at[slot]).wait()


def wait_pages(refs: Refs, slot: Any, item: int, count: jax.Array) -> None:
    """Wait for the bytes of ``count`` pages of one list."""
    page = refs.ring.at[slot, item, 0]

    def wait(_: jax.Array, nothing: int) -> int:
        pltpu.make_async_copy(page, page, refs.sems.at[slot]).wait()
        return nothing

    lax.fori_loop(0, count, wait, 0)


def start_page(
    refs: Refs, slot: Any, item: int, j: Any, index: jax.Array, first: Any, head: jax.Array
) -> None:
    """Start the copy of the K and V of the page at position ``first + j`` of a list."""
    # The head first: its offset is then added once a list, and a page costs one shift and one addition.
    source = refs.pool.at[:, head].at[page_at(refs, index, first, j)]
    pltpu.make_async_copy(source, refs.ring.at[slot, item, j], refs.sems.at[slot]).start()


def quotient(x: jax.Array, by: int) -> jax.Array:
    """``x // by`` of an x that is not negative: by powers of two one operation, where int32 needs six."""
    return lax.div(x.astype(jnp.uint32), jnp.uint32(by)).astype(jnp.int32)


def remainder(x: jax.Array, by: int) -> jax.Array:
    """``x % by`` of an x that is not negative."""
    return lax.rem(x.astype(jnp.uint32), jnp.uint32(by)).astype(jnp.int32)


def length_of(plan: Plan, refs: Refs, index: jax.Array) -> jax.Array:
    """Tokens of the sequence that a list belongs to."""
    return refs.lengths[quotient(index, plan.heads)]


def listed_of(plan: Plan, refs: Refs, index: jax.Array) -> jax.Array:
    """Pages of a list; none of an empty sequence."""
    pages = refs.pages[quotient(index, plan.heads), remainder(index, plan.heads)]
    return jnp.where(length_of(plan, refs, index) > 0, pages, 0)


def pages_of(plan: Plan, refs: Refs, step: jax.Array, chunk: Any) -> list[jax.Array]:
    """How many pages each list has in this chunk (0 … C)."""
    start = chunk * plan.chunk
    return [jnp.clip(listed - start, 0, plan.chunk) for listed in lists_of(plan, refs, step)]


def chunks_of(plan: Plan, refs: Refs, step: jax.Array) -> jax.Array:
    """Chunks that a step's longest list needs, in whole turns of the ring; at least one turn."""
    longest = functools.reduce(jnp.maximum, lists_of(plan, refs, step))
    turn = plan.chunk * plan.ring
    return jnp.maximum(quotient(longest + turn - 1, turn), 1) * plan.ring


def full_chunks_of(plan: Plan, refs: Refs, step: jax.Array) -> jax.Array:
    """Chunks of which every list of a step has all C pages."""
    return quotient(functools.reduce(jnp.minimum, lists_of(plan, refs, step)), plan.chunk)


def lists_of(plan: Plan, refs: Refs, step: jax.Array) -> list[jax.Array]:
    """Pages of each list of a step."""
    return [listed_of(plan, refs, step * plan.lists + item) for item in range(plan.lists)]


def start_chunk(
    plan: Plan, refs: Refs, step: jax.Array, chunk: Any, slot: Any, counts: list[jax.Array] | None
) -> None:
    """Start the copies of a step's chunk: C pages a list, or ``counts`` of them where given."""
    for item in range(plan.lists):
        index = step * plan.lists + item
        start = functools.partial(
            start_page,
            refs,
            slot,
            item,
            index=index,
            first=chunk * plan.chunk,
            head=remainder(index, plan.heads),
        )
        if counts is None:
            for j in range(plan.chunk):
                start(j)
        else:

            def start_next(j: jax.Array, nothing: int, start: Any = start) -> int:
                start(j)
                return nothing

            lax.fori_loop(0, counts[item], start_next, 0)
    if plan.scaled:
        copy_scales(refs, step, chunk, slot).start()


def copy_scales(refs: Refs, step: Any, chunk: Any, slot: Any) -> Any:
    """The copy of a chunk's scales, one number a token, K and V of each list."""
    assert refs.scales_hbm is not None
    assert refs.scales is not None
    return pltpu.make_async_copy(refs.scales_hbm.at[step, chunk], refs.scales.at[slot], refs.sems.at[slot])


def fills_of(plan: Plan, refs: Refs, step: jax.Array, chunk: Any) -> list[jax.Array]:
    """Tokens in the first page of each list's chunk: only the newest page may be partly filled."""
    fills = []
    for item in range(plan.lists):
        length = length_of(plan, refs, step * plan.lists + item)
        newest = remainder(length + (plan.page_size - 1), plan.page_size) + 1
        fills.append(jnp.where(chunk == 0, newest, plan.page_size))
    return fills
