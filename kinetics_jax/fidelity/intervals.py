"""Many measurements of fidelity → one row per context and policy, with intervals over passages.

Passages are the sample: tokens of one passage are not independent. They are a handful, so intervals are
Student's t and not resamples, which cover less than they say (``statistics.mean_interval``).
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.fidelity.records import Fidelity
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.statistics import Interval, mean_interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class FidelityRow:
    """One policy at one context, over the passages of one text or of all."""

    text: str
    """``all`` for every text, each weighted alike."""
    context: int
    policy: Policy
    kv_reads: float
    passages: int
    kl: float
    kl_interval: Interval | None
    """Of the mean over passages; None where a text has one passage only."""
    perplexity_ratio: float
    """Perplexity ÷ that of dense attention, from mean losses."""
    ratio_interval: Interval | None
    dense_perplexity: float
    agreement: float


def summarise(records: Iterable[Fidelity], *, level: float = 0.95) -> list[FidelityRow]:
    """Rows for every text by itself, then for all, in the order of the records.

    Raises ``InputError`` where there are no records, or a passage lacks a policy that another has.
    """
    records = list({record.key: record for record in records}.values())
    if not records:
        raise InputError("there are no fidelity records to summarise")
    texts = list(dict.fromkeys(record.text for record in records))
    cells = dict.fromkeys((record.context, record.policy) for record in records)
    rows = []
    for chosen in [[text] for text in texts] + ([texts] if len(texts) > 1 else []):
        for context, policy in cells:
            found = [r for r in records if (r.context, r.policy) == (context, policy)]
            by_text = [[r for r in found if r.text == text] for text in chosen]
            if not all(by_text):
                raise InputError(f"{policy.label} at {context}: not measured on every text")
            rows.append(_row(chosen, by_text, level))
    return rows


def _row(chosen: Sequence[str], by_text: Sequence[Sequence[Fidelity]], level: float) -> FidelityRow:
    first = by_text[0][0]
    kl, loss, dense, agreement = (
        [np.array([getattr(record, field) for record in records]) for records in by_text]
        for field in ("kl", "loss", "dense_loss", "agreement")
    )
    several = min(map(len, by_text)) > 1
    lost = [a - b for a, b in zip(loss, dense, strict=True)]
    return FidelityRow(
        text=chosen[0] if len(chosen) == 1 else "all",
        context=first.context,
        policy=first.policy,
        kv_reads=first.kv_reads,
        passages=sum(map(len, by_text)),
        kl=_mean(kl),
        kl_interval=_positive(mean_interval(kl, level)) if several else None,
        perplexity_ratio=math.exp(_mean(lost)),
        ratio_interval=_exponential(mean_interval(lost, level)) if several else None,
        dense_perplexity=math.exp(_mean(dense)),
        agreement=_mean(agreement),
    )


def _mean(by_text: Sequence[np.ndarray]) -> float:
    """The mean over texts of the mean over their passages."""
    return float(np.mean([each.mean() for each in by_text]))


def _positive(ends: Interval) -> Interval:
    return Interval(max(ends.low, 0.0), ends.high, ends.level)


def _exponential(ends: Interval) -> Interval:
    return Interval(math.exp(ends.low), math.exp(ends.high), ends.level)
