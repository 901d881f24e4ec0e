"""How models are laid on TPU slices, and how the largest batch is found (N query heads, K KV heads)."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("libtpu", reason="asks libtpu for the slices (the aot extra)")
from kinetics_jax.ahead_of_time import slices
from kinetics_jax.ahead_of_time.fit import Fit, Placement
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets

GIB = 2**30


def _ways(preset: str, topology: str) -> set[tuple[int, int]]:
    return {(p.model, p.expert) for p in slices.placements(presets[preset], topology)}


def test_heads_divide_wherever_a_model_is_laid():
    assert _ways("qwen2.5-7b", "v5e:2x4") == {(1, 1), (2, 1), (4, 1)}  # N = 28, K = 4
    assert _ways("qwen2.5-14b", "v5e:4x4") == {(1, 1), (2, 1), (4, 1), (8, 1)}  # N = 40, K = 8
    assert _ways("qwen2.5-72b", "v5e:4x4") >= {(8, 1), (16, 1)}  # N = 64, K = 8: heads shared by two
    assert _ways("qwen3-30b-a3b", "v6e:2x2") == {(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1)}
    for preset in presets:
        config = presets[preset]
        for place in slices.placements(config, "tpu7x:2x2x2"):
            assert config.num_query_heads % place.model == 0
            share = config.num_query_heads // place.model
            assert config.queries_per_kv % share == 0 or share % config.queries_per_kv == 0


def test_the_best_placement_holds_most():
    best = slices.best_placement(presets["qwen2.5-7b"], "tpu7x:2x2x1", capacity=32_768)
    assert (best.placement.model, best.groups) == (4, 2)  # 28 heads do not divide over 8
    best = slices.best_placement(presets["qwen3-235b-a22b"], "v5p:2x2x2", capacity=32_768)
    assert (best.placement.model, best.placement.expert) == (4, 2)
    assert best.weights == pytest.approx(2 * presets["qwen3-235b-a22b"].total_params / 8, rel=0.05)
    assert slices.best_placement(presets["qwen2.5-72b"], "v5e:2x4", capacity=32_768).batch == 0


def test_an_estimate_counts_what_a_device_holds():
    config = presets["qwen3-8b"]
    found = slices.estimate(config, Placement(topology="v5e:2x2", model=2), 1024, None)
    assert found.groups == 2
    assert found.weights == pytest.approx(config.total_params, rel=0.01)  # bf16, over two devices
    lengths = 4  # one int32 per sequence
    assert found.per_group == config.kv_bytes_per_token() * 1024 / 2 + lengths


def test_unknown_chips_and_hopeless_models():
    with pytest.raises(InputError, match="chip 'v9' has no slices to try; known: v4, v5e, v5p, v6e, tpu7x"):
        slices.largest_on_smallest(presets["qwen3-8b"], "v9", capacity=32_768)


@given(
    groups=st.sampled_from([1, 2, 16]),
    fixed=st.floats(0, 14),
    cost=st.floats(0.01, 5),
    padding=st.floats(1, 2.5),
    ripple=st.floats(0, 0.3),
)
def test_the_search_ends_where_the_next_batch_is_refused(groups, fixed, cost, padding, ripple):
    """Against a made-up compiler: memory linear in the batch, dearer than estimated, and not smooth."""
    limit, asked = 15.75 * GIB, []

    def compiler(config, placement, *, batch, capacity, quantize):
        del config, placement, capacity, quantize
        assert batch > 0
        assert batch % groups == 0
        assert batch not in asked
        asked.append(batch)
        steps = batch // groups
        needed = (fixed + padding * cost * steps + ripple * (steps % 3)) * GIB
        fits = needed <= limit
        return Fit(fits=fits, needed=needed, available=None if fits else limit)

    begin = slices.Estimate(
        placement=Placement(topology="v5e:1x1"),
        groups=groups,
        weights=int(fixed * GIB),
        per_group=int(cost * GIB),
        room=limit,
    )
    if begin.batch == 0:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "compile_decode", compiler)
        found = slices.search(presets["tiny-dense"], begin, 64, None)
    if found is None:
        assert groups in asked
        assert fixed + padding * cost > 15.75 - ripple
        return
    assert found.fit.fits
    assert not found.refused.fits
    assert found.refused_batch == found.batch + groups
    assert len(asked) <= 12


def test_the_next_slice_is_tried_where_one_is_refused(monkeypatch):
    """The estimate lets 4B onto one v5e; this compiler does not."""
    tried = []

    def search(config, begin, capacity, quantize):
        del config, capacity, quantize
        tried.append(begin.placement.topology)
        if len(tried) < 2:
            return None
        fit = Fit(fits=True, needed=1.0, available=None)
        refused = dataclasses.replace(fit, fits=False)
        return slices.Largest(placement=begin.placement, batch=1, fit=fit, refused_batch=2, refused=refused)

    monkeypatch.setattr(slices, "search", search)
    found = slices.largest_on_smallest(presets["qwen3-4b"], "v5e", capacity=32_768)
    assert tried == ["v5e:1x1", "v5e:2x2"]
    assert found.placement.topology == "v5e:2x2"
