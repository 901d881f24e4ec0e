"""Laws of the same traces belong together: one group, one law per chip."""

import dataclasses
import re
from collections.abc import Iterable

from kinetics_jax.report.words import printable
from kinetics_jax.scaling.law.choices import priced_on
from kinetics_jax.scaling.law.results import Law, Results

RULES = {"held_out": "held-out rule", "paper": "paper’s rule"}
"""What the flavours of a frontier are called."""


@dataclasses.dataclass(frozen=True)
class Group:
    """The laws of one set of traces."""

    stem: str
    """Unique end of its file names and anchors: lower-case letters, digits and hyphens."""
    laws: tuple[Law, ...]
    """As decoded, one per chip and kind of prices, in the order of the run."""
    projected: tuple[Law, ...]
    """The same traces priced as if another policy had decoded them."""

    @property
    def first(self) -> Law:
        """The law on the chip that was asked for first: the one with figures of its own."""
        return (self.laws or self.projected)[0]

    @property
    def title(self) -> str:
        """Data set and source, on one line."""
        parts = (printable(self.first.dataset), printable(self.first.source))
        return " · ".join(part for part in parts if part)

    @property
    def rows(self) -> tuple[tuple[str, Law], ...]:
        """Every law with what tells it from the others: its chip and what was assumed."""
        return tuple((law_label(law), law) for law in (*self.laws, *self.projected))


def law_label(law: Law) -> str:
    """The chip of a law, whose prices, and the policy it was projected with, if any."""
    chip = printable(priced_on(law) or law.chip)
    return f"{chip}, if {printable(law.projected_policy)}" if law.projected_policy else chip


def group_laws(results: Results) -> tuple[Group, ...]:
    """The laws by data set and source, in the order in which each is first seen."""
    found: dict[tuple[str, str], list[Law]] = {}
    for law in results.laws:
        found.setdefault((law.dataset, law.source), []).append(law)
    stems = _unique(slug("-".join(part for part in key if part)) for key in found)
    return tuple(
        Group(
            stem,
            tuple(law for law in laws if not law.projected_policy),
            tuple(law for law in laws if law.projected_policy),
        )
        for stem, laws in zip(stems, found.values(), strict=True)
    )


def rule(flavour: str) -> str:
    """A flavour in words."""
    return RULES.get(flavour, printable(flavour))


def slug(text: str) -> str:
    """A file name's stem: what is not a plain letter or digit becomes a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "traces"


def _unique(stems: Iterable[str]) -> list[str]:
    """The stems, with -2, -3 … after those that were there before."""
    seen: dict[str, int] = {}
    unique: list[str] = []
    for stem in stems:
        seen[stem] = seen.get(stem, 0) + 1
        candidate = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"
        while candidate in unique:
            seen[stem] += 1
            candidate = f"{stem}-{seen[stem]}"
        unique.append(candidate)
    return unique
