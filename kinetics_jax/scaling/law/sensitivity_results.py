"""What of a law survives other deployments, as data: filled in by ``sensitivity``."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survival:
    """One sentence of a law against every deployment that was tried."""

    statement: str
    """What it is about, such as ``models from cheap to dear``."""
    said: str
    """What the law says of it."""
    survives: int
    """Deployments under which it is said too."""
    tried: int
    flips_at: str
    """The first of ``Sensitivity.deployments`` that says something else; or empty."""
    becomes: str
    """What it says there."""
    flips: tuple[str, ...]
    """Every deployment that says something else."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """One family of traces on one chip under many deployments."""

    dataset: str
    source: str
    chip: str
    resamples: int
    """Resamples of the questions behind each verdict, the same for all deployments."""
    deployments: tuple[str, ...]
    """What was tried, the nearest to the law's own first."""
    refused: tuple[str, ...]
    """Deployments that could not be priced, each with its reason."""
    rows: tuple[Survival, ...]
    sentences: tuple[str, ...]
    """In words: those of ``rows`` that do not survive all."""
