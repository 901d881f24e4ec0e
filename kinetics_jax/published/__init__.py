"""The paper (arXiv:2506.05333) claim by claim: what it says, and what comes out when we compute it.

``findings()`` takes a second, offline: prices, shapes, frontiers and fits of this library over points of the
published figures (``figures.toml``, read off and rounded). ``kinetics_jax.scaling.law.paper_claims`` asks
another thing: what *your* traces say of the paper. No JAX.
"""

from kinetics_jax.published.claims import findings
from kinetics_jax.published.finding import VERDICTS, Finding
from kinetics_jax.published.tables import as_json, as_markdown, as_text, docs_page

__all__ = ["VERDICTS", "Finding", "as_json", "as_markdown", "as_text", "docs_page", "findings"]
