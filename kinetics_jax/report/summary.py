"""The answer for a terminal: words first, then one line a law, in at most 25 lines."""

import textwrap
from collections.abc import Sequence

import numpy as np

from kinetics_jax.report import words
from kinetics_jax.report.groups import leading, title
from kinetics_jax.scaling.results import Law, Results

MAX_LINES = 25
_MIN_ROWS = 4
"""Laws that are shown however many answers there are."""
_LAW_WIDTHS = {"law": 0.3, "chip": 0.12}


def summary_table(results: Results, width: int = 100) -> str:
    """What a run found, for a person at a terminal.

    Args:
        results: what the run found.
        width: columns of the terminal, at least 40; no line is longer.

    Returns:
        At most 25 lines without a newline at the end.
    """
    width = max(width, 40)
    if not results.laws:
        lines = _answers(results.answers, width, MAX_LINES - len(results.shapes.models) - 2)
        return "\n".join([*lines, *_shape_table(results, width)][:MAX_LINES])
    reserved = min(len(results.laws), _MIN_ROWS) + 3  # blank line, head, rule
    lines = _answers(results.answers, width, MAX_LINES - reserved - 1)
    table = _law_table(results.laws, width, MAX_LINES - len(lines) - 1)
    return "\n".join([*lines, "", *table] if lines else table)


def _answers(answers: Sequence[str], width: int, room: int) -> list[str]:
    """Whole sentences, most important first, as many as there is room for; the first always."""
    lines: list[str] = []
    for i, answer in enumerate(answers):
        wrapped = textwrap.wrap(words.printable(answer), width, subsequent_indent="  ")
        if len(lines) + len(wrapped) > room - (i + 1 < len(answers)):
            if not lines:
                lines = wrapped[: room - 1]
            left = len(answers) - i
            return [*lines, f"… {words.counted(left, 'more answer')} in report.html"]
        lines += wrapped
    return lines


def _law_table(laws: Sequence[Law], width: int, room: int) -> list[str]:
    head = ("law", "chip", "solved", "+paper", "best model up to a cost per question")
    shown = list(laws) if len(laws) + 2 <= room else list(laws[: room - 3])
    rows = [_row(law) for law in shown]
    caps = [max(len(head[i]), int(width * share)) for i, share in enumerate(_LAW_WIDTHS.values())]
    widths = [min(max(len(row[i]) for row in (head, *rows)), caps[i]) for i in range(2)]
    widths += [max(len(row[i]) for row in (head, *rows)) for i in (2, 3)]
    widths.append(max(width - sum(widths) - 2 * len(widths), 8))
    lines = [_line(head, widths), "─" * width, *(_line(row, widths) for row in rows)]
    if len(shown) < len(laws):
        lines.append(f"… {words.counted(len(laws) - len(shown), 'more law')} in report.html")
    return [words.shorten(line, width) for line in lines]


def _row(law: Law) -> tuple[str, ...]:
    """Name, chip, accuracy at the end, what the paper's rule adds there at most, bands."""
    lead = leading(law)
    known = lead.accuracy[np.isfinite(lead.accuracy)]
    solved = words.percent(float(known[-1])) if known.size else words.MISSING
    added = words.MISSING if law.optimism is None else f"{law.optimism.value:+.1f}"
    return title(law), words.printable(law.chip), solved, added, _bands(law)


def _bands(law: Law) -> str:
    bands = leading(law).bands
    if not bands:
        return "nothing fits these costs"
    parts = [
        f"{words.printable(band.model)} < {words.seconds(following.start / law.peak_flops)}"
        for band, following in zip(bands, bands[1:], strict=False)
    ]
    return " · ".join([*parts, words.printable(bands[-1].model)])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [words.shorten(text, w) for text, w in zip(row, widths, strict=True)]
    padded = [
        cell.rjust(w) if i in (2, 3) else cell.ljust(w)
        for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _shape_table(results: Results, width: int) -> list[str]:
    """Without traces: what each model stores, and where its attention overtakes its weights."""
    shapes = results.shapes
    lines = [f"{'model':<20}{'parameters':>12}{'KV of 32K, GiB':>16}{'Φ = 1 at tokens':>17}", "─" * width]
    for m, model in enumerate(shapes.models):
        name = words.shorten(model.name, 19)
        size, kv = words.params(model.total_params), words.number(shapes.kv_gib_per_32k[m])
        lines.append(f"{name:<20}{size:>12}{kv:>16}{shapes.overtakes[m]:>17,.0f}")
    return [words.shorten(line, width) for line in lines]
