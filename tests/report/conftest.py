"""Synthetic results: smooth curves with the shape of the paper's, in every combination a run may give."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from kinetics_jax.costs import chips
from kinetics_jax.report.figures import Drawing, draw_all
from kinetics_jax.scaling.law.result_parts import Band, CellSummary, Claim, SparseGain
from kinetics_jax.scaling.law.results import FrontierResult, Law, Results
from kinetics_jax.scaling.law.without_traces import shape_results
from kinetics_jax.scaling.statistics.bands import Bands
from kinetics_jax.scaling.statistics.intervals import Estimate

HOSTILE = "<script>alert('x')</script>&\"$\\frac{$\x1b[31m\u202e"
"""A name that would break markup, mathtext, terminals and the order of letters, were it let through."""
SIZES = {
    "qwen3-0.6b": 0.6e9,
    "qwen3-1.7b": 1.7e9,
    "qwen3-4b": 4e9,
    "qwen3-8b": 8.2e9,
    "qwen3-14b": 14.8e9,
    "qwen3-32b": 32.8e9,
}
MODELS = tuple(sorted(SIZES))
FLAVOURS = ("held_out", "paper")


def frontier(flavour, models, sizes, costs, sparse=True, seed=0):
    """A frontier of logistic curves; the first ten costs buy nothing."""
    rng = np.random.default_rng(seed)
    curves = model_curves(models, sizes, costs, bonus=0.06 if flavour == "paper" else 0.0)
    stacked = np.array([curves[name] for name in models])
    accuracy = np.maximum.accumulate(stacked.max(axis=0))
    best = stacked.argmax(axis=0)
    fits = np.arange(len(costs)) >= 10
    share = np.exp(40 * (stacked.T - stacked.max(axis=0)[:, None]) + rng.normal(size=stacked.T.shape))
    share = np.where(fits[:, None], share / share.sum(axis=1, keepdims=True), 0.0)
    tera = costs / 1e12
    nan = np.full(len(costs), np.nan)
    return FrontierResult(
        flavour=flavour,
        choice="question",
        accuracy=np.where(fits, accuracy, np.nan),
        low=np.where(fits, accuracy * 0.85, np.nan),
        high=np.where(fits, np.minimum(accuracy * 1.12, 1), np.nan),
        model=tuple(models[m] if ok else "" for m, ok in zip(best, fits, strict=True)),
        model_share=share,
        bands=bands(models, best, fits, costs, accuracy),
        tokens=np.where(fits, 91.7 * tera**0.8 * rng.uniform(0.9, 1.1, len(costs)), np.nan),
        trials=np.where(fits, np.clip(tera**0.3 / 4, 1, 32), np.nan),
        length=np.where(fits, np.clip(91.7 * tera**0.8, 2048, 32768), np.nan),
        kv_budget=np.where(fits & (costs > costs[30]), 81.8 * tera**0.25, np.nan) if sparse else nan,
        dense_share=np.where(fits, 0.3, np.nan) if sparse else np.where(fits, 1.0, np.nan),
        fits={
            "tokens.b": Estimate(value=0.8, unit="", low=0.74, high=0.86),
            "tokens.per_doubling": Estimate(value=1.74, unit="×", low=1.67, high=1.81),
            "trials.b": Estimate(value=float("nan"), unit="", note="the search did not converge"),
        },
        curves={"tokens": (91.7, 0.8, 0.0)} | ({"kv_budget": (81.8, 0.25, -212.0)} if sparse else {}),
        refused={},
    )


def model_curves(models, sizes, costs, bonus=0.0):
    """Accuracy of each model alone: larger models start later and end higher."""
    x = np.log10(costs / 1e12)
    return {
        name: np.where(
            np.arange(len(costs)) >= 10,
            np.clip(
                (0.25 + 0.19 * np.log2(size / 0.5e9) ** 0.8 + bonus)
                / (1 + np.exp(-3.2 * (x - 1.9 - 0.3 * np.log2(size / 0.5e9) ** 0.8))),
                0,
                1,
            ),
            0.0,
        )
        for name, size in zip(models, sizes, strict=True)
    }


def bands(models, best, fits, costs, accuracy):
    """The stretches of one model each."""
    found = []
    for g in np.flatnonzero(fits):
        if found and found[-1].model == models[best[g]]:
            found[-1] = dataclasses.replace(found[-1], end=float(costs[g]), end_accuracy=float(accuracy[g]))
        else:
            point, solved = float(costs[g]), float(accuracy[g])
            found.append(
                Band(
                    model=models[best[g]],
                    start=point,
                    end=point,
                    start_accuracy=solved,
                    end_accuracy=solved,
                    support=0.35 + 0.1 * (len(found) % 6),
                )
            )
    return tuple(found)


def make_law(
    dataset="aime24",
    source="someone/traces",
    chip="b200",
    models=MODELS,
    sparse=True,
    flavours=FLAVOURS,
    priced=True,
    projected="",
    dropped=2,
    **replaced,
):
    """A law of the paper's shape on a chip of ``costs.chips``."""
    hardware = chips[chip]
    sizes = tuple(SIZES.get(name.casefold(), 32.5e9 if name.endswith("-32b") else 5e9) for name in models)
    costs = np.geomspace(2e13, 4e16, 100) * hardware.peak("bfloat16") / chips["b200"].peak("bfloat16")
    cells = tuple(
        CellSummary(
            source=source,
            model=name,
            policy="top-k 1024" if sparse else "dense",
            variant="",
            max_tokens=None if i % 2 else 32768,
            questions=30,
            samples=960,
            accuracy=0.4 + 0.05 * i,
            mean_tokens=9000.0,
        )
        for i, name in enumerate(models)
    )
    law = Law(
        dataset=dataset,
        source=source,
        chip=chip,
        chip_label=hardware.label,
        usd_per_hour=hardware.usd_per_hour if priced else None,
        peak_flops=hardware.peak("bfloat16"),
        cost_mode="exact",
        overlap="sum",
        projected_policy=projected,
        questions=30,
        dropped_questions=dropped,
        models=tuple(models),
        sizes=sizes,
        cells=cells,
        costs=costs,
        model_curves=model_curves(models, sizes, costs, 0.06),
        frontiers={
            name: frontier(name, models, sizes, costs, sparse, seed=i) for i, name in enumerate(flavours)
        },
        optimism=Estimate(value=6.1, unit="points of accuracy", low=4.9, high=7.8)
        if len(flavours) > 1
        else None,
        threshold=Estimate(value=14.8e9, unit="parameters", low=8.2e9, high=14.8e9)
        if len(models) > 1
        else None,
        sparse=SparseGain(
            flavour=flavours[-1],
            dense=np.linspace(0, 0.7, 100),
            sparse=np.linspace(0, 0.8, 100),
            difference=Bands(*(np.linspace(0, 0.1, 100) + 0.03 * step for step in (0, -1, 1, -2, 2))),
            gain=Estimate(value=4.9, unit="points of accuracy", low=2.1, high=7.7),
            cheaper=Estimate(value=1.4, unit="× less cost", low=1.1, high=1.9),
        )
        if sparse
        else None,
        notes=("Prompt lengths are assumed: 200 tokens.",),
    )
    return dataclasses.replace(law, **replaced)


def make_results(laws=None, shape_chips=("b200", "tpu_v6e"), **replaced):
    """Results around some laws, with the real shapes."""
    results = Results(
        laws=(make_law(),) if laws is None else tuple(laws),
        shapes=shape_results([chips[name] for name in shape_chips]),
        answers=(
            "On B200, below 0.1 s per question use qwen3-4b; from there to 0.9 s qwen3-8b; above, "
            "qwen3-14b solves most.",
            "Choosing on held-out samples costs 6 points of accuracy against the paper’s rule.",
        ),
        claims=(
            Claim("sizes", "Below 14B a larger model is the better buy.", "14.8 B (8.2 … 14.8)", "holds"),
            Claim("tokens", "Optimal tokens double 1.74× per doubling of cost.", "1.31×", "fails"),
            Claim("32B", "32B is not efficient below 10⁵ TeFLOPs.", "no 32B traces", "untested"),
        ),
        inputs=({"path": "traces.csv.gz", "format": "trials CSV", "rows": 46000, "sha256": "ab" * 32},),
        skipped=("GLM-5: no shape is known for it",),
        settings={"chip": ["b200"], "seed": 0, "bootstrap": 1000, "config": None},
        versions={"kinetics_jax": "0.1.0", "numpy": "2.3.0"},
    )
    return dataclasses.replace(results, **replaced)


CASES: dict[str, Callable[[], Results]] = {
    "usual": make_results,
    "one model": lambda: make_results([make_law(models=("qwen3-8b",))]),
    "dense only": lambda: make_results([make_law(sparse=False)]),
    "one rule": lambda: make_results([make_law(flavours=("paper",))]),
    "no price": lambda: make_results([make_law(priced=False)]),
    "projected": lambda: make_results([make_law(), make_law(projected="block_topk 16×64")]),
    "hostile": lambda: make_results(
        [make_law(dataset=HOSTILE, source=HOSTILE, models=(HOSTILE, "_模型-七", "qwen3-8b"))],
        answers=(HOSTILE,),
        claims=(Claim(HOSTILE, HOSTILE, HOSTILE, "fails"),),
        skipped=(HOSTILE,),
        inputs=({"path": HOSTILE, "sha256": "0" * 64},),
        settings={HOSTILE: HOSTILE},
    ),
    "nothing fits": lambda: make_results([nothing_fits()]),
    "no traces": lambda: make_results([], answers=(), claims=(), inputs=(), skipped=()),
    "every chip": lambda: make_results([make_law(chip=name) for name in chips], shape_chips=tuple(chips)),
    "one size": lambda: make_results([make_law(models=tuple(f"family-{i}-32b" for i in range(9)))]),
}
"""What a run may give, by name."""


def nothing_fits():
    """A law whose grid lies below every configuration."""
    law = make_law(flavours=("held_out",))
    nan = np.full(len(law.costs), np.nan)
    empty = dataclasses.replace(
        law.frontiers["held_out"],
        accuracy=nan,
        low=nan,
        high=nan,
        model=("",) * len(nan),
        bands=(),
        model_share=np.zeros((len(nan), len(law.models))),
        tokens=nan,
        trials=nan,
        length=nan,
        kv_budget=nan,
        dense_share=nan,
        fits={},
        curves={},
        refused={},
    )
    flat = {name: np.zeros(len(nan)) for name in law.models}
    return dataclasses.replace(law, frontiers={"held_out": empty}, model_curves=flat)


@pytest.fixture(scope="session", params=CASES)
def any_results(request) -> Results:
    """Every kind of results in turn."""
    return CASES[request.param]()


@pytest.fixture(scope="session")
def any_drawings(any_results) -> Mapping[str, Drawing]:
    """Their figures, drawn once for all tests; drawing must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return draw_all(any_results)


@pytest.fixture(scope="session")
def results() -> Results:
    """The usual results: one law, six models, two rules."""
    return make_results()


@pytest.fixture(scope="session")
def drawings(results) -> Mapping[str, Drawing]:
    """The figures of the usual results."""
    return draw_all(results)


@pytest.fixture(scope="session")
def cases() -> dict[str, Callable[[], Results]]:
    """All kinds by name, for a test that wants one."""
    return CASES


@pytest.fixture(scope="session")
def law_maker() -> Callable[..., Law]:
    """``make_law``."""
    return make_law


@pytest.fixture(scope="session")
def results_maker() -> Callable[..., Results]:
    """``make_results``."""
    return make_results
