"""The paper's claims against traces: what these say of each, and whether it holds on them.

A family counts once, on its first chip: chips share the traces. ``judged_laws`` judges each law alone,
``verdicts`` says what a verdict is.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from kinetics_jax.costs import CalibratedCost, Cost
from kinetics_jax.scaling.law.judged_laws import judge_exponents, judge_fairness, judge_sizes, judge_sparse
from kinetics_jax.scaling.law.result_parts import Claim
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.verdicts import MARGIN, Judged, summary, told
from kinetics_jax.scaling.statistics.bands import stretch
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.independent_trials import Cell

SPOKEN = {
    "holds": "these traces bear out",
    "mixed": "they bear out in part and contradict in part",
    "fails": "they contradict",
    "undecided": "they cannot decide",
    "not comparable": "not comparable",
    "untested": "not tested",
}
"""Verdicts in the order in which they are told, and how."""


SHARES_OF = {"data_sheet": "eFLOPs", "calibrated": "calibrated seconds"}
"""What a share of attention is of, by kind of prices."""


class AttentionShare(NamedTuple):
    """Share of attention and search in what cells cost: bounds over all of them, together 95 %."""

    low: float
    """Least lower bound of a cell."""
    high: float
    """Largest upper bound of a cell."""
    above: int = 0
    """Cells in which it is surely more than half."""
    below: int = 0
    """Cells in which it is surely less."""
    cells: int = 0
    of: str = "eFLOPs"
    """What it is a share of."""


def claims(laws: Sequence[Law], share: AttentionShare | None) -> tuple[Claim, ...]:
    """Every claim that is looked at.

    Args:
      laws: all laws found.
      share: ``attention_share``, if known.
    """
    first = {(x.dataset, x.source): x for x in reversed(laws) if not x.projected_policy}
    real = [law for law in laws if law in first.values()]
    return (
        _attention_claim(share),
        _claim(
            "larger models as cost grows, up to a threshold",
            "grow the model first, up to a threshold (14B on AIME), then spend on tokens (§3)",
            _one_each(real, judge_sizes),
            "no family has two model sizes",
        ),
        _claim(
            "optimal tokens grow as cost^0.80",
            "the largest demand for tokens of a question grows as cost^0.80 (1.74× per doubling; Qwen3-8B, "
            "AIME24, sparse, Best-of-N, Fig. 7)",
            _exponents(real),
            "no sparse traces whose demand is a power law of cost; the claim is not of dense ones",
        ),
        _claim(
            "choosing on the scored samples is fair",
            f"choosing the best configuration on the samples it is scored on is fair (App. D.2): it adds "
            f"nothing, to {MARGIN:g} point, mean over costs",
            _one_each(real, judge_fairness),
            "no family has an interval: it takes several samples per question and --frontier=both",
        ),
        _claim(
            "sparse attention wins at every cost",
            f"sparse attention wins at every cost (§4): nowhere behind by {MARGIN:g} point, ahead somewhere",
            _one_each(real, judge_sparse),
            "no model was decoded both densely and sparsely; projections are no evidence",
        ),
    )


def claims_answer(found: Sequence[Claim]) -> str:
    """One sentence that says what holds, what does not and what is open; empty without claims."""
    parts = []
    for verdict, said in SPOKEN.items():
        shorts = [claim.short for claim in found if claim.verdict == verdict]
        if shorts:
            parts.append(f"{said}: {', '.join(shorts)}")
    return f"Of the paper's claims, {'; '.join(parts)}." if parts else ""


def _claim(short: str, claim: str, judged: Sequence[Judged], untested: str) -> Claim:
    return Claim(short, claim, told(judged) if judged else untested, summary(judged))


def _one_each(laws: Sequence[Law], judge: Callable[[Law, int], Judged | None]) -> list[Judged]:
    """Every law that can be judged, with bounds widened for their number."""
    able = [judged for law in laws if (judged := judge(law, 1)) is not None]
    tests = max(1, sum(judged.verdict != "not comparable" for judged in able))
    return [judged for law in laws if (judged := judge(law, tests)) is not None]


def _exponents(laws: Sequence[Law]) -> list[Judged]:
    models = sum(len(law.token_demand) for law in laws)
    return [judged for law in laws for judged in judge_exponents(law, models)]


def _attention_claim(share: AttentionShare | None) -> Claim:
    short = "attention is most of the cost"
    claim = "attention's memory traffic, not parameters, is what reasoning costs (§2)"
    if share is None:
        return Claim(short, claim, "no trace was priced", "untested")
    low, high, above, below, cells, of = AttentionShare(*share)
    said = f"attention and search are {low:.0%} to {high:.0%} of the {of} of these traces, by cell"
    if low > 0.5 or high < 0.5:
        return Claim(short, claim, said, "holds" if low > 0.5 else "fails")
    open_ = f", open in {cells - above - below}" if cells > above + below else ""
    said += f"; surely more than half in {above} of {cells} cells, less in {below}{open_}"
    return Claim(short, claim, said, "mixed" if above and below else "undecided")


def attention_share(
    priced: Sequence[tuple[Family, Callable[..., Cost]]], of: str = "eFLOPs"
) -> AttentionShare | None:
    """Share of attention and search in what the cells of all families cost, as the laws price them.

    Args:
      priced: families, each with what (model, policy, prompt, generated, trials) costs as deployed.
      of: what the shares are of, in words: ``SHARES_OF`` by kind of prices.

    Returns:
      Bounds over all cells, or None where there are none.
    """
    cells = [(cost_of, cell) for family, cost_of in priced for cell in family.cells]
    if not cells:
        return None
    low, high = np.array([_share(cost_of, cell, stretch(len(cells))) for cost_of, cell in cells]).T
    above, below = int((low > 0.5).sum()), int((high < 0.5).sum())
    return AttentionShare(float(low.min()), float(high.max()), above, below, len(cells), of)


def _share(cost_of: Callable[..., Cost], cell: Cell, factor: float) -> tuple[float, float]:
    """Interval of the ratio of two totals over questions (delta method, Student's t)."""
    from scipy import stats

    cost = cost_of(cell.model, cell.policy, cell.prompt_tokens[:, None], cell.generated_tokens, 1)
    if isinstance(cost, CalibratedCost):
        part, whole = cost.seconds_of("attention") + cost.seconds_of("search"), cost.seconds
    else:
        part, whole = (cost.share("attention") + cost.share("search")) * cost.eflops, cost.eflops
    part_q, all_q = (
        (np.where(cell.present, values, 0.0)).sum(axis=1) / cell.samples for values in (part, whole)
    )
    ratio, count = part_q.sum() / all_q.sum(), len(all_q)
    error = (part_q - ratio * all_q).std(ddof=1) / np.sqrt(count) / all_q.mean()
    width = factor * float(stats.t.ppf(0.975, count - 1)) * error
    return max(0.0, float(ratio - width)), min(1.0, float(ratio + width))
