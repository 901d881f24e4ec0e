"""The register machine: the batch simulator against a plain one, and what its problems promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax import tasks
from kinetics_jax.errors import InputError
from kinetics_jax.tasks.registers import (
    BANKS,
    END,
    HALT,
    REGISTERS,
    SPLITS,
    VOCABULARY,
    Machine,
    address,
    draw_memories,
    grade,
    make_problems,
    read_text,
    value,
    write_text,
)


def plain_trace(machine: Machine, memory: list[int], most: int) -> list[int]:
    """One machine with an overwritten memory: a dictionary in which later writes win."""
    latest = {(0, k): v for k, v in enumerate(memory)}
    tokens, x = [], memory[-1]
    for step in range(most):
        turn, k = divmod(step, REGISTERS)
        v = latest[turn % BANKS, x]
        w = int(machine.table[v, k % machine.columns])
        tokens += [address(turn, x), value(v), address(turn + 1, k)]
        tokens.append(HALT if w < 0 else value(w))
        if w < 0:
            break
        latest[(turn + 1) % BANKS, k] = x = w
    return [int(token) for token in tokens]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 8, 32, 64]), st.integers(1, 400))
def test_the_batch_runs_every_machine_as_a_plain_one(seed, columns, steps):
    machine = Machine(columns=columns, facts_per_halt=64, seed=seed)
    memories = np.random.default_rng(seed).integers(REGISTERS, size=(5, REGISTERS))
    traces = machine.run(memories, steps)
    for row, memory in enumerate(memories.tolist()):
        wanted = plain_trace(machine, memory, steps)
        got = traces.tokens_bt[row]
        assert got[: len(wanted)].tolist() == wanted
        assert (got[len(wanted) :] == END).all()
        halted = wanted[-1] == HALT
        assert traces.steps_b[row] == (len(wanted) // 4 if halted else steps + 1)


def test_a_read_needs_the_latest_of_several_far_writes():
    """Most reads lie beyond a window of an eighth of the context, and stale versions are around."""
    machine = Machine()
    draw = np.random.default_rng(0)
    traces = machine.run(draw_memories(draw, 2000, "validation"), 480)
    whole = np.concatenate([traces.prompts_bp, traces.tokens_bt], 1)[traces.steps_b > 480][:20]
    assert len(whole) == 20
    distances, stale_different = [], []
    for tokens in whole:
        for place in range(129 + 4 * 384, tokens.size, 4):
            entries = np.flatnonzero(tokens[: place - 1] == tokens[place])
            written = entries[(entries < 129) | ((entries - 129) % 4 == 2)]
            distances.append(place - written[-1])
            assert tokens[written[-1] + 1] == tokens[place + 1]
            stale_different.append(tokens[written[-2] + 1] != tokens[place + 1])
    assert np.mean(np.array(distances) > 256) > 0.4
    assert max(distances) < 2 * 4 * REGISTERS
    assert np.mean(stale_different) > 0.9


def test_splits_share_no_starting_memory_and_are_uniform():
    remainders = [set(of) for of in SPLITS.values()]
    assert len(set.union(*remainders)) == sum(map(len, remainders)) == 4
    for split, of in SPLITS.items():
        memories = draw_memories(np.random.default_rng(1), 6400, split)
        assert set((memories.sum(axis=1) % 4).tolist()) == set(of)
        share = np.bincount(memories[:, 0], minlength=REGISTERS) / 6400
        assert abs(share - 1 / REGISTERS).max() < 0.008  # 5 standard errors


def test_problems_are_seeded_prefix_stable_and_of_the_lengths_asked_for():
    few, many = make_problems(10, seed=3), make_problems(80, seed=3)
    assert many[:10] == few
    assert make_problems(10, seed=4)[0].prompt != few[0].prompt
    assert make_problems(10, seed=3, split="validation")[0].prompt != few[0].prompt
    steps = np.array([problem.extra["steps"] for problem in many])
    assert steps.min() >= 96
    assert steps.max() <= 480
    below_the_geometric_mean = np.mean(steps < (96 * 480) ** 0.5)
    assert 0.4 < below_the_geometric_mean < 0.6
    assert len({problem.prompt for problem in many}) == 80
    short = make_problems(4, shortest=8, longest=16)
    assert all(8 <= len(problem.answer) // 4 <= 16 for problem in short)


def test_only_the_whole_trace_is_correct():
    problem = make_problems(1)[0]
    trace = list(problem.answer)
    assert grade(problem, trace).correct
    assert grade(problem, [*trace, END, 5, 7]).correct
    assert grade(problem, write_text(trace)).correct
    draw = np.random.default_rng(0)
    for place in draw.choice(len(trace), 40, replace=False):
        other = trace.copy()
        other[place] = (other[place] + int(draw.integers(1, VOCABULARY))) % VOCABULARY
        assert not grade(problem, other).correct
    assert "wrong value read" in grade(problem, [trace[0], HALT]).reason
    for cut in (0, 1, len(trace) // 2, len(trace) - 1):
        verdict = grade(problem, trace[:cut])
        assert not verdict.correct
        assert "ends after" in verdict.reason
    assert grade(problem, [*trace, trace[0]]).reason == "goes on after halt"
    assert not grade(problem, [10**9, -4]).correct
    assert "no symbol" in grade(problem, "a17 5 q3").reason


def test_text_and_tokens_say_the_same():
    everything = range(VOCABULARY)
    assert list(read_text(write_text(everything))) == list(everything)
    with pytest.raises(InputError, match="is not a symbol"):
        write_text([VOCABULARY])


def test_the_task_is_listed_and_graded_like_any_other():
    task = tasks.load("registers", limit=3, split="validation", seed=9)
    assert len(task.problems) == 3
    grades = task.grade_many([(p, write_text(p.answer)) for p in task.problems])
    assert [g.correct for g in grades] == [True] * 3
    assert not task.grade(task.problems[0], write_text(task.problems[1].answer)).correct


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "dev"}, "split='dev'"),
        ({"shortest": 0}, "shortest=0"),
        ({"shortest": 500}, "longest=480"),
        ({"path": "x"}, "built in"),
        ({"shortest": 470, "longest": 471}, "too few machines"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(options, words):
    with pytest.raises(InputError, match=words):
        tasks.load("registers", **options)


def test_a_broken_machine_or_memory_is_refused():
    with pytest.raises(InputError, match="columns=7"):
        Machine(columns=7)
    with pytest.raises(InputError, match="facts_per_halt"):
        Machine(facts_per_halt=0)
    for memories in (np.zeros((2, 5), int), np.full((1, REGISTERS), REGISTERS)):
        with pytest.raises(InputError, match="memories"):
            Machine().run(memories, 4)
    with pytest.raises(InputError, match="steps=0"):
        Machine().run(np.zeros((1, REGISTERS), int), 0)
