"""How laws are found: every field is an option of the main job."""

import dataclasses
from typing import Any, get_args

from kinetics_jax.checks import MAX_SEED, check_flag, python_number, shown
from kinetics_jax.costs import MODES, OVERLAPS, Serving
from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.choose_and_score import Flavour
from kinetics_jax.scaling.frontier.configurations import Search
from kinetics_jax.scaling.law.measures import MEASURES, PRICES, Measure
from kinetics_jax.scaling.selection.verifiers import parse_verifiers

RULES = ("cheapest", "as_run", "fewest_chips")
"""How a deployment is chosen; see ``LawOptions.deployment``."""
_GIVEN = ("tensor_parallel", "batch", "occupancy", "page_size", "weight_dtype", "kv_dtype", "compute_dtype")
"""Fields of ``Serving`` that a user may give; None: not given."""
VERIFIERS = ("perfect", "majority", "roc(0.9,0.1,cost=0.05)")
_MOST_RESAMPLES = 1_000_000
"""More say nothing more, and fill the memory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LawOptions:
    """How laws are found. Every field is an option of the main job."""

    cost_mode: str = "exact"
    overlap: str = "sum"
    measure: str = ""
    """What costs are counted in, by name of ``MEASURES``; empty: eflops, or seconds where ``prices`` are not
    of the data sheet alone."""
    prices: str = "data_sheet"
    """Whose seconds: of the ``data_sheet``, ``calibrated`` ones of kernels as measured, or ``both``: a law of
    each."""
    frontier: str = "both"
    """``paper``, ``held_out`` or ``both``."""
    bootstrap: int = 1000
    """Resamples of the questions."""
    splits: int = 5
    """Random halves of the held-out rule."""
    grid_points: int = 100
    search: Search = "both"
    """Configurations searched; see ``build_study``."""
    verifiers: tuple[str, ...] = VERIFIERS
    """Who may pick one of N answers, side by side; see ``selection.parse_verifiers``."""
    seed: int = 0
    deployment: str = "cheapest"
    """How what is not given below is chosen: ``cheapest`` that fits for each model's own traces, ``as_run``
    (what the records say), or ``fewest_chips`` that leave half of HBM to the cache."""
    tensor_parallel: int | None = None
    """Chips of a copy. This and what follows: fields of ``costs.Serving``; None: not given."""
    batch: float | None = None
    occupancy: float | None = None
    page_size: int | None = None
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    compute_dtype: str | None = None
    share_prefix: bool = True
    sensitivity: bool = False
    """Whether a run also says which sentences survive other deployments (``sensitivity``)."""

    def __post_init__(self) -> None:
        if self.frontier not in ("paper", "held_out", "both"):
            raise InputError(f"frontier={self.frontier!r} must be paper, held_out or both")
        self._check_prices()
        for field, words in (("cost_mode", MODES), ("overlap", OVERLAPS), ("search", get_args(Search))):
            if getattr(self, field) not in words:
                raise InputError(f"{field}={getattr(self, field)!r} must be one of {', '.join(words)}")
        readers = [verifier.label for verifier in parse_verifiers(self.verifiers) if verifier.reader]
        if readers and self.cost_mode != "exact":
            raise InputError(f"verifier {readers[0]}: only cost_mode=exact prices what a reader reads")
        for field, least in (("bootstrap", 1), ("splits", 1), ("grid_points", 2), ("seed", 0)):
            value = python_number(getattr(self, field))
            if not isinstance(value, int) or not least <= value <= MAX_SEED:
                given = shown(getattr(self, field))
                raise InputError(f"{field}={given} must be at least {least}, and a whole number")
            object.__setattr__(self, field, value)
        if self.bootstrap > _MOST_RESAMPLES:
            raise InputError(f"bootstrap={self.bootstrap} must be at most {_MOST_RESAMPLES}")
        self._check_deployment()

    def _check_prices(self) -> None:
        if self.cost_mode == "calibrated":
            raise InputError("cost_mode=calibrated: give prices=calibrated, with cost_mode=exact")
        if self.prices not in PRICES:
            raise InputError(f"prices={shown(self.prices)} must be one of {', '.join(PRICES)}")
        ideal = self.prices == "data_sheet"
        if self.measure and self.measure not in MEASURES:
            raise InputError(f"measure={shown(self.measure)} must be one of {', '.join(MEASURES)}")
        if ideal and (self.measure != "latency" or self.cost_mode == "exact"):
            return
        what = "measure=latency" if ideal else f"prices={self.prices}"
        if self.measure == "eflops":
            raise InputError(
                f"{what}: eFLOPs are ideal, and calibrated seconds are not; give measure=seconds"
            )
        if self.cost_mode != "exact":
            raise InputError(
                f"{what} needs cost_mode=exact, not {self.cost_mode}, whose prices have no batch"
            )
        if not ideal and self.overlap != "sum":
            raise InputError(f"{what}: kernels run one after another, so overlap must be sum")
        if self.prices == "both" and self.sensitivity:
            raise InputError("sensitivity is of one kind of prices: give prices=data_sheet or calibrated")

    def _check_deployment(self) -> None:
        for field in ("share_prefix", "sensitivity"):
            object.__setattr__(self, field, check_flag(field, getattr(self, field)))
        if self.deployment not in RULES:
            raise InputError(f"deployment={shown(self.deployment)} must be one of {', '.join(RULES)}")
        for field in _GIVEN:  # 0 and "" are how flags and configs leave an option open
            if not getattr(self, field):
                object.__setattr__(self, field, None)
        given = self.given | ({} if self.share_prefix else {"share_prefix": False})
        if self.cost_mode != "exact" and given:
            raise InputError(
                f"{', '.join(given)}: not read with cost_mode={self.cost_mode}, whose weights are free; "
                "leave out, or price with cost_mode=exact"
            )
        asked = {"deployment=as_run": self.deployment == "as_run", "sensitivity": self.sensitivity}
        for word in [word for word, there in asked.items() if there and self.cost_mode != "exact"]:
            raise InputError(
                f"{word} needs cost_mode=exact, not {self.cost_mode}, whose prices have no deployment"
            )
        for field, value in dataclasses.asdict(self.serving).items():
            if field in self.given:
                object.__setattr__(self, field, value)

    @property
    def mode(self) -> str:
        """Of ``price``."""
        return "calibrated" if self.prices == "calibrated" else self.cost_mode

    @property
    def counted(self) -> Measure:
        """What costs are counted in."""
        return MEASURES[self.measure or ("eflops" if self.prices == "data_sheet" else "seconds")]

    @property
    def each(self) -> tuple["LawOptions", ...]:
        """These options once for each kind of prices."""
        kinds = PRICES[:2] if self.prices == "both" else (self.prices,)
        return tuple(dataclasses.replace(self, prices=kind, measure=self.counted.name) for kind in kinds)

    @property
    def given(self) -> dict[str, Any]:
        """What of a deployment the user gave, by field of ``Serving``."""
        return {name: getattr(self, name) for name in _GIVEN if getattr(self, name) is not None}

    @property
    def serving(self) -> Serving:
        """What is given, and ``Serving``'s own values for the rest."""
        return Serving(**self.given, share_prefix=self.share_prefix)

    @property
    def flavours(self) -> tuple[Flavour, ...]:
        """The rules of choosing that are asked for."""
        both: tuple[Flavour, ...] = ("paper", "held_out")
        return tuple(flavour for flavour in both if self.frontier in (flavour, "both"))
