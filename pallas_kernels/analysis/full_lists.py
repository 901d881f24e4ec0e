"""What the TPU compiler should estimate: what the kernels run when every list and every sequence is full.

libtpu's estimator evaluates a kernel without its data. In `paged_attention` it follows the branch for ragged
lists, where it counts the loops over copies about once; in `page_scores` it leaves out the products, which
only pages that exist take. Both figures are far too low.
"""

import contextlib
import dataclasses
from collections.abc import Iterator

from pallas_kernels.analysis.report import Report
from pallas_kernels.tuning import overridden

KERNELS = ("paged_attention", "page_scores")
NOTE = "estimated with full lists and sequences"


@contextlib.contextmanager
def only_full_lists() -> Iterator[None]:
    """Within it, `KERNELS` are lowered for TPU without the branches for what is not full.

    Such a kernel is for estimates only: it starts the copies of steps past the last.
    """
    with contextlib.ExitStack() as stack:
        for kernel in KERNELS:
            stack.enter_context(overridden(kernel, assume_full=True))
        yield


def with_full_lists(report: Report, full: Report) -> Report:
    """``report`` with the cycles of ``full``, the same program lowered `only_full_lists`.

    Where the compiler died over ``full`` after it wrote those kernels' estimates, the other parts' are
    those of ``report``.
    """
    if full.cycles_whole:
        note = "; ".join(filter(None, (NOTE, full.cycles_note)))
        return dataclasses.replace(report, cycles=full.cycles, cycles_whole=True, cycles_note=note)
    kernels = {name: count for name, count in full.cycles.items() if name.startswith(KERNELS)}
    if not kernels:
        why = full.cycles_note or "the compiler wrote no estimate"
        return dataclasses.replace(report, cycles={}, cycles_whole=False, cycles_note=why)
    told = tuple(kernel for kernel in KERNELS if any(name.startswith(kernel) for name in kernels))
    others = {name: n for name, n in report.cycles.items() if not name.startswith(told)}
    note = "; ".join(filter(None, (NOTE, report.cycles_note)))
    return dataclasses.replace(report, cycles=others | kernels, cycles_note=note)
