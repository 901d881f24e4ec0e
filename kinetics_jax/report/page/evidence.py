"""What the data are and are not, and what they say about the paper's claims."""

from kinetics_jax.report import words
from kinetics_jax.report.groups import Group
from kinetics_jax.report.markup import Markup, bullets, el, join, table
from kinetics_jax.report.page.laws import ANCHOR
from kinetics_jax.report.page.parts import Context, Section

_VERDICTS = ("holds", "fails", "mixed", "untested")


def data(context: Context) -> Section:
    """One row a set of traces, and what took no part; the cells stand with each law."""
    rows = [_row(group) for group in context.groups]
    head = ("data set", "source", "questions", "left out", "models", "cells", "samples", "most solved")
    parts: list[Markup] = []
    if rows:
        parts += [el("p", _WHAT), table(head, rows, numeric=range(2, 8))]
    if context.results.skipped:
        parts += [el("h3", "What took no part"), bullets(context.results.skipped)]
    return Section("data", "What the data are, and are not", join(parts))


_WHAT = (
    "Only traces of one data set from one source stand in one law: others differ in prompts, sampling and "
    "grading. Questions that some cell of the law lacks are left out. A cell is one model under one policy "
    "and one cap; what else limits its samples stands in the notes of the law."
)


def _row(group: Group) -> tuple[object, ...]:
    law = group.first
    return (
        el("a", law.dataset, href=f"#{ANCHOR}{group.stem}"),
        law.source,
        f"{law.questions:,}",
        f"{law.dropped_questions:,}",
        f"{len(law.models):,}",
        f"{len(law.cells):,}",
        f"{sum(cell.samples for cell in law.cells):,}",
        words.percent(max((cell.accuracy for cell in law.cells), default=None)),
    )


def claims(context: Context) -> Section:
    """The paper's claims, row by row."""
    rows = [(c.claim, c.finding, _verdict(c.verdict)) for c in context.results.claims]
    body = table(("the paper says", "these traces say", "verdict"), rows)
    return Section("claims", "The paper’s claims against these traces", body)


def _verdict(verdict: str) -> Markup:
    kind = verdict if verdict in _VERDICTS else "untested"
    return el("span", verdict, class_=f"verdict {kind}")
