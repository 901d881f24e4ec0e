"""One call of ``Engine.generate``: the loop between host and device.

Between two decode chunks the host hands over finished samples, frees their slots, admits the next ones and
lets the device read a part of the next prompts.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kinetics_jax.engine.admission import Start
from kinetics_jax.engine.collect import Collector, Piece
from kinetics_jax.engine.config import EngineConfig
from kinetics_jax.engine.device import Device
from kinetics_jax.engine.early_stop import EarlyStop
from kinetics_jax.engine.identity import deployment_of, provenance_of
from kinetics_jax.engine.programs import Drawn
from kinetics_jax.engine.progress import Meter, Progress
from kinetics_jax.engine.requests import Request
from kinetics_jax.engine.schedule import Admission, Job, Schedule
from kinetics_jax.engine.setup import devices_of
from kinetics_jax.models import Tokenizer, Transformer
from kinetics_jax.policies import Policy
from kinetics_jax.records import Sample

PREFILLS_PER_CHUNK = 4
"""Prompt parts read between two decode chunks at most, while samples are running."""


class Run:
    """Decodes a list of requests to the end. What it is given is the engine's, its config settled."""

    def __init__(
        self,
        device: Device,
        requests: list[Request],
        *,
        model: Transformer,
        policy: Policy,
        tokenizer: Tokenizer | None,
        config: EngineConfig,
        identity: Mapping[str, Any],
        observe: Callable[[Progress], None] | None,
        stream: bool,
        early: EarlyStop,
    ) -> None:
        self.device, self.requests, self.config, self.stream = device, requests, config, stream
        self.model, self.policy, self.observe = model.config.name, policy, observe
        self.schedule = Schedule(
            lanes=device.plan.lanes,
            slots=device.slots,
            rows=config.prompt_rows,
            pool_pages=device.plan.pool_pages,
            page_size=device.plan.page_size,
            at_once=early.at_once,
        )
        self.early = early
        jobs = [
            Job(number, request.tokens, request.max_tokens, trials)
            for number, request in enumerate(requests)
            if request.trials and not early.begin(number)
            for trials in ([request.trials] if config.share_prompts else [(t,) for t in request.trials])
        ]
        self.schedule.submit(jobs)
        self.keys = [request.keys() for request in requests]
        self.provenances = [provenance_of(identity, request) for request in requests]
        kind = devices_of(model)[0].device_kind
        self.deployment = deployment_of(model, config, device.num_slots, kind)
        self.collector = Collector(device.num_slots, tokenizer)
        self.meter = Meter(sum(len(job.trials) for job in jobs))
        self.mine = model.layout.lanes_here()

    def samples(self) -> Iterator[Sample | Piece]:
        """Run to the end, yielding finished samples (or pieces of the one, when streaming).

        Whatever ends it early, a device error or Ctrl-C, the next run on this device begins afresh.
        """
        self.device.clear()
        try:
            for item in self._items():
                handed_over = time.perf_counter()
                yield item
                self.meter.caller_seconds += time.perf_counter() - handed_over
        except GeneratorExit:  # between two chunks, where the state is whole
            raise
        except BaseException:
            self.device.clear(anew=True)
            raise

    def _items(self) -> Iterator[Sample | Piece]:
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
        starts = []
        for admission in self.schedule.admit():
            request = self.requests[admission.job.number]
            key = self.keys[admission.job.number][admission.trial]
            starts.append(Start(self._slot(admission), admission, request, key))
            self.collector.begin(starts[-1].slot, request.decoding.stop_strings)
        if starts:
            self.device.admit(starts)

    def _decode(self) -> Iterator[Sample | Piece]:
        begun = time.perf_counter()
        drawn = self.device.decode(self.config.chunk_steps)
        self.meter.decode_seconds += time.perf_counter() - begun
        self.collector.add(drawn)
        dropped = []
        for number, lane in enumerate(self.schedule.lanes):
            for admission in [a for a in lane.slots if a is not None]:
                slot = self._slot(admission)
                cut = self.collector.stop_string(slot)
                if self.stream:
                    yield from self.collector.pieces(slot)
                running = bool(drawn.active_b[slot])
                if running and cut is None:
                    continue
                if running:
                    dropped.append(slot)
                self.meter.samples_done += 1
                if number in self.mine:
                    sample = self._sample(admission, int(drawn.finish_b[slot]), cut)
                    yield sample
                    self.early.note(admission.job.number, sample)
                self.schedule.finish(number, admission.slot)
        for number in self.early.newly_over():
            dropped += self._stop(number)
        if dropped:
            self.device.admit([], dropped)
        if self.observe:
            self.observe(self._progress(drawn))

    def _stop(self, number: int) -> list[int]:
        """Drop what is left of a prompt; the slots in which samples of it ran."""
        self.meter.samples_total -= self.schedule.left(number)
        slots = [lane * self.device.slots + slot for lane, slot in self.schedule.stop(number)]
        for slot in slots:
            self.collector.drop(slot)
        return slots

    def _sample(self, admission: Admission, finish: int, cut: tuple[int, str] | None) -> Sample:
        request = self.requests[admission.job.number]
        tokens, logprobs, text, reason = self.collector.finish(
            self._slot(admission), finish, self.config.repetition, cut
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
            model=self.model,
            policy=self.policy,
            seed=request.decoding.sampling.seed,
            temperature=request.decoding.sampling.temperature,
            max_tokens=request.max_tokens,
            provenance=self.provenances[admission.job.number],
            deployment=self.deployment,
        )

    def _slot(self, admission: Admission) -> int:
        """Its slot among those of all lanes."""
        return admission.lane * self.device.slots + admission.slot

    def _progress(self, drawn: Drawn) -> Progress:
        running = [a for lane in self.schedule.lanes for a in lane.slots if a is not None]
        return self.meter.progress(
            tokens=self.collector.total,
            contexts=[len(a.job.tokens) + int(drawn.generated_b[self._slot(a)]) for a in running],
            pages_in_use=self.schedule.pages_in_use,
            pages_total=self.device.plan.lanes * (self.device.plan.pool_pages - 1),
        )
