"""Every config of a sweep can be planned: it fits its chips, and hours and dollars are said."""

import pytest

from kinetics_jax.commands.configs import load_config, packaged_configs
from kinetics_jax.policies import BlockTopK
from kinetics_jax.sweep import plan_sweep, plan_table
from kinetics_jax.sweep.options import OPTIONS, read

VARIANTS = {
    "aime": ("topk", "block_topk", "r1_distill", "2025_topk", "2025_block_topk"),
    "livecodebench": ("topk", "block_topk"),
}
SWEEPS = [
    f"{name}:{variant}" if variant else name
    for name in packaged_configs()
    if name != "law"
    for variant in ("", *VARIANTS.get(name, ()))
]


def test_there_are_configs_and_they_hold_every_option():
    assert len(SWEEPS) >= 12
    for name in SWEEPS:
        assert set(load_config(name)) == set(OPTIONS), name


@pytest.mark.parametrize("name", SWEEPS)
def test_it_can_be_planned(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    experiment = read(load_config(name).to_dict())
    plans = plan_sweep(experiment)
    assert len(plans) == len(experiment.cells)
    assert all(0 < plan.expected_hours <= plan.most_hours for plan in plans)
    assert all(plan.batch >= 1 for plan in plans)
    table = plan_table(experiment, plans)
    assert "chip-hours" in table
    assert "not measured" in table
    for cell in experiment.cells:
        assert cell.model.name in table
        assert cell.policy.label in table


def test_blocks_of_the_paper_are_16384_over_the_budget():
    dense, *policies = read(load_config("aime:block_topk").to_dict()).policies
    assert dense.kv_budget is None
    for policy, budget in zip(policies, (128, 256, 512, 1024, 2048), strict=True):
        assert isinstance(policy, BlockTopK)
        assert policy.kv_budget == budget
        assert policy.block_size * budget == 16_384


def test_every_model_of_the_paper_has_a_slice_and_the_largest_fewer_trials():
    for variant in ("topk", "r1_distill"):
        for model in read(load_config(f"aime:{variant}").to_dict()).models:
            assert (model.slice.chip, model.slice.devices) == ("tpu_v6e", 8), model.name
            assert model.slice.slots is not None
            assert model.trials == (8 if model.name.endswith("-32b") else 32)
