"""Whatever ends a run early, at whichever place, the engine's next run is as if there had been none."""

import gc

import jax
import pytest

from kinetics_jax import models
from kinetics_jax.engine import Engine
from kinetics_jax.engine.collect import Collector
from kinetics_jax.engine.device import Device
from kinetics_jax.engine.generation import Run
from kinetics_jax.engine.schedule import Schedule
from kinetics_jax.errors import KineticsError, OutOfMemoryError
from kinetics_jax.models.memory import memory_in_one_line
from kinetics_jax.policies import BlockTopK
from kinetics_jax.records import SamplingParams

WARM = SamplingParams(temperature=1.0, top_k=0, top_p=1.0, seed=3)


class Preempted(BaseException):
    """What a signal handler may raise."""


@pytest.fixture(scope="module")
def engine(model):
    return Engine(
        model,
        policy=BlockTopK(16, 2),
        slots=2,
        max_context=128,
        chunk_steps=4,
        prefill_chunk=32,
        tokenizer=models.ByteTokenizer(),
    )


def decode(engine, prompts):
    samples = engine.generate(prompts, n=2, max_tokens=12, sampling=WARM, stop_ids=[])
    return {sample.key: sample for sample in samples}


@pytest.fixture(scope="module")
def whole(engine, prompts):
    return decode(engine, prompts)


def strike(monkeypatch, owner, name, at, error, *, after):
    """Make call number ``at`` of a method raise, before or after it has done its work."""
    real, calls = getattr(owner, name), [0]

    def method(self, *arguments, **options):
        calls[0] += 1
        if calls[0] - 1 == at and not after:
            raise error
        found = real(self, *arguments, **options)
        if calls[0] - 1 == at:
            raise error
        return found

    monkeypatch.setattr(owner, name, method)


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Preempted(), RuntimeError("device")], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Device, "read"),
        (Device, "admit"),
        (Device, "decode"),
        (Device, "_lend"),
        (Device, "_keep"),
        (Collector, "add"),
        (Schedule, "admit"),
        (Run, "_sample"),
    ],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_an_exception_anywhere_costs_only_its_own_run(
    engine, prompts, whole, monkeypatch, owner, name, error, after, at
):
    strike(monkeypatch, owner, name, at, error, after=after)
    with pytest.raises(type(error)):
        decode(engine, prompts)
    monkeypatch.undo()
    before = engine.compilations
    assert decode(engine, prompts) == whole
    assert engine.compilations == before  # what was compiled is kept


def test_programs_that_take_the_state_and_fail_are_survived(engine, prompts, whole, monkeypatch):
    """As on an accelerator: the buffers are gone, and no new ones came back."""
    for when in ("read", "decode"):
        real = Device._program

        def failing(self, name, function, real=real, when=when, **options):
            run = real(self, name, function, **options)

            def call(leaves, state, *arguments):
                run(leaves, state, *arguments)
                if name == when:
                    raise jax.errors.JaxRuntimeError("INTERNAL: the device is gone")
                raise AssertionError(name)

            return call if name == when else run

        monkeypatch.setattr(Device, "_program", failing)
        with pytest.raises(jax.errors.JaxRuntimeError, match="device is gone"):
            decode(engine, prompts)
        monkeypatch.undo()
        assert decode(engine, prompts) == whole


def test_one_pool_at_a_time_though_a_traceback_holds_the_last(engine, prompts, whole, monkeypatch):
    """A notebook keeps the frames of its last exception, and with them the arrays they had."""
    held = []

    def interrupted(self, name, function, **options):
        def call(leaves, state, *arguments):
            held.append(state)
            raise KeyboardInterrupt  # while it was being compiled: nothing is donated yet

        return call

    monkeypatch.setattr(Device, "_program", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decode(engine, prompts)
    monkeypatch.undo()
    assert decode(engine, prompts) == whole
    assert all(array.is_deleted() for array in jax.tree.leaves(held[0]))


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_runs_given_up_half_way(engine, prompts, whole, taken):
    running = engine.generate(prompts, n=2, max_tokens=12, sampling=WARM, stop_ids=[])
    for _ in range(taken):
        next(running)
    del running
    gc.collect()
    assert decode(engine, prompts) == whole


def test_an_observer_and_a_callers_own_error(engine, prompts, whole, monkeypatch):
    def observe(progress):
        raise SystemExit(143)

    monkeypatch.setattr(engine, "_observe", observe)
    with pytest.raises(SystemExit):
        decode(engine, prompts)
    monkeypatch.undo()
    running = engine.generate(prompts, n=2, max_tokens=12, sampling=WARM, stop_ids=[])
    next(running)
    with pytest.raises(KeyboardInterrupt):
        running.throw(KeyboardInterrupt)
    assert decode(engine, prompts) == whole


@pytest.mark.parametrize(
    ("error", "caught"),
    [
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nx"),
            OutOfMemoryError,
        ),
        (MemoryError(), OutOfMemoryError),
        (MemoryError("Unable to allocate 9 TiB"), OutOfMemoryError),
        (jax.errors.JaxRuntimeError("INTERNAL: broken"), jax.errors.JaxRuntimeError),
        (ValueError("other"), ValueError),
    ],
)
def test_memory_that_is_not_there_is_one_line(error, caught):
    with pytest.raises(caught) as found, memory_in_one_line("the weights of m", "buy more"):
        raise error
    if caught is OutOfMemoryError:
        assert isinstance(found.value, KineticsError)
        assert str(found.value).startswith("the weights of m do not fit the memory (")
        assert str(found.value).endswith("): buy more")
        assert "\n" not in str(found.value)


def test_a_pool_larger_than_the_memory_is_one_line_and_a_smaller_one_works(model, prompts):
    huge = Engine(model, slots=10**8, max_context=128, chunk_steps=4)
    with pytest.raises(OutOfMemoryError, match="samples of up to 128 tokens do not fit"):
        next(huge.generate(prompts))
    with pytest.raises(OutOfMemoryError):  # and not "generating already"
        next(huge.generate(prompts))
