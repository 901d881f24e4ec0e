"""The rooms of the house and the arrows between them, read from the imports of every module.

``python -m tests.rooms`` writes the picture of ``docs/design.md`` anew; ``test_architecture`` holds it.
"""

import ast
import functools
import graphlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- rooms: made by python -m tests.rooms -->", "<!-- end of rooms -->"
TOPS = ("kinetics_jax", "pallas_kernels", "experiments", "configs")
_OWN = ("pallas_kernels.analysis",)
"""Rooms that are no folder of ``kinetics_jax``."""
NOT_ROOMS = {"kinetics_jax", "kinetics_jax._lazy", "kinetics_jax._version", "kinetics_jax.spec"}
"""The face of the package, its helpers, and the former name of four rooms."""


@functools.cache
def modules() -> dict[str, Path]:
    """Name → file of every module of ours."""
    found = {}
    for top in TOPS:
        for path in (ROOT / top).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def room(module: str) -> str:
    """Folder or module below ``kinetics_jax``; another top-level folder is one room."""
    parts = module.split(".")
    if own := next((name for name in _OWN if module.startswith(name)), None):
        return own
    return ".".join(parts[:2]) if parts[0] == "kinetics_jax" else parts[0]


def imported(path: Path) -> set[str]:
    """Every name that a file imports, wherever in it: modules, and what is taken from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@functools.cache
def arrows() -> dict[str, set[str]]:
    """Module → modules of ours that it imports, functions' own imports and those for types included."""
    known = modules()
    found = {}
    for name, path in known.items():
        there = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                there |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                there |= inner & known.keys() or {node.module}
        found[name] = (there & known.keys()) - {name}
    return found


def room_arrows() -> dict[str, set[str]]:
    """Room → rooms that it imports from."""
    found: dict[str, set[str]] = {room(module): set() for module in modules()}
    for module, there in arrows().items():
        found[room(module)] |= {room(other) for other in there} - {room(module)}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def picture() -> str:
    """A Mermaid drawing: an arrow points to what is used; what follows from other arrows is left out."""
    graph = {name: there for name, there in room_arrows().items() if name not in NOT_ROOMS}
    lines = ["```mermaid", "flowchart TD"]
    for name in sorted(graph):
        lines.append(f'  {_id(name)}["{name.removeprefix("kinetics_jax.")}"]')
        lines += [f"  {_id(name)} --> {_id(other)}" for other in sorted(_direct(name, graph))]
    return "\n".join([*lines, "```"])


def _direct(name: str, graph: dict[str, set[str]]) -> Iterator[str]:
    for other in graph[name] & graph.keys():
        if not any(other in _reach(third, graph) for third in graph[name] - {other}):
            yield other


def _reach(name: str, graph: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = set(graph.get(name, ()))
    while ahead:
        one = ahead.pop()
        found.add(one)
        ahead |= graph.get(one, set()) - found
    return found


def _id(name: str) -> str:
    return name.removeprefix("kinetics_jax.").replace(".", "_")


def page() -> str:
    """``docs/design.md`` with the picture as it is now."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{picture()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
