import dataclasses

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.records import SamplingParams


def test_defaults_are_the_published_settings():
    params = SamplingParams()
    assert (params.temperature, params.top_p, params.top_k, params.min_p, params.seed) == (
        0.6,
        0.95,
        20,
        0.0,
        0,
    )
    assert dataclasses.replace(params, seed=1) != params
    with pytest.raises(TypeError):
        SamplingParams(0.6)


@pytest.mark.parametrize(("temperature", "greedy"), [(0, True), (0.0199, True), (0.02, False)])
def test_cold_is_greedy(temperature, greedy):
    assert SamplingParams(temperature=temperature).greedy is greedy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "0.6"),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.01),
        ("top_p", None),
        ("top_k", -2),
        ("top_k", 2.0),
        ("top_k", 2**31),
        ("top_k", True),
        ("min_p", 1.0),
        ("min_p", -0.1),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", 1.5),
    ],
)
def test_bad_values_are_refused_in_one_line(field, value):
    with pytest.raises(InputError, match=f"^{field}=.* must be ") as error:
        SamplingParams(**{field: value})
    assert "\n" not in str(error.value)


def test_edges_are_allowed():
    SamplingParams(temperature=0, top_p=1, top_k=0, min_p=0, seed=2**64 - 1)
    SamplingParams(top_p=1e-9, min_p=0.999, top_k=2**31 - 1)
