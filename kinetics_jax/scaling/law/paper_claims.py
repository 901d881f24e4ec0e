"""The paper's claims against traces: what these say of each, and whether it holds on them.

A family counts once, on its first chip: chips share the traces.
"""

import itertools
from collections.abc import Callable, Sequence

from kinetics_jax.costs import Cost
from kinetics_jax.scaling.law.choices import main_bands, source_name
from kinetics_jax.scaling.law.result_parts import Claim
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.traces.comparable import Family


def claims(laws: Sequence[Law], share: tuple[float, float] | None) -> tuple[Claim, ...]:
    """Every claim that is looked at.

    Args:
      laws: all laws found.
      share: ``attention_share``, if known.
    """
    first = {(x.dataset, x.source): x for x in reversed(laws) if not x.projected_policy}
    real = [law for law in laws if law in first.values()]
    return (
        _attention_claim(share),
        _size_claim(real),
        _token_claim(real),
        _bias_claim(real),
        _sparse_claim(real),
    )


def attention_share(priced: Sequence[tuple[Family, Callable[..., Cost]]]) -> tuple[float, float] | None:
    """Least and largest mean share of attention and search in the eFLOPs of a cell, as the laws price it.

    Args:
      priced: families, each with what (model, policy, prompt, generated, trials) costs as deployed.
    """
    shares = []
    for family, cost_of in priced:
        for cell in family.cells:
            cost = cost_of(cell.model, cell.policy, cell.prompt_tokens[:, None], cell.generated_tokens, 1)
            share = cost.share("attention") + cost.share("search")
            shares.append(float(share[cell.present].mean()))
    return (min(shares), max(shares)) if shares else None


def claims_answer(found: Sequence[Claim]) -> str:
    """One sentence that says what holds, what does not and what was not tested; empty without claims."""
    words = {
        "holds": "these traces bear out",
        "mixed": "in part",
        "fails": "they contradict",
        "untested": "not tested",
    }
    parts = []
    for verdict, said in words.items():
        shorts = [claim.short for claim in found if claim.verdict == verdict]
        if shorts:
            parts.append(f"{said}: {', '.join(shorts)}")
    return f"Of the paper's claims, {'; '.join(parts)}." if parts else ""


def _verdict(agree: int, tested: int) -> str:
    return "holds" if agree == tested else "mixed" if agree else "fails"


def _attention_claim(share: tuple[float, float] | None) -> Claim:
    short = "attention is most of the cost"
    claim = "attention's memory traffic, not parameters, is what reasoning costs (§2)"
    if share is None:
        return Claim(short, claim, "no trace was priced", "untested")
    low, high = share
    said = f"attention and search are {low:.0%} to {high:.0%} of the eFLOPs of these traces, by cell"
    return Claim(short, claim, said, "holds" if low > 0.5 else "fails" if high < 0.5 else "mixed")


def _size_claim(laws: Sequence[Law]) -> Claim:
    """Sizes rise: several take turns, never a smaller after a larger. There is a threshold to stop at:
    the last is not the largest on offer.
    """
    short = "larger models as cost grows, up to a threshold"
    claim = "grow the model first, up to a threshold (14B on AIME), then spend on tokens (§3)"
    parts, rise, stop = [], 0, 0
    for law in laws:
        if len(set(law.sizes)) < 2:
            continue
        bands = main_bands(law.best_frontier.bands)
        sizes = [law.sizes[law.models.index(band.model)] for band in bands]
        rising = all(a <= b for a, b in itertools.pairwise(sizes)) and len(set(sizes)) > 1
        rise += rising
        stop += rising and sizes[-1] < max(law.sizes)
        order = " → ".join(map(_params, sizes))
        parts.append(f"{law.dataset}/{source_name(law)} {order} of {_params(max(law.sizes))}")
    if not parts:
        return Claim(short, claim, "no family has two model sizes", "untested")
    said = (
        f"sizes rise with cost in {rise} of {len(parts)} families and stop below the largest on offer in "
        f"{stop}: {'; '.join(parts)}"
    )
    verdict = "holds" if stop == len(parts) else "mixed" if rise else "fails"
    return Claim(short, claim, said, verdict)


def _params(count: float) -> str:
    return f"{count / 1e9:.1f}B" if count >= 1e8 else f"{count / 1e6:.2f}M"


def _token_claim(laws: Sequence[Law]) -> Claim:
    """Counts only laws that predict: fitted on the cheaper costs, they miss the others by under half."""
    short = "optimal tokens grow as cost^0.80"
    claim = "optimal tokens grow as cost^0.80 (1.74× per doubling; Qwen3-8B, AIME24, sparse, Fig. 7)"
    known = []
    for law in laws:
        fits = law.best_frontier.fits
        fit, miss = fits.get("tokens.b"), fits.get("tokens.miss")
        if fit and miss and miss.value < 0.5 and fit.low is not None and fit.high is not None:
            known.append((fit.value, fit.low <= 0.80 <= fit.high))
    if not known:
        return Claim(short, claim, "no family has an exponent that predicts its own dearer costs", "untested")
    agree = sum(inside for _, inside in known)
    low, high = min(value for value, _ in known), max(value for value, _ in known)
    said = (
        f"exponents {low:.2f} to {high:.2f} where the law predicts its own dearer costs; 0.80 is "
        f"in the interval of {agree} of {len(known)}"
    )
    return Claim(short, claim, said, _verdict(agree, len(known)))


def _bias_claim(laws: Sequence[Law]) -> Claim:
    short = "choosing on the scored samples is fair"
    claim = "choosing the best configuration on the samples it is scored on is fair (App. D.2)"
    values = sorted(law.optimism.value for law in laws if law.optimism is not None)
    if not values:
        return Claim(short, claim, "run with --frontier=both to compare", "untested")
    sure = [law.optimism for law in laws if law.optimism and law.optimism.low is not None]
    flattered = sum((optimism.low or 0) > 0 for optimism in sure)
    said = (
        f"it adds {values[len(values) // 2]:.1f} points in the median family, {values[-1]:.1f} in the "
        f"worst; more than nothing, by a 95 % interval, in {flattered} of the {len(sure)} families "
        "that have one"
    )
    verdict = "untested" if not sure else _verdict(len(sure) - flattered, len(sure))
    return Claim(short, claim, said, verdict)


def _sparse_claim(laws: Sequence[Law]) -> Claim:
    """Holds where the interval of the gain is above nothing, fails where it is below; else mixed."""
    short = "sparse attention wins at equal cost"
    claim = "sparse attention wins at every cost (§4)"
    measured = [law.sparse for law in laws if law.sparse is not None]
    if not measured:
        said = "no model was decoded both densely and sparsely; projections are no evidence"
        return Claim(short, claim, said, "untested")
    low = min(sparse.gain.value for sparse in measured)
    high = max(sparse.gain.value for sparse in measured)
    up = sum((sparse.gain.low or 0) > 0 for sparse in measured)
    down = sum((sparse.gain.high or 0) < 0 for sparse in measured)
    said = (
        f"{low:+.1f} to {high:+.1f} points at equal cost, mean over costs; above nothing by a 95 % interval "
        f"in {up} of {len(measured)} families, below in {down}"
    )
    verdict = "holds" if up == len(measured) else "fails" if down == len(measured) else "mixed"
    return Claim(short, claim, said, verdict)
