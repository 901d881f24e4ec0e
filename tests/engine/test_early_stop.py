"""Stopping a prompt changes which samples there are, and not a token of those that come."""

import collections
import random

import numpy as np
import pytest

from kinetics_jax.engine import Engine, SampleLog
from kinetics_jax.engine.schedule import Job, Schedule
from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem, SamplingParams
from kinetics_jax.scaling import FirstAccepted, LeadingAnswer, stop_by
from tests.engine.test_schedule import check

SAMPLING = SamplingParams(temperature=1.0, top_k=0, top_p=0.97, seed=5)
SIZES = {
    "slots": 3,
    "max_context": 96,
    "page_size": 8,
    "chunk_steps": 5,
    "prefill_chunk": 16,
    "prompt_rows": 3,
}


def problems(count=4) -> list[Problem]:
    rng = np.random.default_rng(2)
    return [
        Problem(task="t", problem_id=f"p{n}", prompt=tuple(rng.integers(0, 256, 5 + 9 * n).tolist()))
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def engines(model) -> dict[bool, Engine]:
    """By whether they share prompts."""
    return {share: Engine(model, **SIZES, share_prompts=share) for share in (True, False)}


@pytest.fixture(scope="module")
def engine(engines) -> Engine:
    return engines[True]


def generate(engine, count=4, **options):
    return engine.generate(problems(count), **{"n": 6, "max_tokens": 30, "sampling": SAMPLING} | options)


def decode(engine, **options):
    return list(generate(engine, **options))


@pytest.fixture(scope="module")
def everything(engine):
    return {sample.key: sample for sample in decode(engine)}


def by_problem(samples):
    return collections.Counter(sample.problem_id for sample in samples)


@pytest.mark.parametrize("at_once", [None, 1, 2])
@pytest.mark.parametrize("share", [True, False])
def test_samples_that_come_are_those_without_it(engines, everything, at_once, share):
    found = decode(engines[share], stop=lambda prompt, finished: len(finished) >= 1 + prompt, at_once=at_once)
    assert all(everything[sample.key] == sample for sample in found)
    assert len({sample.key for sample in found}) == len(found) < len(everything)
    for place, name in enumerate(f"p{n}" for n in range(4)):
        assert 1 + place <= by_problem(found)[name] <= 6


def test_one_at_a_time_draws_exactly_what_is_needed(engine, everything):
    found = decode(engine, stop=lambda prompt, finished: len(finished) >= 1 + prompt, at_once=1)
    assert by_problem(found) == {"p0": 1, "p1": 2, "p2": 3, "p3": 4}
    for sample in found:
        assert everything[sample.key].tokens == sample.tokens


def test_at_once_is_a_limit_by_prompt_and_changes_no_sample(model, everything):
    running = []
    mine = Engine(model, **SIZES, observe=lambda progress: running.append(progress.running))
    found = decode(mine, at_once=1)
    assert {sample.key: sample for sample in found} == everything
    assert max(running) > 1  # of several prompts
    running.clear()
    decode(mine, count=1, at_once=2)
    assert max(running) == 2  # of three slots


def test_what_had_finished_is_handed_over_and_what_runs_is_dropped(model):
    """All trials of a prompt run side by side and end at different steps."""
    options = {"n": 6, "max_tokens": 60, "sampling": SAMPLING, "stop_ids": tuple(range(200, 208))}
    asked = []

    def first(prompt, finished):
        asked.append(len(finished))
        return bool(finished)

    sizes = {"slots": 6, "max_context": 96, "page_size": 8, "prefill_chunk": 16}
    wide, narrow = Engine(model, chunk_steps=64, **sizes), Engine(model, chunk_steps=1, **sizes)
    every = {s.key: s for s in wide.generate(problems(1), stop=first, **options)}
    assert len(every) == 6  # one chunk was enough for all of them
    assert asked == [0, 1]  # after True nobody is asked again
    assert len({s.generated_tokens for s in every.values()}) > 2
    few = list(narrow.generate(problems(1), stop=first, **options))
    assert len(few) < 6
    shortest = min(s.generated_tokens for s in every.values())
    assert {s.generated_tokens for s in few} == {shortest}
    assert all(every[s.key].tokens == s.tokens for s in few)
    again = list(narrow.generate(problems(1), **options))
    assert {s.key: s for s in again} == every  # nothing is left of what was dropped


def test_a_prompt_may_be_over_before_it_begins(engine):
    found = decode(engine, stop=lambda prompt, finished: prompt != 2)
    assert by_problem(found) == {"p2": 6}
    assert decode(engine, stop=lambda prompt, finished: True) == []


def test_rules_of_the_scaling_room_are_carried_out_with_a_grader(engine, everything):
    def right(prompt, sample):
        return sum(sample.tokens) % 3 == 0

    rule = FirstAccepted(alpha=1.0, beta=2.0, worth=float("inf"), limit=6)
    found = decode(engine, stop=stop_by(rule, right), at_once=1)
    for n in range(4):
        drawn = [s for s in found if s.problem_id == f"p{n}"]
        verdicts = [right(n, s) for s in sorted(drawn, key=lambda s: s.trial)]
        assert verdicts[:-1] == [False] * (len(verdicts) - 1)
        assert verdicts[-1] or len(verdicts) == 6
    vote = LeadingAnswer(certainty=0.7, limit=6)
    voted = decode(engine, stop=stop_by(vote, lambda prompt, sample: "always this"), at_once=1)
    assert by_problem(voted) == dict.fromkeys(("p0", "p1", "p2", "p3"), 1)


def test_a_log_is_gone_on_with(engine, everything, tmp_path):
    """A stopped run leaves a log; the rule sees only new samples, so its caller counts the old ones."""
    with SampleLog(tmp_path) as log:
        stop = lambda prompt, finished: len(finished) >= 2  # noqa: E731
        for sample in generate(engine, done=log.done, at_once=1, stop=stop):
            log.append(sample)
    with SampleLog(tmp_path) as log:
        assert len(log.done) == 8
        old = collections.Counter(key[1] for key in log.done)
        stop = lambda prompt, finished: len(finished) + old[f"p{prompt}"] >= 3  # noqa: E731
        for sample in generate(engine, done=log.done, at_once=1, stop=stop):
            assert everything[sample.key] == sample
            log.append(sample)
        assert len(log.done) == 12


@pytest.mark.parametrize("at_once", [None, 1, 3])
def test_stopping_at_random_leaks_no_page_and_runs_everything_else(at_once):
    rng = random.Random(at_once)
    schedule = Schedule(lanes=2, slots=3, rows=2, pool_pages=40, page_size=4, at_once=at_once)
    wanted, ran, stopped = collections.Counter(), collections.Counter(), set()
    for step in range(4_000):
        if rng.random() < 0.1 and schedule.queued < 20:
            job = Job(step, [0] * rng.randint(1, 25), rng.randint(1, 30), tuple(range(rng.randint(1, 6))))
            schedule.submit([job])
            wanted[step] = len(job.trials)
        for prompt in schedule.unread():
            prompt.read = min(prompt.read + 7, len(prompt.job.tokens))
        ran.update(admission.job.number for admission in schedule.admit())
        running = [
            (n, s, a.job.number)
            for n, lane in enumerate(schedule.lanes)
            for s, a in enumerate(lane.slots)
            if a
        ]
        counts = collections.Counter(number for _, _, number in running)
        assert max(counts.values(), default=0) <= (at_once or 6)
        if running and rng.random() < 0.1:
            number = rng.choice(running)[2]
            left = schedule.left(number)
            assert len(schedule.stop(number)) == counts[number] <= left
            assert schedule.left(number) == 0
            stopped.add(number)
        elif running and rng.random() < 0.7:
            schedule.finish(*rng.choice(running)[:2])
        check(schedule)
    while schedule.unfinished:
        for prompt in schedule.unread():
            prompt.read = len(prompt.job.tokens)
        ran.update(admission.job.number for admission in schedule.admit())
        for n, lane in enumerate(schedule.lanes):
            for s in [s for s, held in enumerate(lane.slots) if held]:
                schedule.finish(n, s)
    assert schedule.pages_in_use == 0
    assert stopped
    assert all(ran[number] == count for number, count in wanted.items() if number not in stopped)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"stop": 3}, "stop=3 must be a function"),
        ({"stop": lambda p, f: None}, "must say True or False"),
        ({"at_once": 0}, "at_once=0"),
        ({"stop": lambda p, f: True, "stream": True, "n": 1}, "not together with stream"),
    ],
)
def test_what_cannot_be_asked_is_refused(engine, options, what):
    with pytest.raises(InputError, match=what):
        decode(engine, **options)
