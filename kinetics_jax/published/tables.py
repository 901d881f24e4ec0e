"""Findings as text for a terminal, as Markdown and as JSON."""

import dataclasses
import json
import textwrap
from collections import Counter
from collections.abc import Sequence

from kinetics_jax.published.finding import VERDICTS, Finding

WIDTH = 110
_BASIS = {
    "computed": "shapes and prices alone",
    "chance": "exact binomial chances",
    "figure": "points of the published curves",
    "read off": "a span read off the drawing",
}


def as_text(found: Sequence[Finding]) -> str:
    """One paragraph a claim: verdict, the two figures, and why."""
    parts = []
    for row in found:
        figures = f"paper {_published(row)}, here {_ours(row)} {row.unit}"
        parts.append(f"{row.verdict:12}  {row.id}: {figures}")
        said = f"{row.claim} ({row.where}); {row.note}" if row.note else f"{row.claim} ({row.where})"
        parts.append(textwrap.fill(said, WIDTH, initial_indent=" " * 14, subsequent_indent=" " * 14))
    return "\n".join([*parts, "", f"{len(found)} claims of arXiv:2506.05333: {_counts(found)}."])


def as_markdown(found: Sequence[Finding]) -> str:
    """A table, one line a claim."""
    lines = [
        "| id | the paper says | where | unit | published | here | may differ by | verdict | rests on | "
        "note |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        cells = (row.id, row.claim, row.where, row.unit, _published(row), _ours(row))
        basis = "nothing here" if row.ours is None else _BASIS[row.basis]
        more = (f"{row.tolerance:g}", row.verdict, basis, row.note)
        lines.append(f"| {' | '.join((*cells, *more))} |")
    return "\n".join([*lines, "", f"{len(found)} claims: {_counts(found)}."])


def as_json(found: Sequence[Finding]) -> str:
    """Strict JSON: a list of rows, each with its verdict."""
    rows = [{**dataclasses.asdict(row), "verdict": row.verdict} for row in found]
    return json.dumps({"paper": "arXiv:2506.05333", "claims": rows}, indent=1, ensure_ascii=False) + "\n"


def docs_page(found: Sequence[Finding]) -> str:
    """``docs/paper_claims.md``, which a test holds."""
    return _PAGE.format(table=as_markdown(found))


def _published(row: Finding) -> str:
    sign = {"equal": "", "at least": "≥ ", "at most": "≤ "}[row.rule]
    return sign + _number(row.published)


def _ours(row: Finding) -> str:
    return "not known" if row.ours is None else _number(row.ours)


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _counts(found: Sequence[Finding]) -> str:
    count = Counter(row.verdict for row in found)
    return ", ".join(f"{count[verdict]} {verdict}" for verdict in VERDICTS if count[verdict])


_PAGE = """# The paper, claim by claim

*Kinetics: Rethinking Test-Time Scaling Laws* ([arXiv:2506.05333](https://arxiv.org/abs/2506.05333)). This
page is written by `kinetics paper --docs=docs/paper_claims.md`, and a test holds it; `kinetics paper`
prints the same in a second, offline.

A row compares a published figure with one that this library computes: from the shapes of the models and the
prices of samples, from points of the published curves (rounded, in `kinetics_jax/published/figures.toml`),
or, where we have no curve, with the span that the paper's own drawing shows. *Refuted* says that the figure
is another one by the paper's own definitions, shapes or curves, or that the claim fails for a model that it
speaks of. *Needs traces* and *needs a chip* name what would answer it. What traces of your own say of the
paper is in the report of `kinetics law`.

Of Fig. 8d's dense frontier we hold seven points only, worked out from gaps and ratios that were read off the
drawing: the four rows that use it compare the paper's text with its drawing.

Curves of 30 questions carry no interval here: a row *reproduced* from a figure says that text and figure
agree, not that another sample would.

{table}
"""
