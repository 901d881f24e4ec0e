"""Which sample runs in which slot, which prompt is read next, who holds which pages. Host side, no JAX.

A *lane* is one share of the devices that sequences are split over: it has a pool, slots and prompt rows of
its own, and a prompt is read once in each lane that samples it. Every decision follows from the requests
and from which samples have finished, so all processes of a multi-host run decide alike.

Pages are reserved: a sample is admitted when every page that it may ever need is set aside, so an admitted
sample always finishes. Its prompt's full pages are shared with the other samples of that prompt; the last,
partly filled one is copied.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from kinetics_jax.engine.pages import PagePool


@dataclasses.dataclass(frozen=True)
class Job:
    """One prompt and the samples wanted of it."""

    number: int
    """Place in the caller's list; what its samples are is kept there."""
    tokens: Sequence[int]
    max_tokens: int
    trials: tuple[int, ...]


@dataclasses.dataclass
class Prompt:
    """A prompt in a lane: being read, or read and waiting for slots."""

    job: Job
    lane: int
    row: int
    pages: list[int]
    trials: collections.deque[int]
    read: int = 0
    """Tokens that are in the cache already."""

    @property
    def ready(self) -> bool:
        """Whether all of it is read."""
        return self.read == len(self.job.tokens)


@dataclasses.dataclass(frozen=True)
class Admission:
    """A sample and the slot and pages it was given."""

    job: Job
    trial: int
    lane: int
    slot: int
    """Within the lane."""
    row: int
    """Prompt row whose state it starts from."""
    pages: tuple[int, ...]
    """In the order of the text, shared ones first."""
    copy_from: int
    """Page of the prompt's last, partly filled part; 0 where there is none."""
    copy_to: int


class Lane:
    """Slots, prompt rows and pages of one lane."""

    def __init__(self, slots: int, rows: int, pool_pages: int) -> None:
        self.slots: list[Admission | None] = [None] * slots
        self.prompts: list[Prompt | None] = [None] * rows
        self.order: collections.deque[Prompt] = collections.deque()
        """Prompts by age."""
        self.pool = PagePool(pool_pages)

    @property
    def free_slots(self) -> int:
        """Slots without a sample."""
        return self.slots.count(None)

    @property
    def waiting(self) -> int:
        """Samples whose prompt is in the lane and that have no slot yet."""
        return sum(len(prompt.trials) for prompt in self.order)

    def drop(self, prompt: Prompt) -> None:
        """Give back the row and the pages of a prompt."""
        self.pool.give_back(prompt.pages)
        self.prompts[prompt.row] = None
        self.order.remove(prompt)


class Schedule:
    """The lanes and the queue of prompts. Slots and prompt rows are per lane."""

    def __init__(
        self,
        *,
        lanes: int,
        slots: int,
        rows: int,
        pool_pages: int,
        page_size: int,
        at_once: int | None = None,
    ) -> None:
        """``at_once``: most samples of one prompt that run at the same time; None: no limit."""
        self.lanes = [Lane(slots, rows, pool_pages) for _ in range(lanes)]
        self.page_size, self._at_once = page_size, at_once
        self._queue: collections.deque[tuple[Job, collections.deque[int]]] = collections.deque()

    def submit(self, jobs: Iterable[Job]) -> None:
        """Queue prompts; those without trials left are skipped."""
        self._queue.extend((job, collections.deque(job.trials)) for job in jobs if job.trials)

    @property
    def queued(self) -> int:
        """Samples whose prompt is in no lane yet."""
        return sum(len(trials) for _, trials in self._queue)

    @property
    def running(self) -> int:
        """Samples in slots."""
        return sum(len(lane.slots) - lane.free_slots for lane in self.lanes)

    @property
    def unfinished(self) -> bool:
        """Whether any sample is running, waiting or queued."""
        return bool(self._queue) or any(lane.order for lane in self.lanes) or self.running > 0

    @property
    def pages_in_use(self) -> int:
        """Pages held over all lanes."""
        return sum(lane.pool.in_use for lane in self.lanes)

    def pages_for(self, tokens: int) -> int:
        """Pages that hold so many tokens."""
        return -(-tokens // self.page_size)

    def own_pages(self, job: Job) -> int:
        """Pages that one sample needs beside the prompt's full ones."""
        prompt = len(job.tokens)
        return self.pages_for(prompt + job.max_tokens) - prompt // self.page_size

    def unread(self) -> list[Prompt]:
        """Prompts to read on, the oldest of each lane; takes new ones from the queue where there is room."""
        for lane_number, lane in enumerate(self.lanes):
            while self._queue and self._next(lane) < max(lane.free_slots, 1) and self._open(lane_number):
                pass
        oldest = (next((prompt for prompt in lane.order if not prompt.ready), None) for lane in self.lanes)
        return [prompt for prompt in oldest if prompt is not None]

    @property
    def starving(self) -> bool:
        """Whether some lane has free slots that only unread prompts could fill."""
        return any(
            lane.free_slots > self._next(lane, ready=True) and any(not p.ready for p in lane.order)
            for lane in self.lanes
        )

    def admit(self) -> list[Admission]:
        """Give free slots to samples of prompts that are read, oldest prompt first."""
        admitted = [
            admission for number, lane in enumerate(self.lanes) for admission in self._fill(number, lane)
        ]
        for lane in self.lanes:  # only now: a page copied from in this round must not be given out in it
            for prompt in [p for p in lane.order if not p.trials]:
                lane.drop(prompt)
        return admitted

    def finish(self, lane: int, slot: int) -> None:
        """Free the slot and the pages of a sample that is over, whatever ended it."""
        done = self.lanes[lane].slots[slot]
        assert done is not None, f"slot {slot} of lane {lane} is empty"
        self.lanes[lane].pool.give_back(done.pages)
        self.lanes[lane].slots[slot] = None

    def stop(self, number: int) -> list[tuple[int, int]]:
        """Drop what a job has queued, waiting and running; the (lane, slot) of what ran."""
        self._queue = collections.deque((job, t) for job, t in self._queue if job.number != number)
        ran = []
        for at, lane in enumerate(self.lanes):
            for prompt in [p for p in lane.order if p.job.number == number]:
                lane.drop(prompt)
            for slot, held in enumerate(lane.slots):
                if held is not None and held.job.number == number:
                    self.finish(at, slot)
                    ran.append((at, slot))
        return ran

    def left(self, number: int) -> int:
        """Samples of a job that are queued, waiting or running."""
        queued = sum(len(trials) for job, trials in self._queue if job.number == number)
        waiting = sum(len(p.trials) for lane in self.lanes for p in lane.order if p.job.number == number)
        return queued + waiting + self._running(number)

    def _running(self, number: int) -> int:
        return sum(a is not None and a.job.number == number for lane in self.lanes for a in lane.slots)

    def _room(self, prompt: Prompt) -> int:
        """Samples of a prompt that may be given slots now."""
        if self._at_once is None:
            return len(prompt.trials)
        return min(len(prompt.trials), self._at_once - self._running(prompt.job.number))

    def _next(self, lane: Lane, *, ready: bool = False) -> int:
        """Samples that could take a slot of a lane now (with ``ready``, of prompts that are read)."""
        return sum(self._room(prompt) for prompt in lane.order if prompt.ready or not ready)

    def abort(self) -> None:
        """Drop everything: queue, prompts and running samples."""
        self._queue.clear()
        for number, lane in enumerate(self.lanes):
            for prompt in list(lane.order):
                lane.drop(prompt)
            for slot, admission in enumerate(lane.slots):
                if admission is not None:
                    self.finish(number, slot)

    def _open(self, number: int) -> bool:
        """Move the next prompt of the queue, with its share of the samples, into a lane; False if full."""
        lane = self.lanes[number]
        job, trials = self._queue[0]
        row = next((row for row, held in enumerate(lane.prompts) if held is None), None)
        need = self.pages_for(len(job.tokens))
        # Whatever is read must be able to run once the running samples are through: what the prompts
        # hold, and the own pages of the hungriest sample, fit the pool together.
        held = sum(len(prompt.pages) for prompt in lane.order) + need
        own = max(
            self.own_pages(waiting.job)
            for waiting in [*lane.order, Prompt(job, number, 0, [], collections.deque())]
        )
        if row is None or need > lane.pool.free or held + own > lane.pool.size - 1:
            return False
        # A lane takes a whole prompt, unless so few samples are left that others would stand idle.
        unstarted = self.queued + sum(other.waiting for other in self.lanes)
        share = -(-unstarted // len(self.lanes))
        taken = collections.deque(trials.popleft() for _ in range(min(share, len(trials))))
        if not trials:
            self._queue.popleft()
        prompt = Prompt(job, number, row, lane.pool.take(need), taken)
        lane.prompts[row] = prompt
        lane.order.append(prompt)
        return True

    def _fill(self, number: int, lane: Lane) -> Iterable[Admission]:
        for prompt in lane.order:
            while prompt.ready and self._room(prompt) > 0:
                slot = next((s for s, held in enumerate(lane.slots) if held is None), None)
                if slot is None or self.own_pages(prompt.job) > lane.pool.free:
                    return
                full = len(prompt.job.tokens) // self.page_size
                own = lane.pool.take(self.own_pages(prompt.job))
                shared = prompt.pages[:full]
                lane.pool.share(shared)
                partial = prompt.pages[full:]
                lane.slots[slot] = admission = Admission(
                    job=prompt.job,
                    trial=prompt.trials.popleft(),
                    lane=number,
                    slot=slot,
                    row=prompt.row,
                    pages=(*shared, *own),
                    copy_from=partial[0] if partial else 0,
                    copy_to=own[0] if partial else 0,
                )
                yield admission
