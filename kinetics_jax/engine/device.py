"""The device side of an engine: the state and the compiled programs, driven with NumPy arrays.

Axis letters: B slots of all lanes · D lanes · C prompt tokens of a chunk · P pages of a sequence ·
I stop ids.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kinetics_jax.attention import PagedPlan
from kinetics_jax.engine import programs, thinking
from kinetics_jax.engine.programs import Admitted, Drawn
from kinetics_jax.engine.sampling import SamplerState
from kinetics_jax.engine.schedule import Admission, Prompt
from kinetics_jax.engine.state import EngineState, empty_state, specs_of
from kinetics_jax.models import Qwen3
from kinetics_jax.spec import RepetitionRule, SamplingParams, ThinkingBudget
from pallas_kernels import BF16_BITS

SMALLEST_CHUNK = 16
"""Prompt tokens read at a time at least: shorter prompts are padded to this."""


@dataclasses.dataclass(frozen=True)
class Start:
    """One admission with what its sample asks of the device."""

    admission: Admission
    key: np.ndarray
    sampling: SamplingParams
    max_tokens: int
    stop_ids: tuple[int, ...]
    thinking: ThinkingBudget | None


class Device:
    """Owns the state. Shapes are fixed at creation, so each program compiles once per prompt bucket."""

    def __init__(
        self, model: Qwen3, plan: PagedPlan, *, slots: int, prompt_rows: int,
        pages_per_sequence: int, stop_ids: int, rule: RepetitionRule | None,
        cache_dtype: jax.typing.DTypeLike, head_dim: int, prefill_chunk: int,
    ) -> None:  # fmt: skip
        self.plan, self.slots, self.pages = plan, slots, pages_per_sequence
        self._most_stop_ids, self._prefill_chunk = stop_ids, prefill_chunk
        # Flattening a model costs more than a small model's step, so it is done once.
        self._leaves, self._model = jax.tree.flatten(model)
        self._state = empty_state(
            model, plan, slots=slots, prompt_rows=prompt_rows, stop_ids=stop_ids, rule=rule,
            pages_per_sequence=pages_per_sequence, cache_dtype=cache_dtype, head_dim=head_dim,
        )  # fmt: skip
        self._places = _places(self._state)
        self._no_budgets = thinking.rows([None] * self.num_slots)
        if plan.sharding is None:  # there once, it need not be sent with each admission
            self._no_budgets = jax.device_put(self._no_budgets)
        self._programs: dict[Any, Any] = {}

    @property
    def state(self) -> EngineState:
        """The state as it is; donated by the next call."""
        return self._state

    @property
    def compilations(self) -> int:
        """Programs compiled so far."""
        return sum(program._cache_size() for program in self._programs.values())

    @property
    def num_slots(self) -> int:
        """B."""
        return self.slots * self.plan.lanes

    def bucket(self, prompt: Prompt) -> tuple[int, int]:
        """(C, pages looked at) for reading a prompt: they depend on its length and on nothing else."""
        length = len(prompt.ask.tokens)
        chunk = min(self._prefill_chunk, max(SMALLEST_CHUNK, 1 << (length - 1).bit_length()))
        pages = -(-length // self.plan.page_size)
        return chunk, min(self.pages, 1 << (pages - 1).bit_length())

    def read(self, prompts: Sequence[Prompt]) -> None:
        """Read the next part of one prompt of each lane; those of another bucket than the first wait."""
        D = self.plan.lanes
        bucket = chunk, view_pages = self.bucket(prompts[0])
        row_d, count_d, fresh_d = (np.zeros(D, np.int32) for _ in range(3))
        token_dc = np.zeros((D, chunk), np.int32)
        table_dp = np.zeros((D, self.pages), np.int32)
        for prompt in prompts:
            if self.bucket(prompt) != bucket:
                continue
            part = prompt.ask.tokens[prompt.read : prompt.read + chunk]
            lane = prompt.lane
            row_d[lane], count_d[lane], fresh_d[lane] = prompt.row, len(part), prompt.read == 0
            token_dc[lane, : len(part)] = part
            table_dp[lane, : len(prompt.pages)] = prompt.pages
            prompt.read += len(part)
        run = self._program("read", programs.read_prompts, view_pages=view_pages)
        self._state = run(
            self._leaves, self._state, row_d, token_dc, count_d, fresh_d.astype(bool), table_dp
        )

    def admit(self, starts: Sequence[Start], drops: Sequence[int] = ()) -> None:
        """Start samples, and end those in the slots ``drops`` (of all B)."""
        B = self.num_slots
        start_b, drop_b = np.zeros(B, bool), np.zeros(B, bool)
        drop_b[list(drops)] = True
        row_b, from_b, to_b, most_b, streams_b = (np.zeros(B, np.int32) for _ in range(5))
        table_bp = np.zeros((B, self.pages), np.int32)
        stop_bi = np.full((B, self._most_stop_ids), -1, np.int32)
        slots = [s.admission.lane * self.slots + s.admission.slot for s in starts]
        sampler = jax.tree.map(np.array, _idle_sampler(B))
        budgets: list[ThinkingBudget | None] = [None] * B
        if starts:
            keys = np.stack([s.key for s in starts])
            rows = SamplerState.of([s.sampling for s in starts], keys)
            for ours, theirs in zip(jax.tree.leaves(sampler), jax.tree.leaves(rows), strict=True):
                ours[slots] = theirs
            # A stream is 31 bits of the key, so that random selection follows the sample, not its slot.
            streams_b[slots] = (keys[:, 0] ^ keys[:, 1]) & 0x7FFFFFFF
        for slot, s in zip(slots, starts, strict=True):
            taken = s.admission
            start_b[slot], row_b[slot] = True, taken.row
            budgets[slot] = s.thinking
            from_b[slot], to_b[slot] = taken.copy_from, taken.copy_to
            most_b[slot] = s.max_tokens
            table_bp[slot, : len(taken.pages)] = taken.pages
            stop_bi[slot, : len(s.stop_ids)] = s.stop_ids
        new = Admitted(
            start_b,
            drop_b,
            row_b,
            table_bp,
            from_b,
            to_b,
            most_b,
            stop_bi,
            streams_b,
            sampler,
            thinking.rows(budgets) if any(budgets) else self._no_budgets,
        )
        self._state = self._program("admit", programs.admit, model=False)(self._state, new)

    def decode(self, steps: int, min_active: int = 1) -> Drawn:
        """Decode up to ``steps`` tokens in every slot; NumPy arrays, on the host when this returns."""
        run = self._program("decode", programs.decode, steps=steps)
        self._state, drawn = run(self._leaves, self._state, np.int32(min_active))
        return jax.tree.map(np.asarray, jax.device_get(drawn))

    def _program(self, name: str, function: Any, *, model: bool = True, **options: Any) -> Any:
        """The jitted program of these options; its state is donated and comes back where it was."""
        key = (name, *options.items())
        if key not in self._programs:
            bound = functools.partial(function, **options)

            def run(leaves: list, *arguments: Any) -> Any:
                return bound(jax.tree.unflatten(self._model, leaves), *arguments)

            out: Any = self._places
            if self._places is not None and name == "decode":
                mesh = self.plan.sharding.mesh  # type: ignore[union-attr]
                out = (self._places, NamedSharding(mesh, PartitionSpec()))
            self._programs[key] = jax.jit(
                run if model else bound, donate_argnums=1 if model else 0, out_shardings=out
            )
        return self._programs[key]


@functools.lru_cache(maxsize=8)
def _idle_sampler(slots: int) -> SamplerState:
    return SamplerState.init(slots)


def _places(state: EngineState) -> Any:
    if state.plan.sharding is None:
        return None
    mesh = state.plan.sharding.mesh
    return jax.tree.map(lambda _, spec: NamedSharding(mesh, spec), state, specs_of(state))


def head_dim_stored(head_dim: int, platform: str) -> int:
    """Head dim of the pool: a multiple of 128 where kernels want it (TPU, GPU), else as it is."""
    return -(-head_dim // 128) * 128 if platform in ("tpu", "gpu", "cuda") else head_dim


def default_cache_dtype(model: Qwen3, platform: str) -> Any:
    """The model's dtype; on a CPU bfloat16 is held as its bits, as XLA there widens bfloat16 pools whole."""
    return BF16_BITS if platform == "cpu" and model.dtype == jnp.bfloat16 else model.dtype
