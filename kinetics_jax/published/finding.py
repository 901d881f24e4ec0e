"""One row: what the paper claims, what we find, and the verdict that follows from the two."""

import dataclasses
from typing import Literal

REPRODUCED, REFUTED, NEEDS_TRACES, NEEDS_A_CHIP = "reproduced", "refuted", "needs traces", "needs a chip"
VERDICTS = (REPRODUCED, REFUTED, NEEDS_TRACES, NEEDS_A_CHIP)
Rule = Literal["equal", "at least", "at most"]
Basis = Literal["computed", "chance", "figure", "read off", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim of the paper beside our own figure."""

    id: str
    claim: str
    """In our words."""
    where: str
    """Section, figure or table of arXiv:2506.05333; "scripts" are its released code."""
    unit: str
    published: float | str
    ours: float | str | None = None
    """None: nothing that the package holds can say; ``needs`` says what could."""
    tolerance: float = 0.0
    """How far ours may lie off: the rounding of the published figure, or how well we can read."""
    rule: Rule = "equal"
    """Whether the published figure is a value, a lower bound or an upper bound."""
    basis: Basis = "computed"
    """Shapes and prices alone; exact chances; curves of a figure; a span read off a drawing."""
    needs: Literal["traces", "a chip", ""] = ""
    note: str = ""

    def __post_init__(self) -> None:
        if (self.ours is None) != bool(self.needs):
            raise ValueError(f"{self.id}: a row has a figure of ours, or says what is needed for one")

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``, from the two figures alone."""
        if self.needs:
            return NEEDS_TRACES if self.needs == "traces" else NEEDS_A_CHIP
        return REPRODUCED if self._agrees() else REFUTED

    def _agrees(self) -> bool:
        if isinstance(self.published, str) or isinstance(self.ours, str) or self.ours is None:
            return self.published == self.ours
        beyond = self.ours - self.published
        if self.rule == "equal":
            return abs(beyond) <= self.tolerance
        return beyond >= -self.tolerance if self.rule == "at least" else beyond <= self.tolerance
