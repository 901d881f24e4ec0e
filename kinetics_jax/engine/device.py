"""The device side of an engine: the state and the compiled programs, driven with NumPy arrays.

Axis letters: B slots of all lanes, or one prompt of each lane · T prompt tokens · P pages of a sequence.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kinetics_jax.attention import PagedPlan
from kinetics_jax.engine import admission, programs
from kinetics_jax.engine.admission import Start
from kinetics_jax.engine.packing import Packing
from kinetics_jax.engine.programs import Drawn
from kinetics_jax.engine.schedule import Prompt
from kinetics_jax.engine.state import EngineState, StateSizes, empty_state, shardings
from kinetics_jax.models import Transformer

SMALLEST_CHUNK = 16
"""Prompt tokens read at a time at least: shorter prompts are padded to this."""


class Device:
    """Owns the state. Shapes are fixed at creation, so each program compiles once per prompt bucket."""

    def __init__(self, model: Transformer, plan: PagedPlan, sizes: StateSizes, *, prefill_chunk: int) -> None:
        self.plan, self.slots, self.pages = plan, sizes.slots, sizes.pages_per_sequence
        self._prefill_chunk = prefill_chunk
        # Flattening a model costs more than a small model's step, so it is done once.
        self._leaves, self._model = jax.tree.flatten(model)
        self._empty = functools.partial(empty_state, model, plan, sizes)
        self._state: EngineState = self._empty()
        self._whole = True
        """False while a program has the state's buffers, and ever after if it did not bring new ones."""
        self._places = shardings(self._state)
        idle = admission.nobody(self.num_slots, sizes)
        self._packing = Packing(idle)
        self._idle = self._packing.pack(idle)
        self._waiting: np.ndarray | None = None
        """Words of the admissions since the last chunk; they travel with the next."""
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
        self._waiting = None
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
        """(T, pages looked at) for reading a prompt: they depend on its length and on nothing else."""
        length = len(prompt.job.tokens)
        chunk = min(self._prefill_chunk, max(SMALLEST_CHUNK, 1 << (length - 1).bit_length()))
        pages = -(-length // self.plan.page_size)
        return chunk, min(self.pages, 1 << (pages - 1).bit_length())

    def read(self, prompts: Sequence[Prompt]) -> None:
        """Read the next part of one prompt of each lane; those of another bucket than the first wait."""
        B = self.plan.lanes
        bucket = T, view_pages = self.bucket(prompts[0])
        row_b, count_b, fresh_b = (np.zeros(B, np.int32) for _ in range(3))
        token_bt = np.zeros((B, T), np.int32)
        table_bp = np.zeros((B, self.pages), np.int32)
        for prompt in prompts:
            if self.bucket(prompt) != bucket:
                continue
            part = prompt.job.tokens[prompt.read : prompt.read + T]
            lane = prompt.lane
            row_b[lane], count_b[lane], fresh_b[lane] = prompt.row, len(part), prompt.read == 0
            token_bt[lane, : len(part)] = part
            table_bp[lane, : len(prompt.pages)] = prompt.pages
            prompt.read += len(part)
        run = self._program("read", programs.read_prompts, view_pages=view_pages)
        self._keep(run(self._leaves, self._lend(), row_b, token_bt, count_b, fresh_b.astype(bool), table_bp))

    def admit(self, starts: Sequence[Start], drops: Sequence[int] = ()) -> None:
        """Start samples, and end those in the slots ``drops`` (of all B): with the next chunk."""
        if self._waiting is None:
            self._waiting = self._idle.copy()
        new = self._packing.views(self._waiting)
        new.drop_b[list(drops)] = True
        if starts:
            admission.write(new, starts)

    def decode(self, steps: int) -> Drawn:
        """Decode up to ``steps`` tokens in every slot; NumPy arrays, on the host when this returns."""
        run = self._program("decode", programs.decode, steps=steps, packing=self._packing)
        words = self._idle if self._waiting is None else self._waiting
        state, drawn = run(self._leaves, self._lend(), words)
        found = jax.tree.map(np.asarray, jax.device_get(drawn))
        self._keep(state)  # now that nothing on the device has failed
        self._waiting = None
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
