"""Everything a decode step needs and changes, as one pytree that stays on the device.

Axis letters: B slots of all lanes · D lanes · U prompt rows of a lane · P pages of a sequence · M model dim ·
I stop ids. A *slot* holds a running sample, a *prompt row* a prompt that was read and waits for its samples.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from kinetics_jax.attention import PagedCache, PagedPlan
from kinetics_jax.attention.paged import make_pool
from kinetics_jax.engine.sampler import repetition, thinking
from kinetics_jax.engine.sampler.repetition import RepetitionState
from kinetics_jax.engine.sampler.sampling import SamplerState
from kinetics_jax.engine.sampler.thinking import ThinkingState
from kinetics_jax.models import Transformer
from kinetics_jax.records import RepetitionRule

Array = jax.Array

RUNNING, STOP, LENGTH, REPETITION, ERROR = range(5)
"""Values of ``finish_b``."""
FINISH_REASON = {STOP: "stop", LENGTH: "length", REPETITION: "repetition", ERROR: "error"}


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "page_table_bp",
        "lengths_b",
        "hidden_bm",
        "active_b",
        "finish_b",
        "generated_b",
        "max_tokens_b",
        "prompt_len_b",
        "stop_ids_bi",
        "streams_b",
        "sampler",
        "repetition",
        "thinking",
    ],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Slots:
    """The running samples. An idle slot's fields mean nothing but ``active_b``."""

    page_table_bp: Array
    lengths_b: Array
    """Tokens in the cache."""
    hidden_bm: Array
    """Normed output of the newest token in the cache: its logits give the next token."""
    active_b: Array
    finish_b: Array
    """Why a slot stopped, or ``RUNNING``."""
    generated_b: Array
    """Tokens drawn so far."""
    max_tokens_b: Array
    prompt_len_b: Array
    stop_ids_bi: Array
    """Tokens that end the sample; −1 fills up."""
    streams_b: Array
    sampler: SamplerState
    repetition: RepetitionState | None
    thinking: ThinkingState


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["page_table_dup", "lengths_du", "hidden_dum"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Prompts:
    """The prompts being read or waiting, by lane and row."""

    page_table_dup: Array
    lengths_du: Array
    hidden_dum: Array


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["kv_pages", "summaries", "slots", "prompts"],
    meta_fields=["plan"],
)
@dataclasses.dataclass(frozen=True)
class EngineState:
    """The pool, the running samples and the prompts."""

    kv_pages: Array
    summaries: Array | None
    slots: Slots
    prompts: Prompts
    plan: PagedPlan

    @property
    def slots_per_lane(self) -> int:
        """B / D."""
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

    def prompt_cache(self, row_d: Array, view_pages: int) -> PagedCache:
        """One prompt of each lane as a cache, of which attention looks at ``view_pages`` pages."""
        here, lane = self.prompts, jnp.arange(self.plan.lanes)
        return PagedCache(
            kv_pages=self.kv_pages,
            summaries=self.summaries,
            page_table_bp=here.page_table_dup[lane, row_d],
            lengths_b=here.lengths_du[lane, row_d],
            rows_b=self.slots_per_lane + row_d,
            streams_b=jnp.zeros_like(row_d),
            plan=self.plan,
            view_pages=view_pages,
        )

    def with_cache(self, cache: PagedCache) -> "EngineState":
        """This state with the pool and summaries of ``cache``."""
        return dataclasses.replace(self, kv_pages=cache.kv_pages, summaries=cache.summaries)


def specs_of(state: EngineState) -> Any:
    """The partition of every array of a state (arrays or shapes): lanes over the axes of sequences."""
    split = state.plan.sharding
    lanes = PartitionSpec((split.batch_axes or None) if split else None)
    cache = state.plan.specs()
    return dataclasses.replace(
        jax.tree.map(lambda _: lanes, state), kv_pages=cache.kv_pages, summaries=cache.summaries
    )


def empty_state(
    model: Transformer,
    plan: PagedPlan,
    *,
    slots: int,
    prompt_rows: int,
    pages_per_sequence: int,
    stop_ids: int,
    rule: RepetitionRule | None,
    cache_dtype: jax.typing.DTypeLike,
    head_dim: int,
) -> EngineState:
    """A state without samples; ``slots`` and ``prompt_rows`` are per lane. Made where it will live."""
    pool, summaries = make_pool(plan, model.config, pages_per_sequence, cache_dtype, head_dim)
    B, D, U, P = slots * plan.lanes, plan.lanes, prompt_rows, pages_per_sequence
    M = model.config.model_dim

    def ints(*shape: int, fill: int = 0) -> Array:
        return jnp.full(shape, fill, jnp.int32)

    state = EngineState(
        kv_pages=pool,
        summaries=summaries,
        slots=Slots(
            page_table_bp=ints(B, P),
            lengths_b=ints(B),
            hidden_bm=jnp.zeros((B, M), model.dtype),
            active_b=jnp.zeros(B, bool),
            finish_b=ints(B),
            generated_b=ints(B),
            max_tokens_b=ints(B),
            prompt_len_b=ints(B),
            stop_ids_bi=ints(B, stop_ids, fill=-1),
            streams_b=ints(B),
            sampler=SamplerState.init(B),
            repetition=repetition.init(rule, B),
            thinking=thinking.init(B),
        ),
        prompts=Prompts(
            page_table_dup=ints(D, U, P), lengths_du=ints(D, U), hidden_dum=jnp.zeros((D, U, M), model.dtype)
        ),
        plan=plan,
    )
    if plan.sharding is None:
        return state
    mesh = plan.sharding.mesh
    return jax.tree.map(
        lambda array, spec: jax.device_put(array, jax.NamedSharding(mesh, spec)), state, specs_of(state)
    )
