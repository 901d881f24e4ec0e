"""Options → experiment: what flags and config files may say, and how they are refused."""

import numpy as np
import pytest

from configs.sweep import get_config, get_defaults
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, TopK
from kinetics_jax.sweep.experiment import Slice
from kinetics_jax.sweep.options import OPTIONS, read, split

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
    experiment = read(
        {
            "models": ("qwen3-8b=Qwen/Qwen3-8B", "tiny-dense=random:3"),
            "tasks": ("aime24=x.jsonl",),
            "trials": 32,
            "trials_of": ("qwen3-8b=8",),
            "weights": "/models",
            "slices": ("qwen3-8b=tpu_v6e model=4 data=2 slots=14", "other=b200 slots=1"),
        }
    )
    first, second = experiment.models
    assert (first.source, first.trials) == ("/models/Qwen3-8B", 8)
    assert first.slice == Slice(chip="tpu_v6e", data=2, model=4, slots=14)
    assert (second.source, second.trials) == ("random:3", 32)
    assert experiment.tasks[0].path == "x.jsonl"


def test_a_task_option_may_be_the_seed():
    experiment = read(
        GOOD
        | {
            "tasks": ("livecodebench_v5",),
            "seed": 7,
            "task_options": ("livecodebench_v5.seconds={seed}", "livecodebench_v5.x=True"),
        }
    )
    assert experiment.tasks[0].options == {"seconds": 7, "x": True}


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
        ({"trials_of": "tiny-dense=x"}, "must be a whole number"),
        ({"slices": "tiny-dense=b200 slots=0"}, "slots=0"),
        ({"slices": "tiny-dense=b200 rows=1"}, "CHIP data=D"),
        ({"slices": "tiny-dense=slots=1"}, "CHIP data=D"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"lengths": (0,)}, "lengths"),
        ({"lengths": (5, 5)}, "lengths"),
        ({"temperature": -1.0}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"dtype": "int4"}, "dtype"),
        ({"quantize": "int4"}, "quantize"),
        ({"grade": False}, "report"),
        ({"thinking": 1}, "thinking=1 must be true or false"),
        ({"search": "all"}, "search"),
        ({"task_options": "gsm8k=1"}, "TASK.OPTION"),
        ({"task_options": "aime24.x=1"}, "none of the tasks"),
        ({"name": ""}, "name is empty"),
    ],
)
def test_bad_options_are_one_line_that_names_them(change, word):
    with pytest.raises(InputError, match=word) as caught:
        read(GOOD | change)
    assert "\n" not in str(caught.value)


def test_configs_hold_every_option_once():
    assert set(get_defaults()) == set(get_config()) == set(OPTIONS)
    assert all(option.help for option in OPTIONS.values())
