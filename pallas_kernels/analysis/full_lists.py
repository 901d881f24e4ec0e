"""What the TPU compiler should estimate: the branch of `paged_attention` that runs when every list is full.

libtpu's estimator evaluates a kernel without its data. At a branch that depends on the page counts it follows
the one for ragged lists, and there it counts the loops over copies about once, so the figure is far too low.
"""

import contextlib
import dataclasses

from pallas_kernels.analysis.report import Report
from pallas_kernels.tuning import overridden

KERNEL = "paged_attention"
NOTE = "paged_attention: estimated on its branch for full lists"


def only_full_lists() -> contextlib.AbstractContextManager[None]:
    """Within it, `paged_attention` is lowered for TPU with the branch for full lists alone.

    Such a kernel is for estimates only: it starts the copies of steps past the last.
    """
    return overridden(KERNEL, assume_full=True)


def with_full_lists(report: Report, full: Report) -> Report:
    """``report`` with the cycles of ``full``, the same program lowered `only_full_lists`.

    Where the compiler died over ``full`` after it wrote the attention kernel's estimate, the other parts' are
    those of ``report``.
    """
    if full.cycles_whole:
        note = "; ".join(filter(None, (NOTE, full.cycles_note)))
        return dataclasses.replace(report, cycles=full.cycles, cycles_whole=True, cycles_note=note)
    kernels = {name: count for name, count in full.cycles.items() if name.startswith(KERNEL)}
    if not kernels:
        why = full.cycles_note or "the compiler wrote no estimate"
        return dataclasses.replace(report, cycles={}, cycles_whole=False, cycles_note=why)
    others = {name: n for name, n in report.cycles.items() if not name.startswith(KERNEL)}
    note = "; ".join(filter(None, (NOTE, report.cycles_note)))
    return dataclasses.replace(report, cycles=others | kernels, cycles_note=note)
