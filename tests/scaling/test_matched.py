"""Sides are compared on one temperature, one cap and one number of trials, or it is said why not."""

import numpy as np
import pytest

from kinetics_jax.policies import TopK
from kinetics_jax.scaling.traces.matched import apart_by_source, match_sides
from kinetics_jax.shapes import presets


@pytest.fixture
def cell(make_cell):
    """``make_cell`` of a preset, so that it has a size."""

    def make(model="Qwen3-4B", cap=32_768, **fields):
        made = make_cell(model=model, max_tokens=cap, shape=presets.get(model), **fields)
        if cap is not None:  # a run never goes on beyond its cap, and what was cut is wrong
            made.correct[made.generated_tokens > cap] = False
            np.minimum(made.generated_tokens, cap, out=made.generated_tokens)
        return made

    return make


def test_sides_that_are_alike_stay_as_they_are(cell):
    cells = [cell("Qwen3-0.6B"), cell("Qwen3-4B", seed=1), cell("Qwen3-4B", policy=TopK(256), seed=2)]
    found = match_sides(cells)
    assert found.cells == tuple(cells)
    assert (found.notes, found.skipped, found.not_comparable) == ((), (), {})


def test_a_longer_run_is_cut_to_the_shorter_cap(cell):
    """Exactly what a run with that cap would have given: the same tokens up to it, wrong beyond."""
    long, short = cell("Qwen3-14B"), cell("Qwen3-4B", cap=4096)
    found = match_sides([long, short])
    cut = found.cells[0]
    assert [c.max_tokens for c in found.cells] == [4096, 4096]
    np.testing.assert_array_equal(cut.generated_tokens, np.minimum(long.generated_tokens, 4096))
    np.testing.assert_array_equal(cut.correct, long.correct & (long.generated_tokens <= 4096))
    assert "cap of 4,096 tokens, that of Qwen3-4B" in found.notes[0]
    assert "Qwen3-14B" in found.notes[0]


def test_a_cap_that_no_trace_met_limits_nobody(cell):
    """The smaller model was run with half of the cap, and ended on its own in every trace."""
    brief = cell("Qwen3-4B", cap=16_384, generated_tokens=np.full((8, 8), 900.0))
    long = cell("Qwen3-14B", cap=32_768)
    assert match_sides([long, brief]).cells == (long, brief)


def test_a_cap_that_was_not_recorded_shows_in_traces_that_stop_at_one_count(cell):
    stopped = cell("Qwen3-4B", cap=4096)
    unknown = cell("Qwen3-4B", cap=None, generated_tokens=stopped.generated_tokens, correct=stopped.correct)
    found = match_sides([cell("Qwen3-14B"), unknown])
    assert found.cells[0].max_tokens == 4096


def test_one_side_may_have_many_caps(cell):
    """A sweep over caps is a law about length; only caps that no other side has are left out."""
    sweep = [cell("Qwen3-4B", cap=cap) for cap in (2048, 4096, 8192)]
    assert match_sides(sweep).cells == tuple(sweep)
    other = cell("Qwen3-14B", cap=4096)
    found = match_sides([*sweep, other])
    assert found.cells == (*sweep[:2], other)
    assert "left out, as a run with that cap is there" in found.notes[0]


def test_trials_are_limited_to_what_every_side_has(cell):
    found = match_sides([cell("Qwen3-14B", samples=4), cell("Qwen3-4B", samples=16)])
    assert [c.max_trials for c in found.cells] == [4, 4]
    assert (
        "N is at most 4 on all sides, the samples of Qwen3-14B (dense); others have up to 16"
        in found.notes[0]
    )


def test_temperatures_cannot_be_made_alike(cell):
    greedy, sampled = cell("Qwen3-14B", temperature=0.0), cell("Qwen3-4B", temperature=0.6)
    found = match_sides([greedy, sampled, cell("Qwen3-0.6B", temperature=0.6)])
    assert [c.model for c in found.cells] == ["Qwen3-4B", "Qwen3-0.6B"]
    assert "sampled at temperature 0, not comparable with 0.6" in found.skipped[0]
    assert found.not_comparable == {"sizes": "temperatures 0 and 0.6"}


def test_a_temperature_that_all_sides_have_is_enough(cell):
    cells = [cell("Qwen3-14B", temperature=t) for t in (0.0, 0.6)] + [cell("Qwen3-4B", temperature=0.6)]
    found = match_sides(cells)
    assert found.cells == tuple(cells[1:])
    assert found.not_comparable == {}


def test_policies_at_two_temperatures_are_not_compared(cell):
    dense, sparse = cell(temperature=0.6), cell(policy=TopK(256), temperature=1.0)
    assert match_sides([dense, sparse]).not_comparable == {"policies": "temperatures 0.6 and 1"}


def test_policies_of_two_sources_are_not_compared(cell):
    """A source has a grader and a prompt of its own."""
    dense, sparse = cell(), cell(policy=TopK(256), source="other")
    why = {"policies": "sources other and simulated"}
    assert apart_by_source([dense, sparse]) == {("simulated", "made-up"): why, ("other", "made-up"): why}
    assert apart_by_source([dense, sparse, cell(source="other")]) == {}


def test_sizes_under_different_policies_are_not_compared(cell):
    """What a policy does is not taken for what a size does."""
    dense, sparse = cell("Qwen3-14B"), cell("Qwen3-4B", policy=TopK(256))
    found = match_sides([dense, sparse])
    assert found.not_comparable == {"sizes": "no policy is common to all models: dense and top-k 256"}
    assert match_sides([dense, sparse, cell("Qwen3-4B")]).not_comparable == {}
