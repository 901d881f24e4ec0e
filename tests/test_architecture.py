"""The house's own rules: who may import whom, what must stay cheap, what may stand where."""

import ast
import configparser
import importlib
import re
import subprocess
import sys
from importlib import metadata

import pytest

from kinetics_jax.chips import chips, devices
from tests import rooms
from tests.rooms import NOT_ROOMS, ROOT, imported, room

FLOORS = [
    {"pallas_kernels", "errors"},
    {"checks", "processes", "references", "storage"},
    {"chips", "commands", "policies", "shapes"},
    {"attention", "costs", "pallas_kernels.analysis", "records"},
    {"models", "scaling", "tasks"},
    {"ahead_of_time", "engine", "fidelity", "published", "training"},
    {"report"},
    {"sweep"},
    {"cli"},
    {"configs"},
    {"experiments"},
]
ACCOUNTING = (
    "checks",
    "chips",
    "commands",
    "costs",
    "errors",
    "policies",
    "processes",
    "published",
    "records",
    "references",
    "report",
    "scaling",
    "shapes",
    "storage",
)
TOP_LEVEL = {
    "kinetics_jax",
    "pallas_kernels",
    "configs",
    "experiments",
    "tests",
    "docs",
    ".ci",
    ".github",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    ".gitignore",
    ".pre-commit-config.yaml",
}
MOST_CODE, MOST_FUNCTION, MOST_PARAMETERS = 300, 60, 10
"""Lines of code a file and a function (no comment, docstring or blank line), parameters besides self."""
STILL_OVER = {"pallas_kernels/prefix_attention/api.py prefix_attention parameters"}
"""What is larger: its arguments are those of ``paged_attention`` and two more. Nothing may join."""
FACES = sorted(name for name, path in rooms.modules().items() if path.name == "__init__.py")


def floor(name: str) -> int:
    return next(n for n, names in enumerate(FLOORS) if name.removeprefix("kinetics_jax.") in names)


def test_every_room_has_a_floor():
    there = {room(module) for module in rooms.modules()} - NOT_ROOMS
    assert {name.removeprefix("kinetics_jax.") for name in there} == set().union(*FLOORS)


@pytest.mark.parametrize("module", sorted(rooms.modules()))
def test_nothing_imports_upwards(module):
    path = rooms.modules()[module]
    if room(module) in NOT_ROOMS:
        return
    for other in rooms.arrows()[module]:
        there = room(other)
        higher = there not in NOT_ROOMS and floor(there) > floor(room(module))
        assert not higher, f"{module} imports {other} from a higher floor"
    if room(module) in {f"kinetics_jax.{r}" for r in ACCOUNTING}:
        heavy = {"jax", "flax", "optax", "orbax"} & {name.split(".")[0] for name in imported(path)}
        assert not heavy, module


def over(file: str, text: str) -> set[str]:
    """What of a file is too large; a kernel (``pallas_kernels/OP/…``) may be a long function."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    quiet = {
        line
        for node in texts
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = enumerate(text.splitlines(), 1)
    code = {n for n, line in lines if n not in quiet and not line.strip().startswith("#") and line.strip()}
    found = {f"{file} lines"} if len(code) > MOST_CODE else set()
    kernel = file.startswith("pallas_kernels/") and file.count("/") > 1
    for node in functions:
        inside = code & set(range(node.lineno, node.end_lineno + 1))
        names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        if len(inside) > MOST_FUNCTION and not kernel:
            found.add(f"{file} {node.name} lines")
        if len(names) - (names[:1] in (["self"], ["cls"])) > MOST_PARAMETERS:
            found.add(f"{file} {node.name} parameters")
    return found


def test_files_functions_and_parameter_lists_stay_small():
    paths = rooms.modules().values()
    found = set().union(*(over(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths))
    assert found == STILL_OVER


def test_what_is_too_large_is_seen():
    many = ", ".join(f"p{i}" for i in range(11))
    body = "    x = 1\n" * 60
    assert over("a.py", f"def f({many}):\n{body}") == {"a.py f lines", "a.py f parameters"}
    assert over("a.py", f'def f(self):\n    """{body}"""\n    # {body[:9]}\n') == set()
    assert over("pallas_kernels/op/tpu.py", f"def f():\n{body}") == set()
    assert over("a.py", "x = 1\n" * 301) == {"a.py lines"}


@pytest.mark.parametrize("graph", [rooms.room_arrows(), rooms.arrows()], ids=["rooms", "modules"])
def test_there_is_no_circle(graph):
    assert rooms.circle(graph) == []


def test_a_circle_is_seen():
    assert set(rooms.circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_the_picture_of_the_rooms_is_of_these_imports():
    assert rooms.PAGE.read_text() == rooms.page(), "run python -m tests.rooms"


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_imports_from_its_rooms_face(face):
    module = importlib.import_module(face)
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None or name.isupper(), f"{face}.{name}"
        assert name in dir(module), f"{face}.{name}"


def test_every_package_that_is_required_is_imported():
    """A requirement that nothing imports is a download for nothing."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    names = re.findall(r"^([\w-]+)", setup["options"]["install_requires"], re.MULTILINE)
    used = {name.split(".")[0] for path in rooms.modules().values() for name in imported(path)}
    providers: dict[str, set[str]] = {}
    for top, packages in metadata.packages_distributions().items():
        for package in packages:
            providers.setdefault(package.lower().replace("_", "-"), set()).add(top)
    unused = [name for name in names if not providers[name.lower().replace("_", "-")] & used]
    assert unused == []


FIGURE_OF_A_CHIP = re.compile(r"hbm_?(gi?b|bytes|bandwidth)|_gbps|t(era)?flops|usd_per_hour|peak_flops", re.I)
NOT_OF_A_CHIP = {("kinetics_jax.scaling.law.without_traces", figure) for figure in (5e15, 1e16)}
"""Contours of the paper's Fig. 6."""


def figures_of_the_table() -> set[float]:
    """What could only be a chip's: peaks, bandwidths and HBM in SI units, and fractions of a GiB."""
    found = {device.hbm_bytes / 2**30 for device in devices().values()}
    for chip in chips.values():
        found |= {chip.hbm_bytes, chip.hbm_bandwidth, chip.link_bandwidth, *chip.flops.values()}
    for device in devices().values():
        found |= {device.hbm_bytes, device.hbm_bandwidth, device.flops, device.clock}
    return {round(figure, 6) for figure in found}


@pytest.mark.parametrize("module", sorted(set(rooms.modules()) - {"kinetics_jax.chips.chip"}))
def test_figures_of_chips_stand_in_the_table_only(module):
    known = figures_of_the_table()
    for node in ast.walk(ast.parse(rooms.modules()[module].read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            figure = (module, node.value)
            assert node.value not in known or figure in NOT_OF_A_CHIP, f"{module}:{node.lineno}: {node.value}"
        if isinstance(node, ast.keyword | ast.AnnAssign | ast.Assign) and node.value is not None:
            names = ast.unparse(node).split("=")[0]
            written = not any(isinstance(part, ast.Name | ast.Call) for part in ast.walk(node.value))
            number = any(
                isinstance(part, ast.Constant) and isinstance(part.value, int | float)
                for part in ast.walk(node.value)
            )
            assert not (written and number and FIGURE_OF_A_CHIP.search(names)), f"{module}: {names}"


def test_there_is_one_table_of_chips_and_tuning_holds_no_figures():
    stored = [path for top in rooms.TOPS for path in (ROOT / top).rglob("*.toml")]
    points = ROOT / "kinetics_jax" / "published" / "figures.toml"  # of the paper's curves
    assert sorted(stored) == [ROOT / "kinetics_jax" / "chips" / "chips.toml", points]
    assert not FIGURE_OF_A_CHIP.search(points.read_text("utf-8"))
    for path in (ROOT / "pallas_kernels").rglob("*.json"):
        assert path.parent.name == "tuning"
        assert not FIGURE_OF_A_CHIP.search(path.read_text()), path.name


def test_the_accounting_half_imports_fast_and_without_jax():
    code = (
        "import time; t = time.perf_counter()\n"
        "import kinetics_jax\n"
        "package = time.perf_counter() - t\n"
        "import kinetics_jax.costs, kinetics_jax.scaling, kinetics_jax.report, sys\n"
        "assert not {'jax', 'flax', 'scipy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)\n"
        "print(package)"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, cwd=ROOT, check=True, capture_output=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.5


def test_the_package_shows_its_rooms():
    import kinetics_jax

    shown = set(dir(kinetics_jax)) - {"Engine", "__version__"}
    folders = {path.parent.name for path in (ROOT / "kinetics_jax").glob("*/__init__.py")}
    assert shown >= folders - {"cli", "processes"}
    assert not any(name.startswith("_") or name in ("Any", "importlib") for name in shown)


def test_the_top_level_is_what_the_user_fixed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= TOP_LEVEL


@pytest.mark.parametrize("name", ["attention", "engine", "fidelity", "models", "training"])
def test_heads_list_axis_letters_of_the_one_alphabet(name):
    for path in sorted((ROOT / "kinetics_jax" / name).rglob("*.py")):
        head = path.read_text().removeprefix('"""').partition('"""')[0]
        listed = head.partition("Axis letters:")[2].partition(".")[0]
        letters = {part.split()[0] for part in listed.split("·") if part.split()}
        assert letters <= set("BTSNKGHDFELPpJVR"), path
