"""A sample does not depend on its neighbours: any order, slot, chunk size or restart, the same tokens."""

import random

import numpy as np
import pytest

from kinetics_jax.engine import Engine
from kinetics_jax.policies import BlockTopK, Dense, RandomSelect
from kinetics_jax.records import Problem, SamplingParams

SAMPLING = SamplingParams(temperature=1.0, top_k=0, top_p=0.97, seed=5)
POLICIES = (
    Dense(),
    BlockTopK(8, 2, dense_layers=0),
    RandomSelect(12),
    BlockTopK(8, 2, dense_layers=0, min_context=45),  # contexts are 3 … 70: short rows beside long ones
)


def problems() -> list[Problem]:
    rng = np.random.default_rng(2)
    return [
        Problem(task="t", problem_id=f"p{n}", prompt=tuple(rng.integers(0, 256, size).tolist()))
        for n, size in enumerate((3, 8, 21, 40))
    ]


def engine(model, policy, **options) -> Engine:
    sizes = {"slots": 3, "max_context": 96, "page_size": 8, "chunk_steps": 5, "prefill_chunk": 16}
    return Engine(model, policy=policy, **(sizes | options))


def decode(one: Engine, asked, **options) -> dict:
    options = {"n": 3, "max_tokens": 30, "sampling": SAMPLING} | options
    return {sample.key: sample for sample in one.generate(asked, **options)}


def random_schedule(engines: list[Engine], rng: random.Random) -> dict:
    """All samples by some path: shuffled problems and trials, engines of several chunk sizes, restarts."""
    found: dict = {}
    while len(found) < 12:
        asked = rng.sample(problems(), 4)
        trials = rng.sample(range(3), 3)
        running = rng.choice(engines).generate(
            asked, n=trials, max_tokens=30, sampling=SAMPLING, done=list(found)
        )
        for count, sample in enumerate(running):
            assert sample.key not in found
            found[sample.key] = sample
            if count >= rng.randint(0, 12):  # the machine is taken away: what runs is lost
                running.close()
                break
    return found


@pytest.fixture(scope="module", params=POLICIES, ids=lambda policy: policy.name)
def several(model, request):
    """Engines of one policy that differ in what must not matter, and what a plain run gives."""
    policy = request.param
    engines = [
        engine(model, policy),
        engine(model, policy, chunk_steps=1, prompt_rows=1),
        engine(model, policy, chunk_steps=17, share_prompts=False),
    ]
    return engines, decode(engines[0], problems())


def test_any_schedule_gives_the_same_samples(several):
    engines, expected = several
    assert len(expected) == 12
    assert len({sample.tokens for sample in expected.values()}) == 12
    for seed in range(3):
        assert random_schedule(engines, random.Random(seed)) == expected


@pytest.mark.slow
def test_two_hundred_random_schedules(several):
    engines, expected = several
    for seed in range(100, 167):  # for each of four policies
        assert random_schedule(engines, random.Random(seed)) == expected


def test_alone_and_in_company(several):
    """One sample alone in an engine of the same shapes, bit for bit the one of the full batch."""
    engines, expected = several
    for key in list(expected)[::4]:
        [problem] = [p for p in problems() if p.problem_id == key[1]]
        assert decode(engines[0], [problem], n=[key[2]])[key] == expected[key]


def test_sharing_prompts_changes_no_sample(several):
    engines, expected = several
    assert decode(engines[2], problems()) == expected


def test_seeds_trials_and_problems_are_streams_of_their_own(model, several):
    engines, expected = several
    other = decode(engines[0], problems(), sampling=SamplingParams(temperature=1.0, seed=6))
    assert all(other[key].tokens != expected[key].tokens for key in expected)
    renamed = [Problem(task="u", problem_id=p.problem_id, prompt=p.prompt) for p in problems()]
    other = decode(engines[0], renamed)
    assert all(other[("u", *key[1:])].tokens != expected[key].tokens for key in expected)
