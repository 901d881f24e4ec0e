"""Prompts of a sweep: a system turn before each, and several turns where a task gives them."""

import dataclasses

import pytest

from kinetics_jax.engine.sample_log import iterate_samples
from kinetics_jax.errors import InputError
from kinetics_jax.sweep.plan import make_plan
from kinetics_jax.sweep.shares import cell_folder
from kinetics_jax.sweep.sweep import Sweep, load_tasks


def _prompt_tokens(sweep):
    (cell,) = sweep.experiment.cells
    samples = iterate_samples(cell_folder(sweep.root, cell))
    return {sample.problem_id: sample.prompt_tokens for sample in samples}


def _run(sweep):
    assert sweep.run().complete
    return _prompt_tokens(sweep)


def test_a_system_prompt_stands_before_every_problem(small, engines, tmp_path):
    options = {"policies": ("dense",), "trials": 1, "max_tokens": 2}
    plain = _run(Sweep(small(**options), tmp_path / "plain", opener=engines, quiet=True))
    brief = small(**options, system_prompt="Be brief.")
    with_system = _run(Sweep(brief, tmp_path / "brief", opener=engines, quiet=True))
    more = len("system\nBe brief.\n") + 2  # of which <|im_start|> and <|im_end|> are a token each
    assert with_system == {name: count + more for name, count in plain.items()}


def test_a_task_may_give_several_turns(small, engines, tmp_path):
    sweep = Sweep(small(policies=("dense",), trials=1, max_tokens=2), tmp_path, opener=engines, quiet=True)
    ((name, task),) = sweep.tasks.items()
    example = ({"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"})
    sweep.tasks[name] = dataclasses.replace(
        task,
        problems=tuple(
            dataclasses.replace(p, prompt=(*example, {"role": "user", "content": "5 + 5?"}))
            for p in task.problems
        ),
    )
    more = len("user\n1 + 1?\n") + len("assistant\n2\n") + len("user\n5 + 5?\n") + 6
    assert set(_run(sweep).values()) == {more + len("assistant\n") + 1}


def test_a_plan_counts_all_turns(small):
    loads = []
    for system in ("", "Be brief. " * 100):
        experiment = small(system_prompt=system)
        loads.append(make_plan(experiment, load_tasks(experiment))[0].load.prompts)
    assert all(more > plain + 200 for plain, more in zip(*loads, strict=True))


def test_token_ids_take_no_system_prompt(small, engines, tmp_path):
    experiment = small(tasks=("registers",), limit=2, system_prompt="Be brief.")
    with pytest.raises(InputError, match="token ids, which take no system prompt"):
        Sweep(experiment, tmp_path, opener=engines, quiet=True)
