"""One row: what the paper claims, what we find, and the verdict that follows from the two."""

import dataclasses
from typing import Literal

REPRODUCED, REFUTED = "reproduced", "refuted"
VERDICTS = (REPRODUCED, REFUTED, "needs traces", "needs a chip")
Rule = Literal["equal", "at least", "at most"]
Basis = Literal["computed", "chance", "figure", "read off", "traces", "a chip"]


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
    """None: nothing that the package holds can say; ``basis`` says what could."""
    tolerance: float = 0.0
    """How far ours may lie off: the rounding of the published figure, or how well we can read."""
    rule: Rule = "equal"
    """Whether the published figure is a value, a lower bound or an upper bound."""
    basis: Basis = "computed"
    """Shapes and prices alone; exact chances; curves of a figure; a span read off a drawing. Where ours is
    None: what it would take."""
    note: str = ""

    def __post_init__(self) -> None:
        if (self.ours is None) != (self.basis in ("traces", "a chip")):
            raise ValueError(f"{self.id}: a row has a figure of ours, or says what is needed for one")

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``, from the two figures alone."""
        if self.ours is None:
            return f"needs {self.basis}"
        return REPRODUCED if self._agrees() else REFUTED

    def _agrees(self) -> bool:
        if isinstance(self.published, str) or isinstance(self.ours, str) or self.ours is None:
            return self.published == self.ours
        beyond = self.ours - self.published
        if self.rule == "equal":
            return abs(beyond) <= self.tolerance
        return beyond >= -self.tolerance if self.rule == "at least" else beyond <= self.tolerance
