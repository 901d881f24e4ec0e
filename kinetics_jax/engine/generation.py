"""One call of ``Engine.generate``: the loop between host and device.

Between two decode chunks the host hands over finished samples, frees their slots, admits the next ones and
lets the device read a part of the next prompts.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from kinetics_jax.engine.collect import Collector
from kinetics_jax.engine.device import Device, Start
from kinetics_jax.engine.identity import provenance_of
from kinetics_jax.engine.progress import Progress
from kinetics_jax.engine.requests import Request
from kinetics_jax.engine.sampler.threefry import sample_keys
from kinetics_jax.engine.schedule import Admission, Ask, Schedule
from kinetics_jax.models import Tokenizer, Transformer
from kinetics_jax.policies import Policy
from kinetics_jax.records import RepetitionRule, Sample

PREFILLS_PER_CHUNK = 4
"""Prompt parts read between two decode chunks at most, while samples are running."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run needs of its engine."""

    policy: Policy
    identity: Mapping[str, Any]
    """Of the engine, for the samples' provenance."""
    tokenizer: Tokenizer | None
    repetition: RepetitionRule | None
    page_size: int
    prompt_rows: int
    steps: int
    """Of a decode chunk."""
    share_prompts: bool
    observe: Callable[[Progress], None] | None


class Run:
    """Decodes a list of requests to the end."""

    def __init__(
        self, model: Transformer, options: RunOptions, device: Device, requests: list[Request], stream: bool
    ) -> None:
        self.model, self.options = model, options
        self.device, self.requests, self.stream = device, requests, stream
        self.schedule = Schedule(
            lanes=device.plan.lanes,
            slots=device.slots,
            rows=options.prompt_rows,
            pool_pages=device.plan.pool_pages,
            page_size=options.page_size,
        )
        asks = [
            Ask(number, request.tokens, request.max_tokens, trials)
            for number, request in enumerate(requests)
            for trials in ([request.trials] if options.share_prompts else [(t,) for t in request.trials])
        ]
        self.keys = [_keys(request) for request in requests]
        self.provenances = [provenance_of(options.identity, request) for request in requests]
        self.total = sum(len(ask.trials) for ask in asks)
        self.schedule.submit(asks)
        self.collector = Collector(device.num_slots, options.tokenizer)
        self.done, self.start = 0, time.perf_counter()
        self.decode_seconds = self.caller_seconds = 0.0
        self.mine = owned_lanes(model, device.plan.lanes)

    def samples(self) -> Iterator[Any]:
        """Run to the end, yielding finished samples (or pieces of the one, when streaming).

        Whatever ends it early, a device error or Ctrl-C, the next run on this device begins afresh.
        """
        self.device.clear()
        try:
            for item in self._items():
                handed_over = time.perf_counter()
                yield item
                self.caller_seconds += time.perf_counter() - handed_over
        except GeneratorExit:  # between two chunks, where the state is whole
            raise
        except BaseException:
            self.device.clear(anew=True)
            raise

    def _items(self) -> Iterator[Any]:
        while self.schedule.unfinished:
            self._read_prompts()
            self._admit()
            if self.schedule.running:
                yield from self._decode()

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
        starts = []
        for admission in admitted:
            request = self.requests[admission.ask.number]
            self.collector.begin(self._slot(admission), request.decoding.stop_strings)
            starts.append(
                Start(
                    admission,
                    self.keys[admission.ask.number][admission.trial],
                    request.decoding.sampling,
                    request.max_tokens,
                    request.stop_ids,
                    request.decoding.thinking_budget,
                )
            )
        self.device.admit(starts)

    def _decode(self) -> Iterator[Any]:
        begun = time.perf_counter()
        drawn = self.device.decode(self.options.steps)
        self.decode_seconds += time.perf_counter() - begun
        self.collector.add(drawn)
        dropped = []
        for number, lane in enumerate(self.schedule.lanes):
            for admission in [a for a in lane.slots if a is not None]:
                request, slot = self.requests[admission.ask.number], self._slot(admission)
                cut = self.collector.stop_string(slot)
                if self.stream:
                    yield from self.collector.pieces(slot)
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
        if self.options.observe:
            self.options.observe(self._progress(drawn))

    def _sample(
        self, request: Request, admission: Admission, drawn: Any, cut: tuple[int, str] | None
    ) -> Sample:
        slot, sampling = self._slot(admission), request.decoding.sampling
        tokens, logprobs, text, reason = self.collector.finish(
            slot, int(drawn.finish_b[slot]), self.options.repetition, cut
        )
        return Sample(
            task=request.problem.task,
            problem_id=request.problem.problem_id,
            trial=admission.trial,
            prompt_tokens=len(request.tokens),
            tokens=tokens,
            text=text,
            finish_reason=reason,
            logprobs=logprobs if request.decoding.logprobs else None,
            model=self.model.config.name,
            policy=self.options.policy,
            seed=sampling.seed,
            temperature=sampling.temperature,
            max_tokens=request.max_tokens,
            provenance=self.provenances[admission.ask.number],
        )

    def _slot(self, admission: Admission) -> int:
        return admission.lane * self.device.slots + admission.slot

    def _progress(self, drawn: Any) -> Progress:
        seconds = time.perf_counter() - self.start
        running = [
            len(a.ask.tokens) + int(drawn.generated_b[self._slot(a)])
            for lane in self.schedule.lanes
            for a in lane.slots
            if a is not None
        ]
        left = (self.total - self.done) * seconds / self.done if self.done else None
        return Progress(
            samples_done=self.done,
            samples_total=self.total,
            tokens=self.collector.total,
            seconds=seconds,
            decode_seconds=self.decode_seconds,
            caller_seconds=self.caller_seconds,
            tokens_per_second=self.collector.total / max(seconds, 1e-9),
            running=len(running),
            mean_context=float(np.mean(running)) if running else 0.0,
            pages_in_use=self.schedule.pages_in_use,
            pages_total=self.device.plan.lanes * (self.device.plan.pool_pages - 1),
            seconds_left=left,
        )


def _keys(request: Request) -> dict[int, np.ndarray]:
    """Trial → the key of its random stream."""
    name = f"{request.problem.task}/{request.problem.problem_id}"
    trials = request.trials
    key_m2 = sample_keys(request.decoding.sampling.seed, [name] * len(trials), trials)
    return dict(zip(trials, key_m2, strict=True))


def owned_lanes(model: Transformer, lanes: int) -> set[int]:
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
