"""Reports of many programs → rows with their ratios, and Markdown. All figures are compilers' or modelled."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from kinetics_jax.chips import devices
from pallas_kernels.analysis.compilation import compile_all
from pallas_kernels.analysis.errors import CompilationError
from pallas_kernels.analysis.full_lists import only_full_lists, with_full_lists
from pallas_kernels.analysis.programs import LAYER_PARTS, Program, Shape, programs
from pallas_kernels.analysis.report import Kernel, Report

ATTENDING = ("paged_attention", "page_scores", "layer", "prefix_attention")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One op at one shape on one chip.

    Attributes:
        op: name of the program.
        shape: of the decode step.
        must_move: HBM bytes of a device that no implementation can avoid.
        report: the compiler's account, or None where it refused.
        error: its refusal, or "".

    """

    op: str
    shape: Shape
    must_move: int
    report: Report | None
    error: str = ""

    @property
    def floor_seconds(self) -> float | None:
        """``must_move`` at the data sheet's HBM bandwidth (modelled)."""
        if self.report is None:
            return None
        return self.must_move / devices()[self.report.chip].hbm_bandwidth

    @property
    def issue_ratio(self) -> float | None:
        """Estimated issue time over `floor_seconds`; at most 1 where the memory bounds the op."""
        if self.report is None or self.report.issue_seconds is None or not self.floor_seconds:
            return None
        return self.report.issue_seconds / self.floor_seconds

    @property
    def bytes_ratio(self) -> float | None:
        """Bytes that the compiler counts over ``must_move``; a loop's body is counted once."""
        if self.report is None or self.report.bytes_accessed is None:
            return None
        return self.report.bytes_accessed / self.must_move

    def to_json(self) -> dict[str, Any]:
        """The row, its report and its ratios, as JSON takes them."""
        return {
            "op": self.op,
            "shape": dataclasses.asdict(self.shape),
            "must_move": self.must_move,
            "floor_seconds": self.floor_seconds,
            "issue_ratio": self.issue_ratio,
            "bytes_ratio": self.bytes_ratio,
            "error": self.error,
            "report": self.report.to_json() if self.report else None,
        }


def compile_rows(
    chip: str, shapes: Iterable[Shape], ops: Sequence[str], *, static_cycles: bool = True
) -> list[Row]:
    """Compile ``ops`` at ``shapes`` for ``chip``; what the compiler refuses becomes a row with its words."""
    wanted: list[tuple[Shape, Program]] = []
    for shape in shapes:
        made = programs(shape)
        wanted += [(shape, made[op]) for op in ops]
    jobs = [program.lower(chip, shape.devices) for shape, program in wanted]
    results = compile_all(chip, jobs, static_cycles=static_cycles)
    if static_cycles and devices()[chip].platform == "tpu":
        _estimate_full_lists(chip, wanted, results)
    return [
        Row(
            op=program.op,
            shape=shape,
            must_move=program.must_move,
            report=None if isinstance(result, CompilationError) else result,
            error=str(result) if isinstance(result, CompilationError) else "",
        )
        for (shape, program), result in zip(wanted, results, strict=True)
    ]


def _estimate_full_lists(
    chip: str, wanted: Sequence[tuple[Shape, Program]], results: list[Report | CompilationError]
) -> None:
    """Put right the estimates of the programs that attend (see `full_lists`)."""
    attending = {
        index: result
        for index, result in enumerate(results)
        if isinstance(result, Report) and wanted[index][1].op in ATTENDING
    }
    with only_full_lists():
        jobs = [wanted[index][1].lower(chip, wanted[index][0].devices) for index in attending]
    estimates = compile_all(chip, jobs)
    for (index, report), full in zip(attending.items(), estimates, strict=True):
        if isinstance(full, Report):
            results[index] = with_full_lists(report, full)


def tpu_table(rows: Sequence[Row]) -> str:
    """Markdown: issue time (compiler estimate) against the HBM floor (modelled), one line a row."""
    head = (
        "chip",
        "op",
        "B",
        "page",
        "HBM floor µs",
        "issue µs",
        "issue ÷ floor",
        "bytes ÷ floor",
        "temp KiB",
    )
    body = []
    for row in rows:
        cells = [*_where(row), _micro(row.floor_seconds)]
        if row.report is None:
            body.append([*cells, f"refused: {row.error}", "", "", ""])
            continue
        issue = row.report.issue_seconds
        cells += [_micro(issue) if issue else "none"]
        cells += [_ratio(row.issue_ratio), _ratio(row.bytes_ratio)]
        body.append([*cells, f"{row.report.temp_bytes / 1024:.0f}"])
    return _markdown(head, body)


def notes(rows: Sequence[Row]) -> str:
    """Why estimates are missing, or what they needed: one line for each reason and the rows it touches."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.report and row.report.cycles_note:
            where = f"{row.op} B={row.shape.batch} p={row.shape.page_size}"
            reasons.setdefault((row.report.chip, row.report.cycles_note[:240]), []).append(where)
    return "\n".join(f"* {chip}: {'; '.join(where)}: {reason}" for (chip, reason), where in reasons.items())


def share_table(rows: Sequence[Row]) -> str:
    """Markdown: a layer's sparse attention over the sum of its floors, and the share of each part."""
    found = {(row.report.chip, row.shape, row.op): row for row in rows if row.report}
    body = []
    for (chip, shape, op), layer in found.items():
        parts = [found.get((chip, shape, part)) for part in LAYER_PARTS]
        if op != "layer":
            continue
        cycles = [part.report.total_cycles if part and part.report else None for part in parts]
        known = [count for count in cycles if count is not None]
        if len(known) < len(cycles) or layer.issue_ratio is None:
            continue
        shares = [f"{100 * count / sum(known):.0f} %" for count in known]
        body.append([*_where(layer), _micro(layer.floor_seconds), _ratio(layer.issue_ratio), *shares])
    return _markdown(("chip", "op", "B", "page", "HBM floor µs", "issue ÷ floor", *LAYER_PARTS), body)


def gpu_table(rows: Sequence[Row]) -> str:
    """Markdown: what ptxas says of each kernel of a GPU, and of all that XLA made, together."""
    head = (
        "chip",
        "op",
        "B",
        "page",
        "HBM floor µs",
        "kernel",
        "registers",
        "spills",
        "shared KiB",
        "blocks",
    )
    body = []
    for row in rows:
        cells = [*_where(row), _micro(row.floor_seconds)]
        if row.report is None:
            body.append([*cells, f"refused: {row.error}", "", "", "", ""])
            continue
        ours = [kernel for kernel in row.report.kernels if kernel.mosaic]
        for kernel in ours:
            body.append([*cells, kernel.name, *_gpu_figures([kernel]), str(kernel.blocks)])
        others = [kernel for kernel in row.report.kernels if not kernel.mosaic]
        if others or not ours:
            body.append([*cells, f"XLA ({len(others)})", *_gpu_figures(others), ""])
    return _markdown(head, body)


def _gpu_figures(kernels: Sequence[Kernel]) -> list[str]:
    """The most registers, all spills and the most shared KiB of some kernels."""
    if not kernels:
        return ["", "", ""]
    shared = max(kernel.shared_bytes for kernel in kernels)
    spills = sum(kernel.spill_bytes for kernel in kernels)
    return [str(max(k.registers for k in kernels)), str(spills), f"{shared / 1024:.0f}"]


def _where(row: Row) -> list[str]:
    chip = row.report.chip if row.report else ""
    return [chip, row.op, str(row.shape.batch), str(row.shape.page_size)]


def _micro(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:.1f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
