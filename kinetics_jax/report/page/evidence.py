"""What the data are and are not, and what they say about the paper's claims."""

from kinetics_jax.report import words
from kinetics_jax.report.groups import Group
from kinetics_jax.report.markup import Markup, bullets, el, join, table
from kinetics_jax.report.page.parts import Context, Section
from kinetics_jax.scaling.results import CellSummary

_MANY_CELLS = 14
_VERDICTS = ("holds", "fails", "untested")


def data(context: Context) -> Section:
    """The cells that went into each law, and what took no part."""
    parts = [_group(context, group) for group in context.groups]
    if context.results.skipped:
        parts += [el("h3", "What took no part"), bullets(context.results.skipped)]
    return Section("data", "What the data are, and are not", join(parts))


def _group(context: Context, group: Group) -> Markup:
    law = group.first
    samples = sum(cell.samples for cell in law.cells)
    text = (
        f"{words.counted(samples, 'sample')} in {words.counted(len(law.cells), 'cell')} on "
        f"{words.counted(law.questions, 'question')} that all of them answer"
    )
    if law.dropped_questions:
        text += f"; {words.counted(law.dropped_questions, 'question')} left out that some cell lacks"
    cells_by_size = sorted(
        law.cells, key=lambda cell: (context.palette.size(cell.model), cell.model, cell.policy)
    )
    rows = [_cell(context, cell) for cell in cells_by_size]
    head = ("model", "policy", "cap, tokens", "questions", "samples", "solved", "mean tokens")
    cells = table(head, rows, numeric=range(2, 7))
    if len(rows) > _MANY_CELLS:
        cells = el("details", el("summary", f"All {len(rows)} cells"), cells)
    return join((el("h3", group.title), el("p", f"{text}."), cells))


def _cell(context: Context, cell: CellSummary) -> tuple[object, ...]:
    return (
        context.model(cell.model),
        ", ".join(part for part in (cell.policy, cell.variant) if part),
        words.MISSING if cell.max_tokens is None else f"{cell.max_tokens:,}",
        f"{cell.questions:,}",
        f"{cell.samples:,}",
        words.percent(cell.accuracy),
        f"{cell.mean_tokens:,.0f}",
    )


def claims(context: Context) -> Section:
    """The paper's claims, row by row."""
    rows = [(claim, says, _verdict(verdict)) for claim, says, verdict in context.results.claims]
    body = table(("the paper says", "these traces say", "verdict"), rows)
    return Section("claims", "The paper’s claims against these traces", body)


def _verdict(verdict: str) -> Markup:
    kind = verdict if verdict in _VERDICTS else "untested"
    return el("span", verdict, class_=f"verdict {kind}")
