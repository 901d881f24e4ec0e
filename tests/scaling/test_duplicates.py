"""Copies of samples are found whatever their labels; samples that are alike by chance are left alone."""

import itertools

import numpy as np
import pytest

from kinetics_jax.policies import Dense, TopK
from kinetics_jax.scaling.traces.comparable import comparable_families
from kinetics_jax.scaling.traces.duplicates import without_copies
from kinetics_jax.scaling.traces.trials import NOT_RECORDED, InputFile, Trials


def make_trials(tokens, correct, **columns):
    """A table of one cell from arrays [Q, S], as a file a.csv."""
    problems, samples = tokens.shape
    count = tokens.size

    def text(value):
        return np.full(count, value, dtype=object)

    fields = {
        "source": text("sim"),
        "model": text("Qwen3-4B"),
        "dataset": text("math"),
        "problem_id": np.repeat([str(q) for q in range(problems)], samples).astype(object),
        "trial": np.tile([str(s) for s in range(samples)], problems).astype(object),
        "variant": text(""),
        "policy": np.zeros(count, np.int64),
        "prompt_tokens": np.full(count, 100.0),
        "generated_tokens": tokens.ravel().astype(np.int64),
        "correct": correct.ravel().astype(bool),
        "max_tokens": np.full(count, 8192),
        "temperature": np.full(count, 0.6),
        "file": np.zeros(count, np.int64),
        "line": np.arange(count) + 2,
        "deployment": np.full(count, NOT_RECORDED),
        "answer": np.full(count, None, dtype=object),
    }
    inputs = (InputFile("runs/a.csv", "0", "csv", count), InputFile("runs/b.csv", "1", "csv", count))
    return Trials(**{**fields, **columns}, policies=(Dense(), TopK(64)), inputs=inputs)


def together(*tables):
    names = [name for name in vars(tables[0]) if name not in ("policies", "inputs", "shapes")]
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return Trials(**columns, policies=tables[0].policies, inputs=tables[0].inputs)


def changed(table, **values):
    columns = {name: np.full(len(table), value, getattr(table, name).dtype) for name, value in values.items()}
    return together(type(table)(**{**vars(table), **columns}))


def draw(rng, problems=30, samples=8, mean=3000.0):
    tokens = np.minimum(rng.gamma(4, mean / 4, (problems, samples)).astype(int) + 1, 8192)
    return tokens, rng.random((problems, samples)) < rng.beta(1, 1, problems)[:, None]


SHORT = {
    "geometric": lambda rng, size: rng.geometric(0.2, size),
    "multiples of eight": lambda rng, size: 8 * rng.poisson(3.0, size),
    "one form half of the time": lambda rng, size: np.where(
        rng.random(size) < 0.5, 12, rng.integers(5, 60, size)
    ),
    "two forms": lambda rng, size: rng.choice([5, 9], size),
    "one token": lambda rng, size: np.ones(size, int),
    "few hundred tokens": lambda rng, size: rng.integers(300, 320, size),
    "long, one of five": lambda rng, size: rng.choice([400, 800, 1200, 1600, 2000], size),
}


@pytest.mark.parametrize("kind", SHORT)
@pytest.mark.parametrize("samples", [2, 4, 16])
def test_short_answers_that_repeat_by_themselves_raise_no_alarm(kind, samples):
    """At most one in a hundred sets (150 sets a kind)."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(150):
        problems = int(rng.choice([10, 30, 100]))
        correct = rng.random((problems, samples)) < rng.beta(0.5, 0.5, problems)[:, None]
        found = without_copies(make_trials(SHORT[kind](rng, (problems, samples)), correct))
        alarms += bool(found.skipped or found.warnings)
    assert alarms <= 1


@pytest.mark.parametrize("times", [2, 3, 4])
@pytest.mark.parametrize("samples", [1, 4])
def test_samples_stored_several_times_count_once(times, samples):
    tokens, correct = draw(np.random.default_rng(times), samples=samples)
    found = without_copies(make_trials(np.tile(tokens, times), np.tile(correct, times)))
    assert len(found.trials) == tokens.size
    assert sorted(found.trials.generated_tokens) == sorted(tokens.ravel())
    said = found.warnings["sim", "math"][0]
    assert f"{(times - 1) * tokens.size:,} of {times * tokens.size:,} samples repeat others" in said
    assert "a.csv" in said


def test_the_order_of_copies_does_not_matter():
    rng = np.random.default_rng(0)
    tokens, correct = (np.tile(values, 2) for values in draw(rng, samples=4))
    order = rng.permuted(np.tile(np.arange(8), (30, 1)), axis=1)
    shuffled = make_trials(np.take_along_axis(tokens, order, 1), np.take_along_axis(correct, order, 1))
    assert len(without_copies(shuffled).trials) == 120


def test_short_answers_stored_twice_are_found():
    """Fifty problems with answers of a few tokens: parity tells what rarity cannot."""
    rng = np.random.default_rng(0)
    tokens, correct = rng.geometric(0.2, (50, 8)), rng.random((50, 8)) < 0.5
    assert len(without_copies(make_trials(np.tile(tokens, 2), np.tile(correct, 2))).trials) == tokens.size


def test_half_of_the_problems_stored_twice_are_found():
    tokens, correct = draw(np.random.default_rng(0), samples=8)
    first = make_trials(tokens, correct)
    again = first.select(np.arange(len(first)) < len(first) // 2)
    again = changed(again, file=1)
    again.trial[:] = [f"1{label}" for label in again.trial]
    found = without_copies(together(first, again))
    assert len(found.trials) == tokens.size
    assert "b.csv" in found.skipped[0]


def test_a_part_of_the_samples_stored_twice_is_warned_of():
    """Half of each problem's samples came again: which is the copy cannot be told, so all stay."""
    tokens, correct = draw(np.random.default_rng(0), problems=60, samples=16)
    table = make_trials(np.hstack([tokens, tokens[:, :8]]), np.hstack([correct, correct[:, :8]]))
    found = without_copies(table)
    assert len(found.trials) == len(table)
    assert "have the same length and outcome, beyond chance (a.csv)" in found.warnings["sim", "math"][0]


@pytest.mark.parametrize(
    "change", [{"source": "copy"}, {"model": "Qwen3-8B"}, {"variant": "b"}, {"temperature": 1.0}]
)
def test_the_same_samples_under_another_name_are_left_out(change):
    first = make_trials(*draw(np.random.default_rng(0)))
    found = without_copies(together(first, changed(first, file=1, **change)))
    assert len(found.trials) == len(first)
    assert "has the samples of" in found.skipped[0]
    assert "b.csv" in found.skipped[0]


@pytest.mark.parametrize("samples", [4, 16])
def test_some_samples_copied_over_others_are_warned_of(samples):
    """One long trace in seven is a copy of another of its problem; by chance their lengths hardly agree."""
    rng = np.random.default_rng(samples)
    tokens, correct = draw(rng, problems=200, samples=samples)
    copied = rng.random(tokens.shape) < 0.14
    source = rng.integers(0, samples, tokens.shape)
    table = make_trials(
        np.where(copied, np.take_along_axis(tokens, source, 1), tokens),
        np.where(copied, np.take_along_axis(correct, source, 1), correct),
    )
    assert without_copies(table).warnings


@pytest.mark.parametrize("step", [1, 40])
@pytest.mark.parametrize("samples", [2, 4, 16])
def test_long_traces_that_are_independent_raise_no_alarm(samples, step):
    """Also where lengths are multiples of something."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(60):
        tokens, correct = draw(rng, problems=int(rng.choice([10, 60])), samples=samples)
        alarms += bool(without_copies(make_trials(-(-tokens // step) * step, correct)).warnings)
    assert alarms == 0


@pytest.mark.parametrize("change", [{"policy": 1}, {"max_tokens": 4096}, {"dataset": "other"}])
def test_what_may_be_alike_by_design_stays(change):
    """Policies under one seed that read everything, one run cut at two caps, two data sets."""
    first = make_trials(*draw(np.random.default_rng(0)))
    table = together(first, changed(first, **change))
    assert len(without_copies(table).trials) == len(table)


@pytest.mark.parametrize("sure", [0.6, 0.85, 0.95])
@pytest.mark.parametrize("problems", [200, 1000])
def test_a_model_that_is_nearly_sure_is_no_copy(sure, problems):
    """Traces of a machine have the length of the task: samples of most problems are alike, right or wrong."""
    rng = np.random.default_rng(0)
    tokens = np.repeat(rng.integers(400, 1900, (problems, 1)), 4, axis=1)
    correct = rng.random((problems, 4)) < np.where(rng.random((problems, 1)) < sure, 1.0, 0.5)
    found = without_copies(make_trials(tokens, correct))
    assert (found.skipped, dict(found.warnings)) == ((), {})


def test_greedy_samples_are_copies_by_nature():
    tokens, correct = draw(np.random.default_rng(0), samples=1)
    table = make_trials(np.tile(tokens, 4), np.tile(correct, 4), temperature=np.zeros(4 * tokens.size))
    assert not without_copies(table).skipped


def test_traces_that_were_all_cut_say_nothing():
    tokens = np.full((40, 8), 8192)
    assert not without_copies(make_trials(tokens, np.zeros(tokens.shape))).skipped


def test_a_family_says_what_was_left_out():
    tokens, correct = draw(np.random.default_rng(0), samples=4)
    (family,), skipped = comparable_families(make_trials(np.tile(tokens, 4), np.tile(correct, 4)))
    assert family.cells[0].max_trials == 4
    assert family.warnings[0] in family.notes
    assert any("repeat others" in reason for reason in skipped)


def test_divisible_counts_are_as_rare_as_the_docstring_says():
    """All counts even, given v distinct values: at most 2^-(v-1), by enumeration of small cases."""
    for samples, chances in (
        (4, (0.5, 0.5)),
        (6, (0.5, 0.5)),
        (4, (0.9, 0.1)),
        (6, (1 / 3,) * 3),
        (6, (0.6, 0.3, 0.1)),
    ):
        even, every = np.zeros(4), np.zeros(4)
        for draw_ in itertools.product(range(len(chances)), repeat=samples):
            counts = np.unique(draw_, return_counts=True)[1]
            chance = np.prod([chances[value] for value in draw_])
            every[len(counts)] += chance
            even[len(counts)] += chance * (counts % 2 == 0).all()
        for v in range(2, len(chances) + 1):
            assert even[v] <= every[v] * 2.0 ** (1 - v) + 1e-12
