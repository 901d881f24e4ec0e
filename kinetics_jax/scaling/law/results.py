"""Results as data: what a law run found, ready for law.json, tables, figures and words.

Nothing here computes; ``one_law`` fills these in and ``kinetics_jax.report`` draws them.
Axes: G costs of the grid · M models. NaN stands for "nothing fits this cost" and becomes null in JSON.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kinetics_jax.costs import Deployment, PriceEvidence
from kinetics_jax.scaling.frontier.growing import Growth
from kinetics_jax.scaling.law.break_even_results import BreakEven
from kinetics_jax.scaling.law.measures import MEASURES, Measure
from kinetics_jax.scaling.law.price_move_results import PriceMove
from kinetics_jax.scaling.law.result_parts import Band, CellSummary, Claim, Floats, SparseGain
from kinetics_jax.scaling.law.selection_results import WithoutOracle
from kinetics_jax.scaling.law.sensitivity_results import Sensitivity
from kinetics_jax.scaling.law.shape_results import ShapeResults
from kinetics_jax.scaling.prediction import LeftOut
from kinetics_jax.scaling.statistics.intervals import Estimate


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrontierResult:
    """Accuracy against cost under one rule of choosing, with what is optimal along it."""

    flavour: str
    """``paper`` (chosen on the samples it is scored on) or ``held_out``."""
    choice: str
    """``question``: a configuration per question; ``shared``: one for all questions."""
    accuracy: Floats
    """[G], in [0, 1]."""
    low: Floats
    high: Floats
    model: tuple[str, ...]
    """Best model at each cost, [G]; empty text where (almost) nothing is solved."""
    model_share: Floats
    """Share of bootstrap resamples in which each model is best, [G, M]; columns as Law.models."""
    bands: tuple[Band, ...]
    tokens: Floats
    """Optimal generated tokens per question, N·E[L], [G]."""
    trials: Floats
    """Optimal N, [G]."""
    length: Floats
    """Optimal generation length limit in tokens, [G]."""
    kv_budget: Floats
    """Optimal KV budget in tokens among sparse choices, [G]; NaN where all are dense."""
    dense_share: Floats
    """Share of questions for which dense attention is the best choice, [G]."""
    fits: Mapping[str, Estimate]
    """Exponents and per-doubling factors by name, such as ``tokens.b`` and ``tokens.per_doubling``."""
    curves: Mapping[str, tuple[float, float, float]]
    """Fitted y = a·x^b + c of each quantity, x in tera-eFLOPs."""
    refused: Mapping[str, str]
    """Quantity → why its optimum is no power law of cost."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Law:
    """The law of one set of comparable traces on one chip."""

    dataset: str
    source: str
    chip: str
    """Name of the chip."""
    chip_label: str
    usd_per_hour: float | None
    price_basis: str = ""
    """Market that ``usd_per_hour`` is of (``chips.PRICE_BASES``, or ``user``): dollars compare within one."""
    price_date: str = ""
    peak_flops: float
    """eFLOPs ÷ this = chip-seconds."""
    cost_mode: str
    overlap: str
    measure: str = "eflops"
    """What ``costs`` are counted in: a name of ``MEASURES``."""
    prices: str = "data_sheet"
    """Whose seconds they are: ``data_sheet``, or ``calibrated`` to kernels as measured."""
    price_evidence: PriceEvidence | None = None
    """How far such prices were off wherever they were compared."""
    projected_policy: str = ""
    """Label of a sparse policy that was priced under the assumption that it changes no answer; empty
    where every cell was priced as it was decoded."""
    questions: int
    dropped_questions: int
    models: tuple[str, ...]
    sizes: tuple[float, ...]
    """Total parameters of ``models``."""
    without_oracle: WithoutOracle | None = None
    cells: tuple[CellSummary, ...]
    costs: Floats
    """Cost limits per question in the unit of ``counted``, [G]."""
    model_curves: Mapping[str, Floats]
    """Smoothed accuracy of each model alone (paper rule), [G]."""
    frontiers: Mapping[str, FrontierResult]
    """By flavour."""
    optimism: Estimate | None
    """What the paper's rule adds to the held-out accuracy, in points, averaged over the grid."""
    threshold: Estimate | None
    """Model size (parameters) that the frontier climbs most with, or None with one model."""
    sparse: SparseGain | None = None
    """None without both dense and sparse traces of a model."""
    selection_bias: Estimate | None = None
    """What choosing on the scored samples adds, with the same configurations on offer to both rules (held-out
    halves offer half of the trials, which ``optimism`` counts in), in points, averaged over the grid."""
    growth: tuple[Growth, ...] = ()
    """What the sizes above each are worth at equal cost, for every size but the largest."""
    left_out: tuple[LeftOut, ...] = ()
    """Sizes and KV budgets as the others say them."""
    token_demand: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)
    """Exponent of the largest token demand, as in the paper's Fig. 7, by model."""
    notes: tuple[str, ...]
    """What a reader must know about these traces before believing the law."""
    warnings: tuple[str, ...] = ()
    """Those of the notes that are said with every answer: samples that repeat one another."""
    not_comparable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """``sizes`` or ``policies`` → why some could not be compared and were left out."""
    deployments: tuple[Deployment, ...] = ()
    """What each model was priced on, smallest first; empty in cost modes whose weights are free."""

    @property
    def best_frontier(self) -> FrontierResult:
        """The frontier to believe: held out where there is one, else the paper's."""
        return self.frontiers.get("held_out") or self.frontiers["paper"]

    @property
    def counted(self) -> Measure:
        """The unit of ``costs``."""
        return MEASURES[self.measure]

    @property
    def per_shown(self) -> float:
        """What a cost is divided by to be shown: eFLOPs are read as chip-seconds at peak."""
        return self.peak_flops if self.measure == "eflops" else 1.0

    @property
    def shown(self) -> Floats:
        """The grid as a person reads it, in ``counted.column``, [G]."""
        return self.costs / self.per_shown

    @property
    def seconds(self) -> Floats | None:
        """The grid in chip-seconds, [G]; None of latency, which is another thing."""
        if self.measure == "dollars":
            assert self.usd_per_hour, "dollars are of a chip with a price"
            return self.costs * 3600 / self.usd_per_hour
        return None if self.measure == "latency" else self.shown

    @property
    def dollars(self) -> Floats | None:
        """The grid in US dollars, [G]; None of latency, and where the chip has no price on its basis."""
        seconds = self.seconds
        return None if self.usd_per_hour is None or seconds is None else seconds * self.usd_per_hour / 3600


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """Everything one run found, with what it was found from."""

    laws: tuple[Law, ...]
    shapes: ShapeResults
    answers: tuple[str, ...]
    """The answer in words, one sentence each, most important first."""
    claims: tuple[Claim, ...]
    """The paper's claims with what these traces say of each, and a verdict."""
    inputs: tuple[Mapping[str, Any], ...]
    """Path, format, rows and SHA-256 of every file read."""
    skipped: tuple[str, ...]
    """Rows or models that took no part, one reason each."""
    sensitivity: tuple[Sensitivity, ...] = ()
    """What of each family's law survives other deployments; empty unless asked for."""
    price_moves: tuple[PriceMove, ...] = ()
    """What of each law other prices move; empty unless both kinds were asked for."""
    break_even: tuple[BreakEven, ...] = ()
    """From which context on sparse attention pays, where prices are calibrated."""
    price_evidence: tuple[PriceEvidence, ...] = ()
    """How far the prices of this run were ever off, one for each kind and chip."""
    settings: Mapping[str, Any]
    """Every option of the run."""
    versions: Mapping[str, str]
    """Versions of this library and of what computed."""
