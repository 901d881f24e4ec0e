"""All claims, in the order in which they are shown."""

from kinetics_jax.published import from_chance, from_drawings, from_figures, from_prices, from_shapes
from kinetics_jax.published.finding import Finding

COMPUTED = (*from_shapes.CLAIMS, *from_prices.CLAIMS, *from_figures.CLAIMS, *from_chance.CLAIMS)


def findings() -> tuple[Finding, ...]:
    """Every claim that is looked at, computed now where there is something to compute."""
    return (*(claim() for claim in COMPUTED), *from_drawings.READ_OFF, *from_drawings.UNANSWERED)
