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
from kinetics_jax.engine import programs
from kinetics_jax.engine.packing import Packing
from kinetics_jax.engine.programs import Admitted, Drawn
from kinetics_jax.engine.sampler import thinking
from kinetics_jax.engine.sampler.sampling import SamplerState
from kinetics_jax.engine.schedule import Admission, Prompt
from kinetics_jax.engine.state import EngineState, empty_state, specs_of
from kinetics_jax.models import Transformer
from kinetics_jax.records import RepetitionRule, SamplingParams, ThinkingBudget
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
        self,
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
        prefill_chunk: int,
    ) -> None:
        self.plan, self.slots, self.pages = plan, slots, pages_per_sequence
        self._prefill_chunk = prefill_chunk
        # Flattening a model costs more than a small model's step, so it is done once.
        self._leaves, self._model = jax.tree.flatten(model)
        self._empty = functools.partial(
            empty_state,
            model,
            plan,
            slots=slots,
            prompt_rows=prompt_rows,
            stop_ids=stop_ids,
            rule=rule,
            pages_per_sequence=pages_per_sequence,
            cache_dtype=cache_dtype,
            head_dim=head_dim,
        )
        self._state: EngineState = self._empty()
        self._whole = True
        """False while a program has the state's buffers, and ever after if it did not bring new ones."""
        self._places = _places(self._state)
        idle = _nothing_new(self.num_slots, pages_per_sequence, stop_ids)
        self._packing = Packing(idle)
        self._idle_bw = self._packing.pack(idle)
        self._waiting_bw: np.ndarray | None = None
        """Admissions since the last chunk; they travel with the next."""
        self._programs: dict[Any, Any] = {}

    @property
    def state(self) -> EngineState:
        """The state as it is; donated by the next call. An empty one where the last was lost."""
        if not self._whole:
            for array in jax.tree.leaves(self._state):
                if not array.is_deleted():  # a traceback may hold it, and memory is for one
                    array.delete()
            self._keep(self._empty())
        return self._state

    def clear(self, *, anew: bool = False) -> None:
        """Forget every sample and prompt, whatever ended the run before.

        ``anew``: not even the state is to be trusted; the next call begins with an empty one.
        """
        self._waiting_bw = None
        if anew:
            self._whole = False
        else:
            self.admit([], range(self.num_slots))

    def _lend(self) -> EngineState:
        """The state for a program that takes its buffers; lost unless ``_keep`` follows."""
        state = self.state
        self._whole = False
        return state

    def _keep(self, state: EngineState) -> None:
        self._state, self._whole = state, True

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
        self._keep(run(self._leaves, self._lend(), row_d, token_dc, count_d, fresh_d.astype(bool), table_dp))

    def admit(self, starts: Sequence[Start], drops: Sequence[int] = ()) -> None:
        """Start samples, and end those in the slots ``drops`` (of all B): with the next chunk."""
        if self._waiting_bw is None:
            self._waiting_bw = self._idle_bw.copy()
        new = self._packing.views(self._waiting_bw)
        new.drop_b[list(drops)] = True
        if starts:
            slots = [s.admission.lane * self.slots + s.admission.slot for s in starts]
            keys = np.stack([s.key for s in starts])
            _put(new.sampler, slots, SamplerState.of([s.sampling for s in starts], keys))
            if any(s.thinking for s in starts):
                _put(new.thinking, slots, thinking.rows([s.thinking for s in starts]))
            new.start_b[slots] = True
            # A stream is 31 bits of the key, so that random selection follows the sample, not its slot.
            new.streams_b[slots] = (keys[:, 0] ^ keys[:, 1]) & 0x7FFFFFFF
            for slot, s in zip(slots, starts, strict=True):
                taken = s.admission
                new.row_b[slot], new.max_tokens_b[slot] = taken.row, s.max_tokens
                new.copy_from_b[slot], new.copy_to_b[slot] = taken.copy_from, taken.copy_to
                new.page_table_bp[slot, : len(taken.pages)] = taken.pages
                new.stop_ids_bi[slot, : len(s.stop_ids)] = s.stop_ids

    def decode(self, steps: int, min_active: int = 1) -> Drawn:
        """Decode up to ``steps`` tokens in every slot; NumPy arrays, on the host when this returns."""
        run = self._program("decode", programs.decode, steps=steps, packing=self._packing)
        words_bw = self._idle_bw if self._waiting_bw is None else self._waiting_bw
        state, drawn = run(self._leaves, self._lend(), words_bw, np.int32(min_active))
        found = jax.tree.map(np.asarray, jax.device_get(drawn))
        self._keep(state)  # now that nothing on the device has failed
        self._waiting_bw = None
        return found

    def _program(self, name: str, function: Any, **options: Any) -> Any:
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
            self._programs[key] = jax.jit(run, donate_argnums=1, out_shardings=out)
        return self._programs[key]


def _nothing_new(slots: int, pages: int, stop_ids: int) -> Admitted:
    """An admission of no sample, as NumPy arrays."""
    zero_b = np.zeros(slots, np.int32)
    return Admitted(
        start_b=zero_b.astype(bool),
        drop_b=zero_b.astype(bool),
        row_b=zero_b,
        page_table_bp=np.zeros((slots, pages), np.int32),
        copy_from_b=zero_b,
        copy_to_b=zero_b,
        max_tokens_b=zero_b,
        stop_ids_bi=np.full((slots, stop_ids), -1, np.int32),
        streams_b=zero_b,
        sampler=jax.tree.map(np.asarray, SamplerState.init(slots)),
        thinking=thinking.rows([None] * slots),
    )


def _put(arrays: Any, slots: list[int], rows: Any) -> None:
    """Write ``rows`` to these slots of a tree of arrays."""
    for array, new in zip(jax.tree.leaves(arrays), jax.tree.leaves(rows), strict=True):
        array[slots] = new


def _places(state: EngineState) -> Any:
    if state.plan.sharding is None:
        return None
    mesh = state.plan.sharding.mesh
    return jax.tree.map(lambda _, spec: NamedSharding(mesh, spec), state, specs_of(state))


def head_dim_stored(head_dim: int, platform: str) -> int:
    """Head dim of the pool: a multiple of 128 where kernels want it (TPU, GPU), else as it is."""
    return -(-head_dim // 128) * 128 if platform in ("tpu", "gpu", "cuda") else head_dim


def default_cache_dtype(model: Transformer, platform: str) -> Any:
    """The model's dtype; on a CPU bfloat16 is held as its bits, as XLA there widens bfloat16 pools whole."""
    return BF16_BITS if platform == "cpu" and model.dtype == jnp.bfloat16 else model.dtype
