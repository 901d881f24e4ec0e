"""What the TPU compiler should estimate: the branch of `paged_attention` that runs when every list is full.

libtpu's estimator evaluates a kernel without its data. At a branch that depends on the page counts it follows
the one for ragged lists, and there it counts the loops over copies about once, so the figure is far too low.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest import mock

from pallas_kernels.analysis.report import Report
from pallas_kernels.paged_attention import tpu_kernel

KERNEL = "paged_attention"
NOTE = "paged_attention: estimated on its branch for full lists"


@contextlib.contextmanager
def only_full_lists() -> Iterator[None]:
    """Within it, `paged_attention` is lowered for TPU with the branch for full lists alone.

    Such a kernel is for estimates only: it starts the copies of steps past the last.
    """

    def start(plan: Any, refs: Any, step: Any, chunk: Any, slot: Any) -> None:
        tpu_kernel.start_chunk(plan, refs, step, chunk, slot, None)

    def once(plan: Any, refs: Any, here: tuple[Any, ...], ahead: tuple[Any, ...]) -> None:
        step, local, chunk, slot = here
        next_step, next_chunk, next_slot, _ = ahead
        tpu_kernel.wait_slot(refs, slot)
        if plan.scaled:
            tpu_kernel.copy_scales(refs, step, chunk, slot).wait()
        start(plan, refs, next_step, next_chunk, next_slot)
        tpu_kernel.attend(plan, refs, step, local, chunk, slot, full=True)

    with (
        mock.patch.object(tpu_kernel, "start_any", start),
        mock.patch.object(tpu_kernel, "step_once", once),
    ):
        yield


def with_full_lists(report: Report, full: Report) -> Report:
    """``report`` with the cycles of its attention kernel from ``full``, lowered `only_full_lists`."""
    kernels = {name: count for name, count in full.cycles.items() if name.startswith(KERNEL)}
    if not kernels:
        why = full.cycles_note or "the compiler wrote no estimate"
        return dataclasses.replace(report, cycles={}, cycles_whole=False, cycles_note=why)
    others = {name: n for name, n in report.cycles.items() if not name.startswith(KERNEL)}
    note = "; ".join(filter(None, (NOTE, report.cycles_note)))
    return dataclasses.replace(report, cycles=others | kernels, cycles_note=note)
