"""The plan: what it counts, that more costs more, that the engine is the one priced, and what it refuses."""

import re

import pytest

from kinetics_jax.costs import get_chip
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, TopK
from kinetics_jax.records import Problem
from kinetics_jax.shapes import presets
from kinetics_jax.shapes.mesh import misfit
from kinetics_jax.sweep.decoding import CellStarted, decode_cells
from kinetics_jax.sweep.engine_contexts import shared_contexts
from kinetics_jax.sweep.engines import Engines
from kinetics_jax.sweep.experiment import EngineChoice, Experiment, ModelChoice, Slice, TaskChoice
from kinetics_jax.sweep.model_sources import check_source
from kinetics_jax.sweep.options import read
from kinetics_jax.sweep.plan import fit_on, make_plan, plan_table
from kinetics_jax.sweep.shares import Share
from kinetics_jax.sweep.sweep import plan_sweep
from kinetics_jax.tasks import Grade, InlineGrader, Task


def experiment(**options):
    given = {
        "models": "qwen3-8b=x",
        "tasks": "aime24=nowhere.jsonl",
        "max_tokens": 8192,
        "trials": 4,
        "policies": "dense,block_topk(16, 64)",
    }
    return read(given | options)


def test_it_counts_cells_samples_and_tokens(small):
    plans = make_plan(small(), {"gsm8k": small().tasks[0].load()})
    assert [plan.samples for plan in plans] == [12, 12]
    assert [plan.expected_tokens for plan in plans] == [72, 72]
    assert {plan.batch for plan in plans} == {3}


def test_problems_that_are_not_here_are_assumed_and_said_to_be():
    plans = plan_sweep(experiment())
    assert len(plans[0].load.prompts) == 30
    assert "nowhere.jsonl" in plan_table(experiment(), plans)


def test_sparse_is_cheaper_and_more_is_dearer():
    dense, sparse = plan_sweep(experiment())
    assert sparse.most_hours < dense.most_hours
    twice, _ = plan_sweep(experiment(trials=8))
    assert twice.expected_hours > 1.5 * dense.expected_hours
    assert dense.wall_hours == dense.expected_hours / dense.chips


def test_slots_that_no_sample_fills_share_no_weights():
    few, _ = plan_sweep(experiment(trials=1))
    assert (few.samples, few.batch) == (30, 30)
    assert few.slots > 30
    one, _ = plan_sweep(experiment(trials=1, slice={"chip": "b200", "slots": 30}))
    assert few.expected_hours == pytest.approx(one.expected_hours, rel=1e-12)
    split, _ = plan_sweep(experiment(trials=1, slice={"chip": "b200", "data": 4}))
    assert split.batch == 8  # 30 samples over 4 copies


def test_a_chip_without_a_price_has_no_dollars():
    plans = plan_sweep(experiment(chip="tpu7x"))
    assert plans[0].expected_dollars is None
    assert "no list price" in fit_on(experiment(chip="tpu7x"), plans)[0]


def test_a_plan_takes_the_laws_dtypes_and_market():
    dense, _ = plan_sweep(experiment())
    for change in ({"quantize": "int8"}, {"kv_dtype": "fp8"}):
        assert plan_sweep(experiment(**change))[0].expected_hours < dense.expected_hours
    apart, _ = plan_sweep(experiment(share_prefix=False))
    assert apart.expected_hours > dense.expected_hours
    spot, _ = plan_sweep(experiment(price_basis="specialty"))
    chip = get_chip("b200")
    ratio = chip.priced("specialty").usd_per_hour / chip.usd_per_hour
    assert spot.expected_dollars == pytest.approx(ratio * dense.expected_dollars)


def test_models_without_a_slice_lie_on_the_cheapest_number_of_chips():
    """With slots that its samples fill, and as many as the engine takes: by trying each number."""
    for options in ({"trials": 1}, {"trials": 64}, {"models": "qwen3-32b=x", "trials": 16}):
        found = plan_sweep(experiment(**options, policies="dense"))[0]
        given = {
            ways: plan_sweep(experiment(**options, policies="dense", tensor_parallel=ways))[0]
            for ways in (1, 2, 4, 8)
        }
        assert found.expected_hours == min(plan.expected_hours for plan in given.values())
        assert found.expected_hours == given[found.chips].expected_hours
    few, _ = plan_sweep(experiment(deployment="fewest_chips"))
    assert few.chips == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"models": "qwen3-32b=x", "slice": {"chip": "tpu_v5e"}}, "does not fit: 1 × tpu_v5e"),
        ({"slice": {"chip": "tpu_v6e", "model": 4, "slots": 400}}, "does not fit"),
        ({"slice": {"chip": "tpu_v6e"}, "max_context": 40_960, "max_tokens": 40_000}, "does not fit"),
        ({"max_tokens": 50_000}, "needs? a context|need a context"),
        ({"models": "gpt-9=x"}, "gpt-9"),
        ({"policies": "per_layer([dense, topk(k=512)])"}, "layers"),
        ({"tasks": "registers_of_nothing"}, "unknown task"),
        ({"slice": {"chip": "b200", "model": 7}}, "model=7 does not divide its 32 query heads"),
        ({"slice": {"chip": "b200", "model": 3, "data": 2}}, "model may be 1, 2, 4, 8, 16, 32"),
        (
            {"models": "r1-distill-qwen-7b=x", "slice": {"chip": "b200", "model": 7}},
            "model=7 and its 4 KV heads do not divide one another",
        ),
        ({"models": "qwen3-30b-a3b=x", "slice": {"chip": "b200", "expert": 3}}, "its 128 experts"),
        ({"slice": {"chip": "b200", "expert": 2}}, "it has no experts; spread sequences with data=2"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, word):
    with pytest.raises(InputError, match=word) as caught:
        plan_sweep(experiment(**change))
    assert "\n" not in str(caught.value)


def test_a_model_for_prices_is_planned_and_not_run():
    asked = experiment(models="MiniMaxAI/MiniMax-M2.5=random", slice={"chip": "h200", "model": 8})
    assert plan_sweep(asked)
    (choice,) = asked.models
    with pytest.raises(InputError, match=r"can be priced \(--dry_run\) but not run: half of each head"):
        check_source(choice)


LENGTHS = {
    "long": ((9, 5), 500),
    "short": ((3,), 100),
    "nearly_short": ((20, 30), 90),
    "nearly_long": ((7,), 480),
}


def several(**options):
    """An experiment of four tasks of token prompts, and those tasks."""
    tasks = {
        name: Task(
            name=name,
            max_tokens=cap,
            grader=InlineGrader(lambda problem, text: Grade(correct=False)),
            problems=tuple(Problem(task=name, problem_id=str(n), prompt=(1,) * n) for n in prompts),
        )
        for name, (prompts, cap) in LENGTHS.items()
    }
    model = ModelChoice(name="tiny-dense", source="random", trials=2, slice=options.pop("slice", Slice()))
    made = Experiment(
        name="several",
        models=(model,),
        policies=(Dense(), TopK(8)),
        chips=("tpu_v5e",),
        grade=False,
        report=False,
        tasks=tuple(TaskChoice(name=name) for name in tasks),
        **options,
    )
    return made, tasks


def engines_used(experiment, tasks, root):
    """Cell → the engine that it would be decoded with, and how many engines were made."""
    made, used = [], {}

    class Idle(Engines):
        def engine(self, *args):
            made.append(super().engine(*args))
            made[-1].generate = lambda *args, **options: (sample for sample in ())
            return made[-1]

    opener = Idle(experiment, lambda progress: None)
    for event in decode_cells(root, experiment, tasks, opener, share=Share()):
        if isinstance(event, CellStarted):
            used[event.cell] = made[-1]
    return used, len(made)


@pytest.mark.parametrize(
    ("options", "contexts", "engines"),
    [
        ({}, {"long": 512, "nearly_long": 512, "short": 128, "nearly_short": 128}, 4),
        ({"slice": Slice(slots=3)}, dict.fromkeys(LENGTHS, 512), 2),
        ({"max_tokens": 100}, dict.fromkeys(LENGTHS, 128) | {"nearly_short": 192}, 4),
        ({"engine": EngineChoice(max_context=600)}, dict.fromkeys(LENGTHS, 600), 2),
    ],
)
def test_the_plan_prices_the_engine_that_decodes(options, contexts, engines, tmp_path):
    experiment, tasks = several(**dict(options))
    plans = make_plan(experiment, tasks)
    assert {plan.cell.task: plan.context for plan in plans} == contexts
    used, made = engines_used(experiment, tasks, tmp_path)
    assert made == engines  # no more than one for each policy and context
    for plan in plans:
        engine = used[plan.cell]
        assert (engine.max_context, engine.policy) == (plan.context, plan.cell.policy)
        assert engine.config.slots in (None, plan.slots)
        assert plan.batch == min(plan.slots, plan.samples)


def test_a_short_task_costs_the_same_beside_a_long_one():
    alone = plan_sweep(experiment(tasks="gsm8k=nowhere", max_tokens=0))
    beside = plan_sweep(experiment(tasks="gsm8k=nowhere,aime24=nowhere", max_tokens=0))
    short = [plan for plan in beside if plan.cell.task == "gsm8k"]
    assert [plan.expected_hours for plan in short] == [plan.expected_hours for plan in alone]
    fixed = {"slice": {"chip": "b200", "slots": 16}, "max_tokens": 0}  # as many slots, long or short
    with_slots = plan_sweep(experiment(tasks="gsm8k=nowhere,aime24=nowhere", **fixed))
    assert len({plan.context for plan in with_slots}) == 1


def test_tasks_of_nearly_one_length_share_an_engine():
    auto, fixed = (ModelChoice(name="m", source="random", trials=1, slice=Slice(slots=s)) for s in (None, 4))
    needed = {"a": 100, "b": 1000, "c": 760, "d": 740, "e": 550}
    assert shared_contexts(auto, needed) == {"a": 100, "b": 1000, "c": 1000, "d": 740, "e": 550}
    assert shared_contexts(fixed, needed) == dict.fromkeys(needed, 1000)


def hours(text):
    return re.findall(r"([\d.,]+) chip-hours", text)


@pytest.mark.parametrize("chips", ["b200", "b200,h100,tpu_v5e", "h100,b200"])
def test_a_chip_has_one_total(chips):
    asked = experiment(chip=chips, models="qwen3-8b=x,qwen3-1.7b=y", tasks="gsm8k=nowhere,aime24=nowhere")
    plans = plan_sweep(asked)
    table = plan_table(asked, plans)
    total = next(line for line in table.splitlines() if line.startswith("8 cells"))
    first, *others = chips.split(",")
    lines = fit_on(asked, plans)
    assert hours(lines[0]) == hours(total)[:1]
    assert get_chip(first).label not in table.partition("8 cells")[2]
    for chip, line in zip(others, lines[1:], strict=True):
        assert table.count(line) == 1
        elsewhere = plan_sweep(
            experiment(chip=chip, models="qwen3-8b=x,qwen3-1.7b=y", tasks="gsm8k=nowhere,aime24=nowhere")
        )
        assert hours(line)[0] == f"{sum(plan.expected_hours for plan in elsewhere):,.2f}"


def test_a_cell_has_one_price_where_the_slices_are_of_two_chips():
    asked = experiment(
        chip="b200,tpu_v6e",
        models={
            "large": {"name": "qwen3-8b", "source": "x"},
            "small": {"name": "qwen3-1.7b", "source": "y", "slice": {"chip": "tpu_v6e", "slots": 4}},
        },
    )
    plans = plan_sweep(asked)
    small = [plan for plan in plans if plan.chip == "tpu_v6e"]
    large = plan_sweep(experiment(chip="tpu_v6e"))
    expected = sum(plan.expected_hours for plan in [*small, *large])
    assert hours(fit_on(asked, plans)[1]) == [f"{expected:,.2f}"]
    assert plan_table(asked, plans).count(get_chip("b200").label) == 1


def test_which_meshes_split_a_model():
    ways = {
        name: [n for n in range(1, 65) if not misfit(presets[name], model=n)]
        for name in ("qwen3-8b", "r1-distill-qwen-7b", "qwen3-0.6b")
    }
    assert ways["qwen3-8b"] == [1, 2, 4, 8, 16, 32]
    assert ways["qwen3-0.6b"] == [1, 2, 4, 8, 16]
    assert ways["r1-distill-qwen-7b"] == [1, 2, 4]
    assert not misfit(presets["qwen3-30b-a3b"], model=4, expert=16)


def test_int8_weights_make_room():
    one = {"models": "qwen3-14b=x", "slice": {"chip": "tpu_v6e", "slots": 1}, "prompt_rows": 1}
    with pytest.raises(InputError, match="does not fit"):
        plan_sweep(experiment(**one))
    assert plan_sweep(experiment(**one, quantize="int8"))[0].batch == 1


@pytest.mark.parametrize("prices", ["data_sheet", "calibrated"])
def test_a_plan_says_how_far_off_such_prices_were(prices):
    asked = experiment(chip="b200", prices=prices)
    plans = plan_sweep(asked)
    (said,) = {plan.evidence.sentence for plan in plans if plan.cell.policy != Dense()}
    assert said.startswith({"data_sheet": "Data-sheet", "calibrated": "Calibrated"}[prices])
    assert said in plan_table(asked, plans)


def test_a_plan_of_calibrated_prices_is_dearer_and_says_which_chip_has_none():
    ideal, real = (experiment(chip="b200,tpu_v6e", prices=kind) for kind in ("data_sheet", "calibrated"))
    for one, other in zip(plan_sweep(ideal), plan_sweep(real), strict=True):
        assert other.expected_hours > one.expected_hours
    (line,) = fit_on(real, plan_sweep(real))[1:]
    assert "tpu_v6e: no gemm kernel" in line
    assert "does not hold" not in line
