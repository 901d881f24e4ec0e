"""The answer for a terminal: words first, then one row a law, in at most 25 lines."""

import itertools
import textwrap
from collections.abc import Sequence

import numpy as np

from kinetics_jax.costs import PriceEvidence
from kinetics_jax.report import words
from kinetics_jax.report.groups import group_laws
from kinetics_jax.scaling.law.result_parts import Band
from kinetics_jax.scaling.law.results import Law, Results
from kinetics_jax.scaling.law.which_model import WIDEST

MAX_LINES = 25
_ROOM_FOR_LAWS = 10
"""Lines that the table may take however many answers there are."""
_ROOM_FOR_EVIDENCE = 8
_HEAD = ("law", "chip", "solved", "paper adds", "best model up to {} a question")
_RIGHT = (2, 3)
_MOST_NAME = 0.32
"""Share of the width that a law's name may take."""


def summary_table(results: Results, width: int = 100) -> str:
    """What a run found, for a person at a terminal.

    Args:
        results: what the run found.
        width: columns of the terminal, at least 60; no line is longer.

    Returns:
        At most 25 lines without a newline at the end.
    """
    width = max(width, 60)
    below = _evidence(results, width)
    most = MAX_LINES - len(below)
    if not results.laws:
        table = _shape_table(results, width)
        lines = _answers(results.answers, width, most - 1 - min(len(table), _ROOM_FOR_LAWS))
    else:
        needed = min(len(results.laws), _ROOM_FOR_LAWS) + 2
        lines = _answers(results.answers, width, most - 1 - needed)
        table = _law_table(results, width, most - 1 - len(lines))
    return "\n".join([*([*lines, "", *table][:most] if lines else table[:most]), *below])


def _evidence(results: Results, width: int) -> list[str]:
    """How far off prices of each kind were, for the first chip of each; all of it stands in the report."""
    kinds: dict[tuple[str, str], PriceEvidence] = {}
    for one in results.price_evidence:
        kinds.setdefault((one.mode, one.overlap), one)
    lines = [
        words.shorten(line, width)
        for one in kinds.values()
        for line in textwrap.wrap(f"{words.printable(one.sentence)}.", width, subsequent_indent="  ")
    ]
    return lines[:_ROOM_FOR_EVIDENCE]


def _answers(answers: Sequence[str], width: int, room: int) -> list[str]:
    """Whole sentences, most important first, as many as there is room for; the first one always."""
    lines: list[str] = []
    for i, answer in enumerate(answers):
        wrapped = textwrap.wrap(words.printable(answer), width, subsequent_indent="  ")
        more = i + 1 < len(answers)
        if len(lines) + len(wrapped) > room - more:
            lines = lines or wrapped[: room - 1]
            left = len(answers) - max(i, 1)
            return [*lines, f"… {words.counted(left, 'more answer')} in report.html"]
        lines += wrapped
    return lines


def _law_table(results: Results, width: int, room: int) -> list[str]:
    """All laws where there is room; else each set of traces on the first chip; else the first of them."""
    shown = list(results.laws)
    if len(shown) + 2 > room:
        shown = [group.first for group in group_laws(results)][: room - 3]
    left = len(results.laws) - len(shown)
    rows = [_row(law) for law in shown]
    titles = (*_HEAD[:4], _HEAD[4].format(shown[0].counted.column))
    widths = [max(len(row[i]) for row in (titles, *rows)) for i in range(4)]
    widths[0] = min(widths[0], int(_MOST_NAME * width))
    rest = max(width - sum(widths) - 2 * len(widths), 12)
    more = [f"… {words.counted(left, 'more law')} in report.html"] * bool(left)
    head = [_line(titles, [*widths, rest]), "─" * width]
    wrapped = [line for row in rows for line in _wrapped(row, [*widths, rest])]
    if len(wrapped) + len(head) + len(more) > room:
        wrapped = [_line(row, [*widths, rest]) for row in rows]
    return [words.shorten(line, width) for line in (*head, *wrapped, *more)]


def _row(law: Law) -> tuple[str, ...]:
    """Name, chip, solved at the highest cost, what the paper's rule adds, bands."""
    lead = law.best_frontier
    known = lead.accuracy[np.isfinite(lead.accuracy)]
    solved = words.percent(float(known[-1])) if known.size else words.MISSING
    added = words.MISSING if law.optimism is None else f"{law.optimism.value:+.1f}"
    chip = words.printable(law.chip)
    if law.measure != "eflops":
        chip += f", {law.prices.replace('_', ' ')}"
    return _name(law), chip, solved, added, _bands(law)


def _name(law: Law) -> str:
    """What was assumed, data set, and the last part of the source."""
    source = words.printable(law.source).rstrip("/").rpartition("/")[2]
    assumed = f"if {words.printable(law.projected_policy)}" if law.projected_policy else ""
    return " · ".join(part for part in (assumed, words.printable(law.dataset), source) if part)


def _bands(law: Law) -> str:
    bands = law.best_frontier.bands
    if not bands:
        return "nothing fits these costs"
    upto = [
        f"{words.printable(band.model)} < {words.cost(law, after.start / law.per_shown)}{_doubt(after)}"
        for band, after in itertools.pairwise(bands)
    ]
    return ", ".join([*upto, words.printable(bands[-1].model)])


def _doubt(band: Band) -> str:
    """A question mark at a cost that the resamples do not determine, or only within a wide range."""
    return "" if band.start_high <= WIDEST * band.start_low else "?"


def _wrapped(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """A row whose last cell goes on below itself."""
    first, *rest = textwrap.wrap(row[-1], widths[-1], break_on_hyphens=False) or [""]
    indent = " " * (sum(widths[:-1]) + 2 * (len(widths) - 1))
    return [_line((*row[:-1], first), widths), *(indent + text for text in rest)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [words.shorten(text, w) for text, w in zip(row, widths, strict=True)]
    padded = [
        cell.rjust(w) if i in _RIGHT else cell.ljust(w)
        for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _shape_table(results: Results, width: int) -> list[str]:
    """Without traces: what each model stores, and where its attention overtakes its weights."""
    shapes = results.shapes
    head = f"{'model':<18}{'parameters':>11}{'KV of 32K, GiB':>16}{'Φ = 1 at tokens':>17}"
    lines = [head, "─" * width]
    for m, model in enumerate(shapes.models):
        name = words.shorten(model.name, 17)
        size, kv = words.params(model.total_params), words.number(shapes.kv_gib_per_32k[m])
        lines.append(f"{name:<18}{size:>11}{kv:>16}{words.number(shapes.overtakes[m]):>17}")
    return [words.shorten(line, width) for line in lines]
