"""Every config of a sweep can be planned: it fits its chips, and hours and dollars are said."""

import importlib
import pkgutil

import pytest

import configs
from configs import paper_grid, slices
from kinetics_jax.policies import BlockTopK
from kinetics_jax.sweep.options import OPTIONS, read
from kinetics_jax.sweep.plan import plan_table
from kinetics_jax.sweep.sweep import plan_sweep

SWEEPS = sorted(
    module.name
    for module in pkgutil.iter_modules(configs.__path__)
    if hasattr(importlib.import_module(f"configs.{module.name}"), "get_config")
    and set(importlib.import_module(f"configs.{module.name}").get_config()) == set(OPTIONS)
    and module.name != "paper_grid"
)


def test_there_are_configs():
    assert len(SWEEPS) >= 9


@pytest.mark.parametrize("name", SWEEPS)
def test_it_can_be_planned(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    experiment = read(importlib.import_module(f"configs.{name}").get_config().to_dict())
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
    for text, budget in zip(paper_grid.BLOCK_TOPK[1:], paper_grid.BUDGETS, strict=True):
        options = {"models": "a=b", "tasks": "aime24", "policies": (text,)}
        (policy,) = read(options).policies
        assert isinstance(policy, BlockTopK)
        assert policy.kv_budget == budget
        assert policy.block_size * budget == 16_384


def test_every_model_of_the_paper_has_a_slice():
    named = {text.partition("=")[0] for text in (*paper_grid.QWEN3, *paper_grid.R1_DISTILL)}
    assert named == {text.partition("=")[0] for text in slices.slices()}
