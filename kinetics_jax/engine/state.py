"""Everything a decode step needs and changes, as one pytree that stays on the device.

A *slot* holds a running sample, a *prompt row* a prompt that was read and waits for its samples.
Axis letters: B slots of all lanes · P pages of a sequence · D model dim.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from kinetics_jax.attention import PagedCache, PagedPlan
from kinetics_jax.engine.sampler import RepetitionState, SamplerState, ThinkingState, repetition, thinking
from kinetics_jax.models import Transformer
from kinetics_jax.records import RepetitionRule

Array = jax.Array

RUNNING, STOP, LENGTH, REPETITION, ERROR = range(5)
"""Values of ``finish_b``."""
FINISH_REASON = {STOP: "stop", LENGTH: "length", REPETITION: "repetition", ERROR: "error"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slots:
    """The running samples. An idle slot's fields mean nothing but ``active_b``."""

    page_table_bp: Array
    lengths_b: Array
    """Tokens in the cache."""
    hidden_bd: Array
    """Normed output of the newest token in the cache: its logits give the next token."""
    active_b: Array
    finish_b: Array
    """Why a slot stopped, or ``RUNNING``."""
    generated_b: Array
    """Tokens drawn so far."""
    max_tokens_b: Array
    prompt_len_b: Array
    stop_ids: Array
    """[B, most]: tokens that end the sample; −1 fills up."""
    streams_b: Array
    sampler: SamplerState
    repetition: RepetitionState | None
    thinking: ThinkingState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prompts:
    """The prompts being read or waiting: [lanes, rows, …]."""

    page_tables: Array
    """[lanes, rows, P]."""
    lengths: Array
    hidden: Array
    """[lanes, rows, D]: normed output of the last token read."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EngineState:
    """The pool, the running samples and the prompts."""

    kv_pages: Array
    summaries: Array | None
    slots: Slots
    prompts: Prompts
    plan: PagedPlan = dataclasses.field(metadata={"static": True})

    @property
    def slots_per_lane(self) -> int:
        """B / lanes."""
        return self.slots.lengths_b.shape[0] // self.plan.lanes

    def slot_cache(self) -> PagedCache:
        """The running samples as a cache."""
        here, per_lane = self.slots, self.slots_per_lane
        rows_b = jnp.arange(here.lengths_b.shape[0], dtype=jnp.int32) % per_lane
        return PagedCache(
            kv_pages=self.kv_pages,
            summaries=self.summaries,
            page_table_bp=here.page_table_bp,
            lengths_b=here.lengths_b,
            rows_b=rows_b,
            streams_b=here.streams_b,
            plan=self.plan,
        )

    def prompt_cache(self, row_b: Array, view_pages: int) -> PagedCache:
        """One prompt of each lane as a cache, of which attention looks at ``view_pages`` pages."""
        here, at = self.prompts, (jnp.arange(self.plan.lanes), row_b)
        return PagedCache(
            kv_pages=self.kv_pages,
            summaries=self.summaries,
            page_table_bp=here.page_tables[at],
            lengths_b=here.lengths[at],
            rows_b=self.slots_per_lane + row_b,
            streams_b=jnp.zeros_like(row_b),
            plan=self.plan,
            view_pages=view_pages,
        )

    def with_cache(self, cache: PagedCache) -> "EngineState":
        """This state with the pool and summaries of ``cache``."""
        return dataclasses.replace(self, kv_pages=cache.kv_pages, summaries=cache.summaries)


def shardings(state: EngineState) -> Any:
    """Where every array of a state lies, lanes over the axes of sequences; None on one device."""
    split = state.plan.sharding
    if split is None:
        return None
    specs = jax.tree.map(lambda _: state.plan.row_spec, state)
    specs = specs.with_cache(PagedCache.specs(state.plan))
    return jax.tree.map(lambda _, spec: NamedSharding(split.mesh, spec), state, specs)


@dataclasses.dataclass(frozen=True)
class StateSizes:
    """The shapes of a state, its plan's apart; ``slots`` and ``prompt_rows`` are per lane."""

    slots: int
    prompt_rows: int
    pages_per_sequence: int
    stop_ids: int
    """The most that a sample may have."""
    rule: RepetitionRule | None
    cache_dtype: jax.typing.DTypeLike
    head_dim: int
    """As stored."""


def empty_state(model: Transformer, plan: PagedPlan, sizes: StateSizes) -> EngineState:
    """A state without samples, made where it will live."""
    B, P, D = sizes.slots * plan.lanes, sizes.pages_per_sequence, model.config.model_dim
    prompts = plan.lanes, sizes.prompt_rows
    pool, summaries = plan.make_pool(model.config, P, sizes.cache_dtype, sizes.head_dim)

    def ints(*shape: int, fill: int = 0) -> Array:
        return jnp.full(shape, fill, jnp.int32)

    state = EngineState(
        kv_pages=pool,
        summaries=summaries,
        slots=Slots(
            page_table_bp=ints(B, P),
            lengths_b=ints(B),
            hidden_bd=jnp.zeros((B, D), model.dtype),
            active_b=jnp.zeros(B, bool),
            finish_b=ints(B),
            generated_b=ints(B),
            max_tokens_b=ints(B),
            prompt_len_b=ints(B),
            stop_ids=ints(B, sizes.stop_ids, fill=-1),
            streams_b=ints(B),
            sampler=SamplerState.init(B),
            repetition=repetition.init(sizes.rule, B),
            thinking=thinking.init(B),
        ),
        prompts=Prompts(
            page_tables=ints(*prompts, P),
            lengths=ints(*prompts),
            hidden=jnp.zeros((*prompts, D), model.dtype),
        ),
        plan=plan,
    )
    places = shardings(state)
    return state if places is None else jax.device_put(state, places)
