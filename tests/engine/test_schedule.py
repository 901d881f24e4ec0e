"""Pages and slots: no page is lost, shared or given out wrongly, whatever happens in whatever order."""

import collections
import random

import pytest

from kinetics_jax.engine.pages import PageError, PagePool
from kinetics_jax.engine.schedule import Job, Schedule

PAGE = 4


def check(schedule: Schedule) -> None:
    """What must hold between any two events."""
    for lane in schedule.lanes:
        held: collections.Counter[int] = collections.Counter()
        written: list[int] = []
        for admission in filter(None, lane.slots):
            held.update(admission.pages)
            full = len(admission.job.tokens) // PAGE
            written += admission.pages[full:]
            need = -(-(len(admission.job.tokens) + admission.job.max_tokens) // PAGE)
            assert len(admission.pages) == need == len(set(admission.pages))
            assert 0 not in admission.pages
        for prompt in lane.order:
            held.update(prompt.pages)
            written += prompt.pages
        assert len(set(written)) == len(written), "two writers of one page"
        assert lane.pool.in_use == len(held)
        assert lane.pool._holders == [held[page] for page in range(lane.pool.size)]


@pytest.mark.parametrize("seed", range(4))
def test_ten_thousand_random_steps_leak_nothing(seed):
    """Submit, read, admit, finish and abort at random; at the end all is done and no page is held."""
    rng = random.Random(seed)
    schedule = Schedule(lanes=rng.choice([1, 3]), slots=3, rows=2, pool_pages=40, page_size=PAGE)
    wanted: collections.Counter = collections.Counter()
    ran: collections.Counter = collections.Counter()
    number = 0
    for _ in range(10_000):
        event = rng.random()
        if event < 0.08 and schedule.queued < 20:
            prompt, most = rng.randint(1, 25), rng.randint(1, 30)
            trials = tuple(range(rng.randint(1, 6)))
            schedule.submit([Job(number, [0] * prompt, most, trials)])
            wanted.update((number, trial) for trial in trials)
            number += 1
        elif event < 0.4:
            for prompt in schedule.unread():
                prompt.read = min(prompt.read + 7, len(prompt.job.tokens))
        elif event < 0.6:
            for admission in schedule.admit():
                ran[admission.job.number, admission.trial] += 1
        elif event < 0.999:
            running = [
                (n, s) for n, lane in enumerate(schedule.lanes) for s, held in enumerate(lane.slots) if held
            ]
            if running:
                schedule.finish(*rng.choice(running))
        else:
            schedule.abort()
            wanted = ran.copy()
            assert schedule.pages_in_use == 0
        if rng.random() < 0.05:
            check(schedule)
    for _ in range(10_000):  # drain: it must come to an end by itself
        if not schedule.unfinished:
            break
        for prompt in schedule.unread():
            prompt.read = len(prompt.job.tokens)
        for admission in schedule.admit():
            ran[admission.job.number, admission.trial] += 1
        check(schedule)
        for n, lane in enumerate(schedule.lanes):
            for s, held in enumerate(lane.slots):
                if held:
                    schedule.finish(n, s)
    assert not schedule.unfinished
    assert schedule.pages_in_use == 0
    assert ran == wanted
    assert set(ran.values()) <= {1}


def test_full_pages_of_a_prompt_are_shared_and_the_partial_one_is_copied():
    schedule = Schedule(lanes=1, slots=2, rows=1, pool_pages=20, page_size=PAGE)
    schedule.submit([Job(0, [0] * 10, 4, (0, 1))])
    [prompt] = schedule.unread()
    prompt.read = 10
    one, two = schedule.admit()
    assert one.pages[:2] == two.pages[:2]
    assert not set(one.pages[2:]) & set(two.pages[2:])
    assert one.copy_from == two.copy_from == prompt.pages[2]
    assert (one.copy_to, two.copy_to) == (one.pages[2], two.pages[2])


def test_samples_are_spread_over_lanes_that_would_stand_idle():
    schedule = Schedule(lanes=4, slots=2, rows=1, pool_pages=20, page_size=PAGE)
    schedule.submit([Job(0, [0] * 5, 4, tuple(range(8)))])
    prompts = schedule.unread()
    assert [len(prompt.trials) for prompt in prompts] == [2, 2, 2, 2]


def test_books_that_do_not_balance_are_refused():
    pool = PagePool(4)
    taken = pool.take(3)
    with pytest.raises(PageError, match="1 pages wanted, 0 of 3"):
        pool.take(1)
    pool.give_back(taken)
    with pytest.raises(PageError, match="given back by nobody"):
        pool.give_back(taken[:1])
    with pytest.raises(PageError, match="cannot be shared"):
        pool.share(taken[:1])
