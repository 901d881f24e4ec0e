"""Rules that say after every sample of a question whether another is worth its price.

A rule is plain data and knows nothing of files or engines: it is shown what was seen so far. ``stop_by``
makes the callable that ``Engine.generate(stop=…)`` takes; ``adaptive`` says what rules save on stored ones.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from kinetics_jax.checks import check_number, check_whole
from kinetics_jax.errors import InputError
from kinetics_jax.records.sample import Sample


class StopRule(Protocol):
    """Decides from what the samples of one question showed, in the order in which they finished."""

    def should_stop(self, seen: Sequence[Any]) -> bool:
        """Whether no further sample is to be drawn."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstAccepted:
    """With a verifier: stop at the first accepted sample, and give up when the next is not worth its price.

    The chance that the next sample is accepted after k that were not is α / (α + β + k), where Beta(α, β) is
    how acceptance rates spread over *other* questions (``statistics.fit_beta_binomial``). It only falls as
    samples fail, so to look one sample ahead is to look all the way, while prices stay as they are.
    """

    alpha: float
    beta: float
    worth: float
    """Of an accepted answer, in the unit of prices; infinite: never give up before ``limit``."""
    price: float = 1.0
    """Of a sample, where the question's own are not told."""
    limit: int
    """Most samples of a question."""

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "price"):
            if not check_number(name, getattr(self, name)) > 0:
                raise InputError(f"{name}={getattr(self, name)!r} must be positive")
        if not self.worth > 0:
            raise InputError(f"worth={self.worth!r} must be positive; math.inf never gives up")
        check_whole("limit", self.limit, 1)

    def chance(self, failures: int) -> float:
        """That the next sample is accepted after so many that were not."""
        return self.alpha / (self.alpha + self.beta + failures)

    def should_stop(self, seen: Sequence[bool], prices: Sequence[float] = ()) -> bool:
        """Whether to draw no further sample.

        Args:
            seen: whether each sample so far was accepted.
            prices: what each cost; the next is expected to cost their mean.
        """
        if any(seen) or len(seen) >= self.limit:
            return True
        price = sum(prices) / len(prices) if prices else self.price
        return self.chance(len(seen)) * self.worth < price


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeadingAnswer:
    """Without a verifier: stop when the leading answer stays in the lead with this certainty.

    Adaptive consistency (Aggarwal et al., arXiv:2305.11860): of the leader and its runner-up, Beta(v₁ + 1,
    v₂ + 1) says how likely the leader is the commoner of the two. Also stops once no answer can catch up.
    """

    certainty: float
    """In (0.5, 1]; with 1 only what cannot change any more stops."""
    limit: int
    """Most samples of a question."""

    def __post_init__(self) -> None:
        if not 0.5 < check_number("certainty", self.certainty) <= 1:
            raise InputError(f"certainty={self.certainty!r} must be above 0.5, at most 1")
        check_whole("limit", self.limit, 1)

    def should_stop(self, seen: Sequence[Hashable]) -> bool:
        """Whether to draw no further sample; ``seen`` is the answers, None or empty where there was none."""
        if len(seen) >= self.limit:
            return True
        first, second = _two_most(seen)
        return first - second > self.limit - len(seen) or lead_certainty(first, second) >= self.certainty


@dataclasses.dataclass(frozen=True, kw_only=True)
class SameInWindow:
    """Without a verifier: draw windows of samples and stop after one in which all answers are the same.

    Early-stopping self-consistency (Li et al., arXiv:2401.10480).
    """

    window: int
    limit: int
    """Most samples of a question."""

    def __post_init__(self) -> None:
        check_whole("window", self.window, 2)
        check_whole("limit", self.limit, 1)

    def should_stop(self, seen: Sequence[Hashable]) -> bool:
        """Whether to draw no further sample; ``seen`` is the answers, None or empty where there was none."""
        if len(seen) >= self.limit:
            return True
        whole = bool(seen) and len(seen) % self.window == 0
        return whole and seen[-1] not in (None, "") and len(set(seen[-self.window :])) == 1


def lead_certainty(first: int, second: int) -> float:
    """Chance that the answer with ``first`` votes is commoner than the one with ``second``, flat prior.

    The mass of Beta(first + 1, second + 1) above one half, as a binomial tail. 1 only in the limit.
    """
    tosses = first + second + 1
    return sum(math.comb(tosses, k) for k in range(second + 1, tosses + 1)) / 2**tosses


def _two_most(seen: Sequence[Hashable]) -> tuple[int, int]:
    counts = [count for _, count in Counter(one for one in seen if one not in (None, "")).most_common(2)]
    first, second = [*counts, 0, 0][:2]
    return first, second


def stop_by(rule: StopRule, read: Callable[[int, Sample], Any]) -> Callable[[int, Sequence[Sample]], bool]:
    """What ``Engine.generate(stop=…)`` takes: the rule, with a grader that says what a sample shows.

    Args:
        rule: decides.
        read: place of the prompt among those given, and a finished sample → whether it is accepted, or its
            answer, as the rule wants it. Called once a sample.
    """
    known: dict[Sample, Any] = {}  # not by key: another run's sample has the same

    def stop(prompt: int, finished: Sequence[Sample]) -> bool:
        for sample in finished:
            if sample not in known:
                known[sample] = read(prompt, sample)
        return rule.should_stop([known[sample] for sample in finished])

    return stop
