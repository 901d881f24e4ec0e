"""``figures.toml``: points of the published figures, as arrays."""

import functools
import importlib.resources
import tomllib
from typing import Any

import numpy as np

from kinetics_jax.costs import chips
from kinetics_jax.scaling import Frontier, paper_frontier

TERA_PER_SECOND = chips.b200.paper_peak / 1e12
"""Tera-eFLOPs that the paper calls a second of a B200."""


@functools.cache
def figures() -> dict[str, Any]:
    """Everything in the file."""
    text = importlib.resources.files("kinetics_jax.published").joinpath("figures.toml").read_text("utf-8")
    return tomllib.loads(text)


@functools.cache
def sparse_frontier() -> Frontier:
    """Fig. 8d's sparse frontier, which we compute from the models' curves (those are smoothed already)."""
    drawn = figures()["sparse_long_cot"]
    return paper_frontier(drawn["accuracy"], drawn["costs"], smoothing=1)


@functools.cache
def dense_frontier() -> Frontier:
    """Fig. 8d's dense frontier at the few costs that we have of it."""
    drawn = figures()["dense_long_cot"]
    return paper_frontier({"dense": drawn["accuracy"]}, drawn["costs"], smoothing=1)


def banded_frontier(name: str) -> Frontier:
    """A frontier of Fig. 1a as its bands: one cost a model, at which its band of accuracies ends."""
    bands = figures()["bands"][name]
    models = np.array(bands["models"], dtype=object)
    at = np.arange(len(models))
    return Frontier(
        np.arange(1.0, len(models) + 1), np.array(bands["ends"], np.float64), models, at, {}, "paper"
    )


def accuracy_at(frontier: Frontier, seconds: float) -> float:
    """Accuracy at a cost in B200 seconds; between grid points by the logarithm of cost."""
    tera = np.log(seconds * TERA_PER_SECOND)
    return float(np.interp(tera, np.log(frontier.costs), frontier.accuracy))


def cost_of(frontier: Frontier, accuracy: float) -> float:
    """Tera-eFLOPs at which a frontier reaches an accuracy; between grid points by the logarithm of cost."""
    return float(np.exp(np.interp(accuracy, frontier.accuracy, np.log(frontier.costs))))
