"""What other prices move in a law: the same traces by the data sheet and by kernels as measured.

Both laws are found from the same resamples, each on the deployment that is the cheapest by its own prices.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from kinetics_jax.costs import Cost
from kinetics_jax.scaling.law.choices import cost_text, main_bands, source_name
from kinetics_jax.scaling.law.judged_laws import params
from kinetics_jax.scaling.law.measures import NAMES
from kinetics_jax.scaling.law.paper_claims import AttentionShare, claims
from kinetics_jax.scaling.law.price_move_results import Moved, PriceMove
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.sensitivity import NOTHING, Said, same, statements
from kinetics_jax.scaling.law.sparse_sentences import costs_of_most
from kinetics_jax.scaling.statistics.intervals import Estimate
from kinetics_jax.scaling.traces.comparable import Family

Priced = Sequence[tuple[Family, Callable[..., Cost]]]


def price_moves(laws: Sequence[Law], share: Callable[[Law], AttentionShare | None]) -> tuple[PriceMove, ...]:
    """Every law that was found under both kinds of prices, held against itself.

    Args:
      laws: of one run of both.
      share: attention's share in what a law's cells cost, or None where it is not known.
    """
    alike: dict[tuple[str, str, str], list[Law]] = {}
    for law in laws:
        alike.setdefault((law.dataset, law.source, law.chip), []).append(law)
    found = []
    for group in alike.values():
        own = {law.prices: law for law in group if not law.projected_policy}
        if len(own) == len(NAMES):
            said = {prices: _said(law, share(law)) | _saving(law, group) for prices, law in own.items()}
            found.append(_moved(own["data_sheet"], said["data_sheet"], said["calibrated"]))
    return tuple(found)


def _moved(ideal: Law, before: Mapping[str, Said], after: Mapping[str, Said]) -> PriceMove:
    rows = tuple(
        Moved(
            statement=name,
            data_sheet=before.get(name, NOTHING).text,
            calibrated=after.get(name, NOTHING).text,
            same=same(before.get(name, NOTHING), after.get(name, NOTHING)),
        )
        for name in dict.fromkeys((*before, *after))
    )
    return PriceMove(
        dataset=ideal.dataset,
        source=ideal.source,
        chip=ideal.chip,
        chip_label=ideal.chip_label,
        measure=ideal.measure,
        rows=rows,
        sentence=_sentence(ideal, rows),
    )


def _said(law: Law, share: AttentionShare | None) -> dict[str, Said]:
    """What a law says, with the numbers behind it."""
    found = statements(law) | _takeovers(law)
    end = law.best_frontier
    found["the most that is solved"] = Said(
        f"{end.accuracy[-1]:.0%} [{end.low[-1]:.0%}–{end.high[-1]:.0%}]", float(end.accuracy[-1])
    )
    if law.threshold is not None:
        text = _interval(law.threshold, params)
        found["size that the frontier climbs most with"] = Said(text, float(law.threshold.value))
    if law.sparse is not None:
        gain, cheaper = law.sparse.gain, law.sparse.cheaper
        key = found["sparse against dense at equal cost"].key
        text = f"{_interval(gain, '{:+.1f}'.format)} points"
        found["sparse against dense at equal cost"] = Said(text, key)
        found["cost of 95 % of what dense solves, sparse"] = Said(
            f"{_interval(cheaper, '{:.1f}'.format)}, dense's over sparse's (0: never)", float(cheaper.value)
        )
    verdicts = [claim for claim in claims([law], share) if claim.verdict != "untested"]
    return found | {
        f"claim: {claim.short}": Said(f"{claim.verdict}: {claim.finding}", claim.verdict)
        for claim in verdicts
    }


def _saving(law: Law, group: Sequence[Law]) -> dict[str, Said]:
    """What a projected policy would save by the prices of ``law``, if it changed no answer."""
    found = {}
    for other in group:
        if other.projected_policy and other.prices == law.prices:
            before, after = costs_of_most(other, law)
            name = f"if {other.projected_policy} changed no answer: cost of 95 % of the best"
            found[name] = Said(f"{before / after:.1f}× less", before / after)
    return found


def _takeovers(law: Law) -> dict[str, Said]:
    """From which cost on each model takes over from the one before it; the first time."""
    found: dict[str, Said] = {}
    for before, band in itertools.pairwise(main_bands(law.best_frontier.bands)):
        low, high = band.start_low, band.start_high
        known = f"[{cost_text(law, low)}, {cost_text(law, high)}]" if math.isfinite(high) else "[not known]"
        key = band.start if math.isfinite(high) else "not known"
        said = Said(f"{cost_text(law, band.start)} {known}", key)
        found.setdefault(f"cost at which {band.model} takes over from {before.model}", said)
    return found


def _interval(found: Estimate, text: Callable[[float], str]) -> str:
    if found.low is None or found.high is None:
        return text(found.value)
    high = f", {text(found.high)}" if math.isfinite(found.high) else " and more"
    return f"{text(found.value)} [{text(found.low)}{high}]"


def _sentence(law: Law, rows: Sequence[Moved]) -> str:
    """How much stays, then what each kind of prices says of what does not."""
    stay = sum(row.same for row in rows)
    where = f"{law.dataset} ({source_name(law)}) on {law.chip_label}"
    said = f"Under calibrated prices {stay} of {len(rows)} statements of {where} stay"
    moved = [
        f"{row.statement}: {_short(row, row.data_sheet)} by the data sheet, {_short(row, row.calibrated)}"
        for row in rows
        if not row.same
    ]
    return f"{said}; moved are {'; '.join(moved)}." if moved else f"{said}."


def _short(row: Moved, text: str) -> str:
    """Of a claim, its verdict."""
    return text.partition(": ")[0] if row.statement.startswith("claim: ") else text


def moves_sentence(found: Sequence[PriceMove]) -> tuple[str, ...]:
    """How many statements of all laws both kinds of prices make; none where not both were asked for."""
    rows = [row for one in found for row in one.rows]
    if not rows:
        return ()
    stay, laws = sum(row.same for row in rows), f"{len(found)} law{'s' * (len(found) != 1)}"
    names = [row.statement for row in rows if not row.same]
    counted = [f"{name} ({names.count(name)})" for name in dict.fromkeys(names)]
    moved = f"; moved: {', '.join(counted)}" if counted else ""
    return (
        f"{stay} of {len(rows)} statements of {laws} are the same by the data sheet and by calibrated prices "
        f"(both modelled){moved}.",
    )
