"""Verdicts on data sets drawn from worlds, set against the truth."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from kinetics_jax.scaling.law.deployments import priced_families
from kinetics_jax.scaling.law.judged_laws import judge_exponents, judge_fairness, judge_sizes, judge_sparse
from kinetics_jax.scaling.law.one_law import find_law
from kinetics_jax.scaling.law.paper_claims import attention_share, claims
from kinetics_jax.scaling.traces.comparable import comparable_families
from tests.scaling.falsehood.population import as_trials, draw
from tests.scaling.falsehood.scenarios import Design
from tests.scaling.falsehood.truth import (
    CHIP,
    OPTIONS,
    Truth,
    bias_truth,
    demand_truth,
    share_truth,
    sizes_truth,
    sparse_truth,
    truth_of,
)

DECIDED = ("holds", "fails", "mixed")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One claim on one data set."""

    claim: str
    design: str
    seed: int
    verdict: str
    true: tuple[str, ...]
    """Verdicts that would have been true; none where nothing can be known."""
    decidable: str | None
    """The verdict that data of this size should give."""

    @property
    def false(self) -> bool:
        """Borne out or contradicted, wrongly."""
        return self.verdict in DECIDED and self.verdict not in self.true


def judge(design: Design, seed: int, truth: Truth) -> list[Outcome]:
    """Every claim on one data set, through all that a user's table goes through."""
    world = design.world
    trials = as_trials(draw(design.of(world.sides), design.questions, world.spread, seed))
    families, _ = comparable_families(trials)
    family = next(one for one in families if one.source == world.sides[0].source)
    copied = any(side.stored > 1 for side in world.sides)
    assert bool(family.warnings) == copied, (design.name, seed, family.warnings)
    law = find_law(family, CHIP, dataclasses.replace(OPTIONS, seed=seed))
    costs, found = law.costs, []

    def add(claim: str, verdict: str | None, known: tuple[set[str], str | None]) -> None:
        if verdict is not None:
            true, decidable = (set(), None) if claim in world.never else known
            found.append(Outcome(claim, design.name, seed, verdict, tuple(sorted(true)), decidable))

    judged = judge_sparse(law, 1)
    if judged is not None:
        curve = truth.sparse
        add("sparse", judged.verdict, (set(), None) if curve is None else sparse_truth(curve.at(costs)))
    judged = judge_sizes(law, 1)
    if judged is not None:
        curves = tuple(curve.at(costs) for curve in truth.growth)
        add("sizes", judged.verdict, sizes_truth(curves) if curves else (set(), None))
    judged = judge_fairness(law, 1)
    if judged is not None and truth.bias is not None:
        add("fair", judged.verdict, bias_truth(*truth.bias))
    for model, one in zip(law.token_demand, judge_exponents(law, len(law.token_demand)), strict=True):
        if model in truth.demand:
            add("exponent", one.verdict, demand_truth(*truth.demand[model]))
    share = attention_share(priced_families([family], CHIP, OPTIONS))
    add("attention", claims([law], share)[0].verdict, share_truth(*truth.share))
    return found


def judge_all(designs: Sequence[Design], repeats: int, first_seed: int = 0) -> Iterable[Outcome]:
    """Every design ``repeats`` times; the truth of a design is found once."""
    for design in designs:
        truth = truth_of(design)
        for seed in range(first_seed, first_seed + repeats):
            yield from judge(design, seed, truth)


def tally(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """By claim: data sets, false verdicts, and how many of the decidable ones were decided rightly."""
    by_claim = collections.defaultdict(list)
    for outcome in outcomes:
        by_claim[outcome.claim].append(outcome)
    table = {}
    for claim, group in by_claim.items():
        large = [one for one in group if one.decidable and "200" in one.design]
        table[claim] = {
            "data sets": len(group),
            "false": sum(one.false for one in group),
            "false share": sum(one.false for one in group) / len(group),
            "decidable at 200 questions": len(large),
            "decided": sum(one.verdict == one.decidable for one in large) / max(len(large), 1),
            **{word: sum(one.verdict == word for one in group) for word in ("holds", "fails", "mixed")},
            "undecided": sum(one.verdict == "undecided" for one in group),
            "not comparable": sum(one.verdict == "not comparable" for one in group),
        }
    return table
