"""Options → experiment: what flags and config files may say, and how they are refused."""

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, TopK
from kinetics_jax.sweep.experiment import Slice
from kinetics_jax.sweep.options import MODEL, OPTIONS, choose, defaults, model, read, split, task

GOOD = {"models": "tiny-dense=random", "tasks": "gsm8k"}


def test_what_is_not_given_has_its_default():
    experiment = read(GOOD)
    assert experiment.policies == (Dense(),)
    assert experiment.sampling.temperature == 0.6
    assert experiment.max_tokens is None
    assert experiment.models[0].trials == 1
    assert experiment.models[0].slice == Slice()
    assert experiment.repetition is not None
    assert experiment.report


def test_lists_are_split_at_commas_outside_brackets():
    assert split("dense, topk(k=512),block_topk(16, 64),") == ("dense", "topk(k=512)", "block_topk(16, 64)")
    experiment = read(GOOD | {"policies": "dense,topk(k=512),block_topk(16, 64)"})
    assert experiment.policies == (Dense(), TopK(512), BlockTopK(16, 64))


def test_models_have_sources_trials_and_slices():
    config = defaults()
    config.trials, config.weights = 32, "/models"
    config.models.large = model(
        "qwen3-8b", "Qwen/Qwen3-8B", trials=8, chip="tpu_v6e", model=4, data=2, slots=14
    )
    config.models.small = model("tiny-dense", "random:3")
    config.tasks.aime24 = task("aime24", "x.jsonl")
    experiment = read(config)
    first, second = experiment.models
    assert (first.name, first.source, first.trials) == ("qwen3-8b", "/models/Qwen3-8B", 8)
    assert first.slice == Slice(chip="tpu_v6e", data=2, model=4, slots=14)
    assert (second.source, second.trials, second.slice) == ("random:3", 32, Slice())
    assert experiment.tasks[0].path == "x.jsonl"


def test_models_without_a_slice_share_the_experiments():
    config = defaults()
    config.models.one = model("tiny-dense", "random")
    config.models.other = model("tiny-moe", "random", chip="b200", slots=2)
    config.tasks.gsm8k = task("gsm8k")
    config.slice.slots = 9
    one, other = read(config).models
    assert (one.slice.slots, other.slice.slots) == (9, 2)


def test_a_flag_names_models_and_keeps_what_the_config_says_of_them():
    config = {"a": {**MODEL, "name": "qwen3-8b", "source": "x", "trials": 3}}
    chosen = choose("models", config, "qwen3-8b=y,tiny-dense=random")
    assert chosen["qwen3_8b"] == {**MODEL, "name": "qwen3-8b", "source": "y", "trials": 3}
    assert chosen["tiny_dense"] == {"name": "tiny-dense", "source": "random"}
    assert read(GOOD | {"models": chosen}).models[0].trials == 3


def test_a_task_option_may_follow_the_seed():
    config = defaults()
    config.models.tiny = model("tiny-dense", "random")
    config.tasks.mine = task("livecodebench_v5", seconds=config.get_ref("seed"), x=True)
    config.seed = 7
    assert read(config).tasks[0].options == {"seconds": 7, "x": True}


def test_numbers_may_be_of_another_library():
    numpy = {
        "trials": np.int64(4),
        "temperature": np.float32(0.5),
        "lengths": np.array([7, 9]),
        "top_p": 1,
        "seed": np.uint8(3),
        "grade": np.bool_(True),
        "top_k": np.int32(-1),
    }
    plain = {"trials": 4, "temperature": 0.5, "lengths": (7, 9), "top_p": 1.0, "seed": 3, "top_k": 0}
    assert read(GOOD | numpy) == read(GOOD | plain)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"trials": np.float64(4)}, "trials=.* must be a whole number"),
        ({"trials": np.bool_(True)}, "trials=.* must be a whole number"),
        ({"temperature": True}, "temperature=True must be a number"),
        ({"lengths": np.ones((30, 2))}, "lengths=.* must be a list"),
        ({"stop_strings": ("\ud83d",)}, "half of a character"),
        ({"model": "x"}, "no option model"),
        ({"models": ()}, "models is empty"),
        ({"tasks": ()}, "tasks is empty"),
        ({"models": "tiny-dense"}, "NAME=VALUE"),
        ({"models": "a=b,a=c"}, "twice"),
        ({"policies": "topk(k=0)"}, "policies: .*k=0"),
        ({"policies": "dense,dense"}, "twice"),
        ({"policies": "denze"}, "policies: unknown policy"),
        ({"chip": "b2000"}, "unknown chip"),
        ({"trials": 0}, "trials"),
        ({"trials": "4"}, "trials='4' must be a whole number"),
        ({"models": {"tiny": {"source": "random", "trials": "x"}}}, "models.tiny.trials='x' must be a whole"),
        ({"models": {"tiny": {"source": "random", "trails": 4}}}, "unknown option of models.tiny 'trails'"),
        ({"models": {"tiny": {"name": "tiny-dense"}}}, "models.tiny.source is empty"),
        ({"models": {"tiny": 3}}, "models.tiny=3 must be a group of options"),
        ({"slice": {"slots": -1}}, "slots=-1"),
        ({"slice": {"rows": 1}}, "unknown option of slice 'rows'"),
        ({"slice": {"chip": "b2000"}}, "unknown chip"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"lengths": (0,)}, "lengths"),
        ({"lengths": (5, 5)}, "lengths"),
        ({"temperature": -1.0}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"dtype": "int4"}, "dtype"),
        ({"quantize": "int4"}, "quantize"),
        ({"dtype": "fp4"}, "dtype"),
        ({"quantize": "nvfp4"}, "quantize"),
        ({"grade": False}, "report"),
        ({"thinking": 1}, "thinking=1 must be true or false"),
        ({"search": "all"}, "search"),
        ({"tasks": {"gsm8k": {"options": 1}}}, "tasks.gsm8k.options=1 must be a group"),
        ({"tasks": {"gsm8k": {"limits": 1}}}, "did you mean limit"),
        ({"name": ""}, "name is empty"),
    ],
)
def test_bad_options_are_one_line_that_names_them(change, word):
    with pytest.raises(InputError, match=word) as caught:
        read(GOOD | change)
    assert "\n" not in str(caught.value)


def test_configs_hold_every_option_once():
    assert set(defaults()) == set(OPTIONS)
    assert all(option.help for option in OPTIONS.values())


def test_a_sweep_in_int8_is_planned_and_reported_in_int8():
    assert read(GOOD).law.weight_dtype is None
    assert read(GOOD | {"quantize": "int8"}).law.weight_dtype == "int8"
    assert read(GOOD | {"quantize": "int8", "weight_dtype": "bf16"}).law.weight_dtype == "bfloat16"
    # What ran says it itself; modes with free weights have none.
    assert read(GOOD | {"quantize": "int8", "deployment": "as_run"}).law.weight_dtype is None
    assert read(GOOD | {"quantize": "int8", "cost_mode": "paper"}).law.weight_dtype is None


def test_a_sweep_takes_the_words_of_the_law():
    from kinetics_jax.cli.law_options import OPTIONS as LAW
    from kinetics_jax.commands.deployment_options import CHIP_PRICE, DEPLOYMENT, SENSITIVITY

    for name in (*DEPLOYMENT, *CHIP_PRICE, *SENSITIVITY):
        assert OPTIONS[name] is LAW[name]
    given = {
        "tensor_parallel": 4,
        "kv_dtype": "fp8",
        "share_prefix": False,
        "sensitivity": True,
        "batch": 7.0,
    }
    law = read(GOOD | given).law
    assert {name: getattr(law, name) for name in given} == given
    experiment = read(GOOD | {"chip": "b300,h100", "price_basis": "specialty"})
    assert [chip.price_basis for chip in experiment.priced_chips] == ["specialty"] * 2
    assert read(GOOD | {"usd_per_hour": 2.0}).priced_chip("b200").usd_per_hour == 2.0
    with pytest.raises(InputError, match="price of one chip"):
        read(GOOD | {"chip": "b200,h100", "usd_per_hour": 2.0})
