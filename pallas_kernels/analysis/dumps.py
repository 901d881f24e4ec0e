"""Readers of what the compilers print or leave in files beside their result."""

import math
import re
from pathlib import Path
from typing import Any

from pallas_kernels.analysis.report import Kernel

_COLLECTIVE = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(?:-start)?\("
)
_PROFILE = re.compile(r"(.+?)(?:_TPU[ \w]*?)?_static_llo_profile\.textproto")
_PTXAS = re.compile(
    r"Compiling entry function '(?P<name>[^']+)'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?:[^\n]*?(?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)
_NINE = r"i32 (\d+), i32 (\d+), i32 (\d+), i32 \d+, i32 \d+, i32 \d+, i32 (\d+), i32 (\d+), i32 (\d+)"
_LAUNCH = re.compile(
    rf"call void @mosaic_gpu_(?:launch_kernel|build_kernel_spec)\(ptr [^,]+, {_NINE}, i32 (\d+)"
)
_MOSAIC = "_mosaic_gpu_kernel"
_LOGGED = re.compile(
    r"^I\d{4} .*subprocess_compilation\.cc:\d+\] (ptxas .*\n(?:(?:ptxas | {4}).*\n)*)", re.MULTILINE
)
_GLOG_PREFIX = re.compile(r"^[EFIW]\d{4} [\d:.]+\s+\d+ \S+\] ")
_FATAL = re.compile(r"^F\d{4} |Check failed|LLVM ERROR|UNREACHABLE|^\w*Error: ")


def count_collectives(compiled_text: str) -> dict[str, int]:
    """How often each collective occurs in compiled HLO text; a start and its done are one."""
    counts: dict[str, int] = {}
    for name in _COLLECTIVE.findall(compiled_text):
        counts[name] = counts.get(name, 0) + 1
    return counts


def read_cycles(folder: Path) -> dict[str, int]:
    """Issue cycles by kernel or fusion from libtpu's static profiles; whole programs' sums are left out."""
    cycles = {}
    for path in sorted(folder.iterdir()):
        name = _PROFILE.fullmatch(path.name)
        found = re.search(r"estimated_cycles: (\d+)", path.read_text(errors="replace"))
        if name and found:
            cycles[name[1]] = int(found[1])
    return cycles


def read_kernels(log: str) -> tuple[Kernel, ...]:
    """Each kernel that a GPU compiler's output tells of, Mosaic GPU's with the launch they were given."""
    launches = iter([tuple(map(int, launch)) for launch in _LAUNCH.findall(log)])
    ours = []
    for found in _PTXAS.finditer(_LOGGED.sub("", log)):
        launch = next(launches, None)
        if launch is None:
            ours.append(_kernel(found, 0))
        else:
            *sizes, dynamic = launch
            blocks, threads = math.prod(sizes[:3]), math.prod(sizes[3:])
            ours.append(_kernel(found, dynamic, blocks=blocks, threads=threads))
    logged = _PTXAS.finditer("".join(_LOGGED.findall(log)))
    # XLA compiles a kernel of the same name once, but may log it twice; ours are in its log too.
    theirs = {found["name"]: _kernel(found, 0, mosaic=False) for found in logged}
    names = {kernel.name + _MOSAIC for kernel in ours}
    return (*ours, *(kernel for name, kernel in theirs.items() if name not in names))


def _kernel(found: re.Match[str], dynamic: int, **more: Any) -> Kernel:
    return Kernel(
        name=found["name"].removesuffix(_MOSAIC),
        registers=int(found["registers"]),
        spill_bytes=int(found["stores"]) + int(found["loads"]),
        shared_bytes=int(found["shared"] or 0) + dynamic,
        **more,
    )


def last_words(log: str) -> str:
    """The line of a dead compiler's log that says why, else its last one."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if _FATAL.search(line)]
    said = (telling or lines[-1:] or ["it said nothing"])[0]
    return _GLOG_PREFIX.sub("", said)[:300]
