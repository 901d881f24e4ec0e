"""The house's own rules: who may import whom, what must stay cheap, what may stand where."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = [
    {"pallas_kernels", "kinetics_jax.processes", "kinetics_jax.spec"},
    {"kinetics_jax.attention", "kinetics_jax.commands", "kinetics_jax.storage"},
    {"kinetics_jax.costs", "kinetics_jax.models"},
    {
        "kinetics_jax.scaling",
        "kinetics_jax.report",
        "kinetics_jax.engine",
        "kinetics_jax.tasks",
        "kinetics_jax.training",
    },
    {"kinetics_jax.sweep"},
    {"experiments", "configs"},
]
ACCOUNTING = ("commands", "costs", "report", "scaling", "spec", "storage")
TOP_LEVEL = {
    "kinetics_jax", "pallas_kernels", "configs", "experiments", "tests", "docs", ".ci", ".github",
    "setup.cfg", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore",
}  # fmt: skip


def room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "kinetics_jax" else parts[0]


def floor(name: str) -> int | None:
    return next((level for level, rooms in enumerate(FLOORS) if name in rooms), None)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


SOURCES = sorted(
    path for top in ("kinetics_jax", "pallas_kernels", "experiments", "configs")
    for path in (ROOT / top).rglob("*.py")
)  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_imports_upwards_and_files_stay_small(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    here = floor(room(module))
    assert len(path.read_text().splitlines()) <= 500
    if here is None:
        return
    for name in imports(path):
        there = floor(room(name))
        assert there is None or there <= here, f"{module} imports {name} from a higher floor"
        if room(module) in {f"kinetics_jax.{r}" for r in ACCOUNTING}:
            assert name.split(".")[0] not in {"jax", "flax", "optax", "orbax"}, module
    if room(module).startswith("pallas_kernels"):
        assert not any(name.startswith("kinetics_jax") for name in imports(path)), module


def test_the_accounting_half_imports_fast_and_without_jax():
    code = (
        "import time; t = time.perf_counter()\n"
        "import kinetics_jax\n"
        "package = time.perf_counter() - t\n"
        "import kinetics_jax.costs, kinetics_jax.scaling, kinetics_jax.report, sys\n"
        "assert not {'jax', 'flax', 'scipy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)\n"
        "print(package)"
    )
    seconds = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True
            ).stdout
        )
        for _ in range(3)
    ]
    assert min(seconds) < 0.5


def test_the_top_level_is_what_the_user_fixed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= TOP_LEVEL
