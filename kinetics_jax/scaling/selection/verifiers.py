"""Who picks one of N answers, and what that costs: a perfect verifier, a vote, a verifier that errs.

All N samples are generated and paid for whoever picks. ``perfect`` is what pass@N assumes: somebody knows
which answer is right, for nothing.
"""

import ast
import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from kinetics_jax.checks import python_number, shown
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.scaling.selection.majority import majority_table
from kinetics_jax.scaling.selection.noisy_verifier import Floats, Ints, best_of_n_table, expected_best_of_n
from kinetics_jax.scaling.statistics.pass_at_k import pass_at_k_table
from kinetics_jax.scaling.statistics.shrinkage import expected_pass_at_k, solve_rate_prior


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What some samples of each question show, for C configurations."""

    n_q: Ints
    """Samples, [Q]."""
    c_qc: Ints
    """Right ones, cut where the configuration cuts, [Q, C]."""
    trials_c: Ints
    """N of each configuration, [C]."""
    answer_qcs: Ints | None
    """Answers as ``Cell.answers``, those of cut samples lost, [Q, C, S]; None where not recorded."""
    correct_qs: np.ndarray
    """[Q, S]"""
    chosen_qs: np.ndarray
    """Which of the samples these are, [Q, S]."""


@dataclasses.dataclass(frozen=True)
class Verifier:
    """Picks one of N answers. Cost is on top of the samples' own."""

    cost: float = 0.0
    """As a share of what the sample cost to generate."""
    reader: str = ""
    """Model that reads prompt and sample and writes one token, priced instead of a share; empty: none."""

    def __post_init__(self) -> None:
        number = python_number(self.cost)
        if number is None or not 0 <= number < np.inf:
            raise InputError(f"cost={shown(self.cost)} must be a share of the generation's cost, at least 0")
        if not isinstance(self.reader, str):
            raise InputError(f"reader={shown(self.reader)} must be the name of a model")
        if self.cost and self.reader:
            raise InputError(f"cost={self.cost} and reader={self.reader}: give one of them")

    @property
    def label(self) -> str:
        """As ``parse_verifiers`` reads it."""
        shown_fields = [
            f"{field.name}={getattr(self, field.name)}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        name = next(name for name, kind in KINDS.items() if kind is type(self))
        return f"{name}({','.join(shown_fields)})" if shown_fields else name

    @property
    def needs_answers(self) -> bool:
        """Whether it compares answers, so that they must have been recorded."""
        return False

    def score(self, seen: Outcomes, *, shrink: bool) -> tuple[Floats, Floats]:
        """(expected accuracy without bias, what to choose by), [Q, C] each.

        ``shrink``: choose by a steadier guess, as ``statistics.shrinkage`` explains.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Perfect(Verifier):
    """Knows which answer is right: pass@N."""

    def score(self, seen: Outcomes, *, shrink: bool) -> tuple[Floats, Floats]:
        """See ``Verifier``."""
        found = pass_at_k_table(seen.n_q, seen.c_qc, seen.trials_c)
        steady = expected_pass_at_k(seen.n_q, seen.c_qc.astype(float), seen.trials_c) if shrink else found
        return found, steady


@dataclasses.dataclass(frozen=True)
class Majority(Verifier):
    """Takes the commonest answer: maj@N. Needs answers, and no model."""

    @property
    def needs_answers(self) -> bool:
        """See ``Verifier``."""
        return True

    def score(self, seen: Outcomes, *, shrink: bool) -> tuple[Floats, Floats]:
        """See ``Verifier``. Nothing is shrunk: a vote does not tie at 1 for one success."""
        if seen.answer_qcs is None:
            raise InputError("a majority vote needs the samples' answers, and these are not recorded")
        columns = [
            majority_table(seen.answer_qcs[:, c], seen.correct_qs, seen.chosen_qs, int(trials))
            for c, trials in enumerate(seen.trials_c)
        ]
        found = np.stack(columns, axis=1)
        return found, found


@dataclasses.dataclass(frozen=True)
class Roc(Verifier):
    """Accepts right samples at one rate, wrong ones at another; picks among the accepted, else among all."""

    true_positive: float = dataclasses.field(default=np.nan, kw_only=True)
    false_positive: float = dataclasses.field(default=np.nan, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("true_positive", "false_positive"):
            rate = python_number(getattr(self, name))
            if rate is None or not 0 <= rate <= 1:
                raise InputError(f"{name}={shown(getattr(self, name))} must be in [0, 1]: roc(0.9, 0.1)")

    @property
    def label(self) -> str:
        """See ``Verifier``."""
        cost = f",reader={self.reader}" if self.reader else f",cost={self.cost:g}" if self.cost else ""
        return f"roc({self.true_positive:g},{self.false_positive:g}{cost})"

    def score(self, seen: Outcomes, *, shrink: bool) -> tuple[Floats, Floats]:
        """See ``Verifier``. A cut sample is a wrong one."""
        rates = (self.true_positive, self.false_positive)
        found = best_of_n_table(seen.n_q, seen.c_qc, seen.trials_c, rates)
        if not shrink:
            return found, found
        alpha_c, beta_c = solve_rate_prior(seen.n_q, seen.c_qc.astype(np.float64))
        alpha_qc = alpha_c + seen.c_qc
        beta_qc = beta_c + seen.n_q[:, None] - seen.c_qc
        return found, expected_best_of_n(alpha_qc, beta_qc, seen.trials_c, rates)


KINDS: dict[str, type[Verifier]] = {"perfect": Perfect, "majority": Majority, "roc": Roc}


def parse_verifiers(texts: Iterable[str]) -> tuple[Verifier, ...]:
    """Verifiers from texts such as ``perfect``, ``majority`` or ``roc(0.9, 0.1, cost=0.05)``.

    ``roc`` takes the rates of true and false positives and ``cost=SHARE`` or ``reader=MODEL``.

    Args:
        texts: one a verifier.

    Raises:
        InputError: a text that is no such call, a rate outside [0, 1], or a verifier that is there twice.
    """
    found = tuple(parse_verifier(str(text)) for text in texts)
    labels = [verifier.label for verifier in found]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise InputError(f"verifier {twice} is there twice: name each once")
    return found


def parse_verifier(text: str) -> Verifier:
    """One of ``parse_verifiers``."""
    name, bracket, rest = text.strip().partition("(")
    if name not in KINDS:
        raise UnknownNameError("verifier", name, list(KINDS))
    if bracket and not rest.endswith(")"):
        raise InputError(f"verifier {text!r}: write it as roc(0.9, 0.1, cost=0.05)")
    rates = ["true_positive", "false_positive"] if name == "roc" else []
    fields: dict[str, Any] = {}
    for part in [part.strip() for part in rest.removesuffix(")").split(",") if part.strip()]:
        field, given, value = (word.strip() for word in part.partition("="))
        if not given:
            if not rates:
                raise InputError(f"verifier {text!r}: {part!r} has no name; {name} takes cost= or reader=")
            field, value = rates.pop(0), part
        if field in fields or field not in {f.name for f in dataclasses.fields(KINDS[name])}:
            raise InputError(f"verifier {text!r}: it takes no {field}, or has it twice")
        fields[field] = value if field == "reader" else _number(value, text)
    return KINDS[name](**fields)


def _number(value: str, where: str) -> float:
    try:
        number = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        number = None
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise InputError(f"verifier {where!r}: {value!r} is no number")
    return float(number)
