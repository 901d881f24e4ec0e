"""``Engine``: many long samples of many prompts, sparse, sharded, each independent of its neighbours.

The device decodes chunks of steps; between two chunks the host hands over finished samples, frees their
slots, admits the next ones and lets the device read a part of the next prompts.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from kinetics_jax.attention import PagedPlan
from kinetics_jax.engine import capacity
from kinetics_jax.engine.collect import Collector, Piece
from kinetics_jax.engine.device import Device, Start, default_cache_dtype, head_dim_stored
from kinetics_jax.engine.progress import Progress
from kinetics_jax.engine.requests import Decoding, Prompt, Request, RequestReader
from kinetics_jax.engine.schedule import Admission, Ask, Schedule
from kinetics_jax.engine.threefry import sample_keys
from kinetics_jax.models import Qwen3, Tokenizer
from kinetics_jax.spec import (
    Dense,
    InputError,
    Policy,
    RepetitionRule,
    Sample,
    SamplingParams,
    ThinkingBudget,
)
from kinetics_jax.spec.sample import SampleKey

DEFAULT_PAGE = 64
"""Tokens in a page where the policy does not say."""
PREFILLS_PER_CHUNK = 4
"""Prompt parts read between two decode chunks at most, while samples are running."""
MOST_STOP_IDS = 8


class Engine:
    """Decodes samples with one model under one attention policy.

    A sample is a function of the model, the policy, its prompt, its trial number, its options and the
    engine's compiled shapes: not of the order of requests, of its slot, of what runs beside it, or of
    restarts. (docs/engine.md says what that means to the last bit.)
    """

    def __init__(
        self, model: Qwen3, *, policy: Policy | None = None, tokenizer: Tokenizer | None = None,
        mesh: jax.sharding.Mesh | None = None, slots: int | None = None,
        max_context: int | None = None, page_size: int | None = None, exact_masks: bool = False,
        share_prompts: bool = True, repetition: RepetitionRule | None = None,
        chunk_steps: int = 64, prefill_chunk: int = 512,
        prompt_rows: int = 2, cache_dtype: jax.typing.DTypeLike | None = None,
        memory_fraction: float = 0.9, implementation: str | None = None,
        observe: Callable[[Progress], None] | None = None,
    ) -> None:  # fmt: skip
        """Checks everything; compiles and allocates nothing before the first ``generate``.

        Args:
          model: from ``kinetics_jax.models``, on its mesh.
          policy: what a decode step reads; dense unless given. Block policies and windows run on whole
            pages, which ``engine.policy`` spells out (``aligned=True``) and samples record.
          tokenizer: turns text prompts into ids and ids into text.
          mesh: lay the model on this mesh first; None: where it lies.
          slots: samples that run at once *in each share of the mesh axes that sequences are split over*;
            None: as many as the free memory holds.
          max_context: longest prompt and generation together, in tokens; None: the model's.
          page_size: tokens in a page; None: the policy's blocks, else 64.
          exact_masks: run the reference implementation's exact index sets (sinks of single tokens, blocks
            that start after them) by masking every score. It measures; it saves no bytes.
          share_prompts: whether samples of a prompt share its full pages. Changes memory, not samples.
          repetition: when a sample is taken to be caught in a loop and stopped; None: never.
          chunk_steps: decode steps between two visits of the host.
          prefill_chunk: prompt tokens read at a time.
          prompt_rows: prompts of a share of the mesh that may be read ahead or wait for slots.
          cache_dtype: of keys and values; None: the model's (float32 on a CPU).
          memory_fraction: of the free memory that the cache may take where ``slots`` is None.
          implementation: back end of ``pallas_kernels``; None picks by the platform.
          observe: called with the ``Progress`` after each chunk.

        Raises ``InputError`` for options that cannot be.
        """
        whole = {"slots": slots, "max_context": max_context, "page_size": page_size,
                 "chunk_steps": chunk_steps, "prefill_chunk": prefill_chunk,
                 "prompt_rows": prompt_rows}  # fmt: skip
        for name, value in whole.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"{name}={value!r} must be a whole number ≥ 1")
        if not 0 < memory_fraction <= 1:
            raise InputError(f"memory_fraction={memory_fraction!r} must be in (0, 1]")
        if policy is not None and not isinstance(policy, Policy):
            raise InputError(f"policy={policy!r} must be a policy of kinetics_jax.spec")
        self.model = model if mesh is None else model.on(mesh)
        self.config = model.config
        self.tokenizer = tokenizer
        asked = policy or Dense()
        self.page_size = page_size or asked.natural_page or DEFAULT_PAGE
        self.policy = asked if exact_masks else asked.on_pages(self.page_size)
        """The policy as it runs; samples carry it."""
        self.max_context = min(max_context or self.config.max_context, self.config.max_context)
        if max_context is not None and max_context > self.config.max_context:
            raise InputError(
                f"max_context={max_context} is more than the {self.config.max_context} of "
                f"{self.config.name}"
            )
        self._slots, self._rows = slots, prompt_rows
        self._share, self.repetition = share_prompts, repetition
        self._steps, self._prefill = chunk_steps, prefill_chunk
        self._implementation, self._fraction = implementation, memory_fraction
        self._observe = observe
        self._platform = _platform(self.model)
        self._dtype = cache_dtype or default_cache_dtype(self.model, self._platform)
        self._plan(slots or 1)  # refuses a policy that is not for this model
        self._device: Device | None = None
        self._busy = False

    # What callers use.

    def generate(
        self, problems: Iterable[Prompt] | Prompt, n: int | Sequence[int] = 1, *,
        sampling: SamplingParams | None = None, max_tokens: int | None = None,
        stop_ids: Sequence[int] | None = None, stop_strings: Sequence[str] = (),
        thinking_budget: ThinkingBudget | None = None, logprobs: bool = False,
        thinking: bool = True, done: Iterable[SampleKey] = (),
        stream: bool = False,
    ) -> Iterator[Any]:  # fmt: skip
        """Finished ``Sample``s of every problem, in the order in which they finish.

        A sample's slot is not used again before the caller asks for the next sample: who writes each one
        down before going on loses none. Closing the iterator drops what is running.

        Args:
          problems: texts (one user turn each), token ids, or ``spec.Problem``s; or a single one.
          n: samples per problem, or the trial numbers wanted.
          sampling: temperature, filters and seed; the paper's unless given.
          max_tokens: most tokens to generate; None: what the context leaves.
          stop_ids: tokens that end a sample; None: the model's end-of-text tokens.
          stop_strings: texts that end a sample.
          thinking_budget: how long the model may or must think (s1's budget forcing).
          logprobs: whether samples carry log-probabilities.
          thinking: for text prompts, what the chat template is told.
          done: keys of samples not to make again.
          stream: yield ``Piece``s of a single sample as they come, its ``Sample`` last.

        Raises ``InputError`` for anything that cannot be run, before anything is compiled.
        """
        decoding = Decoding(
            sampling=sampling or SamplingParams(), max_tokens=max_tokens,
            stop_ids=None if stop_ids is None else tuple(stop_ids),
            stop_strings=tuple(stop_strings), thinking_budget=thinking_budget, logprobs=logprobs,
        )  # fmt: skip
        reader = RequestReader(self.config, self.tokenizer, self.max_context, thinking=thinking)
        requests = reader.read(problems, n, decoding, done)
        if len(requests[0].stop_ids if requests else ()) > MOST_STOP_IDS:
            raise InputError(f"at most {MOST_STOP_IDS} stop_ids, got {len(requests[0].stop_ids)}")
        if stream and (len(requests) != 1 or len(requests[0].trials) != 1):
            raise InputError("stream=True takes one problem and n=1")
        return self._run(requests, stream)

    @property
    def compilations(self) -> int:
        """Programs compiled so far: constant once every prompt length has been seen."""
        return self._device.compilations if self._device else 0

    # How it is done.

    def _plan(self, slots: int, pool_pages: int = 1) -> PagedPlan:
        lanes = self.model.layout.batch_axes
        return PagedPlan.of(
            self.config, self.policy, page_size=self.page_size, pool_pages=pool_pages,
            rows=slots + self._rows, implementation=self._implementation,
            sharding=self.model.cache_sharding(self.model.layout.ways(lanes)),
        )  # fmt: skip

    def _make_device(self) -> Device:
        pages = -(-self.max_context // self.page_size)
        head_dim = head_dim_stored(self.config.head_dim, self._platform)
        slots = self._slots
        if slots is None:
            each = capacity.sequence_bytes(self._plan(1), self.config, pages, self._dtype, head_dim)
            free = capacity.least_free_bytes(_devices(self.model))
            slots = capacity.slots_that_fit(each, free, self._rows, self._fraction)
        plan = self._plan(slots, pool_pages=1 + (slots + self._rows) * pages)
        return Device(
            self.model, plan, slots=slots, prompt_rows=self._rows, pages_per_sequence=pages,
            stop_ids=MOST_STOP_IDS, rule=self.repetition, cache_dtype=self._dtype, head_dim=head_dim,
            prefill_chunk=self._prefill,
        )  # fmt: skip

    def _run(self, requests: list[Request], stream: bool) -> Iterator[Any]:
        if self._busy:
            raise InputError("this engine is generating already; close that iterator first")
        self._busy = True
        try:
            self._device = self._device or self._make_device()
            yield from _Run(self, self._device, requests, stream).samples()
        finally:
            self._busy = False


class _Run:
    """One call of ``generate``: the loop between host and device."""

    def __init__(
        self, engine: Engine, device: Device, requests: list[Request], stream: bool
    ) -> None:
        self.engine, self.device, self.requests, self.stream = engine, device, requests, stream
        self.schedule = Schedule(
            lanes=device.plan.lanes, slots=device.slots, rows=engine._rows,
            pool_pages=device.plan.pool_pages, page_size=engine.page_size,
        )  # fmt: skip
        asks = [
            Ask(number, request.tokens, request.max_tokens, trials)
            for number, request in enumerate(requests)
            for trials in ([request.trials] if engine._share else [(t,) for t in request.trials])
        ]
        self.total = sum(len(ask.trials) for ask in asks)
        self.schedule.submit(asks)
        self.collector = Collector(device.num_slots, engine.tokenizer)
        self.done, self.start = 0, time.perf_counter()
        self.mine = _owned_lanes(engine.model, device.plan.lanes)

    def samples(self) -> Iterator[Any]:
        """Run to the end, yielding finished samples (or pieces of the one, when streaming)."""
        try:
            while self.schedule.unfinished:
                self._read_prompts()
                self._admit()
                if self.schedule.running:
                    yield from self._decode()
        finally:
            if self.schedule.unfinished:
                self.schedule.abort()
                self.device.admit([], range(self.device.num_slots))

    def _read_prompts(self) -> None:
        """Read parts of prompts: until slots can be filled if none is busy, else a few parts."""
        for _ in range(PREFILLS_PER_CHUNK):
            prompts = self.schedule.unread()
            if not prompts:
                return
            self.device.read(prompts)
            if not self.schedule.starving:
                return

    def _admit(self) -> None:
        admitted = self.schedule.admit()
        if not admitted:
            return
        keys: dict[int, list[Admission]] = {}
        for admission in admitted:
            keys.setdefault(admission.ask.number, []).append(admission)
        starts = []
        for number, group in keys.items():
            request = self.requests[number]
            name = f"{request.problem.task}/{request.problem.problem_id}"
            key_m2 = sample_keys(
                request.decoding.sampling.seed, [name] * len(group), [a.trial for a in group]
            )
            for admission, key in zip(group, key_m2, strict=True):
                self.collector.begin(self._slot(admission))
                starts.append(Start(
                    admission, key, request.decoding.sampling, request.max_tokens,
                    request.stop_ids, request.decoding.thinking_budget,
                ))  # fmt: skip
        self.device.admit(starts)

    def _decode(self) -> Iterator[Any]:
        drawn = self.device.decode(self.engine._steps)
        self.collector.add(drawn)
        dropped = []
        for number, lane in enumerate(self.schedule.lanes):
            for admission in [a for a in lane.slots if a is not None]:
                request, slot = self.requests[admission.ask.number], self._slot(admission)
                cut = self.collector.stop_string(slot, request.decoding.stop_strings)
                if self.stream:
                    yield from self._pieces(slot)
                running = bool(drawn.active_b[slot])
                if running and cut is None:
                    continue
                if running:
                    dropped.append(slot)
                self.done += 1
                if number in self.mine:
                    yield self._sample(request, admission, drawn, cut)
                self.schedule.finish(number, admission.slot)
        if dropped:
            self.device.admit([], dropped)
        if self.engine._observe:
            self.engine._observe(self._progress(drawn))

    def _pieces(self, slot: int) -> Iterator[Piece]:
        yield from self.collector.pieces(slot)

    def _sample(
        self, request: Request, admission: Admission, drawn: Any, cut: tuple[int, str] | None
    ) -> Sample:
        slot, sampling = self._slot(admission), request.decoding.sampling
        tokens, logprobs, text, reason = self.collector.finish(
            slot, int(drawn.finish_b[slot]), self.engine.repetition, cut
        )
        return Sample(
            task=request.problem.task, problem_id=request.problem.problem_id,
            trial=admission.trial, prompt_tokens=len(request.tokens), tokens=tokens, text=text,
            finish_reason=reason, logprobs=logprobs if request.decoding.logprobs else None,
            model=self.engine.config.name, policy=self.engine.policy, seed=sampling.seed,
            temperature=sampling.temperature, max_tokens=request.max_tokens,
        )  # fmt: skip

    def _slot(self, admission: Admission) -> int:
        return admission.lane * self.device.slots + admission.slot

    def _progress(self, drawn: Any) -> Progress:
        seconds = time.perf_counter() - self.start
        running = [
            len(a.ask.tokens) + int(drawn.generated_b[self._slot(a)])
            for lane in self.schedule.lanes for a in lane.slots if a is not None
        ]  # fmt: skip
        left = (self.total - self.done) * seconds / self.done if self.done else None
        return Progress(
            samples_done=self.done, samples_total=self.total, tokens=self.collector.total,
            seconds=seconds, tokens_per_second=self.collector.total / max(seconds, 1e-9),
            running=len(running), mean_context=float(np.mean(running)) if running else 0.0,
            pages_in_use=self.schedule.pages_in_use,
            pages_total=self.device.plan.lanes * (self.device.plan.pool_pages - 1),
            seconds_left=left,
        )  # fmt: skip


def _devices(model: Qwen3) -> list[jax.Device]:
    """The devices of this process that hold the model."""
    mesh = model.layout.mesh
    if mesh is not None:
        return list(mesh.local_devices)
    return list(model.embed.weight[...].devices())


def _platform(model: Qwen3) -> str:
    return _devices(model)[0].platform


def _owned_lanes(model: Qwen3, lanes: int) -> set[int]:
    """Lanes whose samples this process hands out: those whose first device is its own."""
    mesh = model.layout.mesh
    if mesh is None:
        return set(range(lanes))
    names = list(mesh.axis_names)
    batch = [names.index(axis) for axis in model.layout.batch_axes]
    others = [number for number in range(len(names)) if number not in batch]
    by_lane = np.transpose(mesh.devices, (*batch, *others)).reshape(lanes, -1)
    here = jax.process_index()
    return {number for number in range(lanes) if by_lane[number, 0].process_index == here}
