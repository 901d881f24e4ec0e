"""The house's own rules: who may import whom, what must stay cheap, what may stand where."""

import configparser
import importlib
import re
import subprocess
import sys
from importlib import metadata

import pytest

from tests import rooms
from tests.rooms import ROOT, imported, room

FLOORS = [
    {"pallas_kernels", "errors"},
    {"checks", "processes", "storage"},
    {"chips", "commands", "policies", "shapes"},
    {"attention", "costs", "pallas_kernels.analysis", "records"},
    {"models", "scaling", "tasks"},
    {"ahead_of_time", "engine", "fidelity", "training"},
    {"report"},
    {"sweep"},
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
    "records",
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
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    ".gitignore",
}
NOT_ROOMS = {"kinetics_jax", "kinetics_jax._lazy", "kinetics_jax._version", "kinetics_jax.spec"}
FACES = sorted(name for name, path in rooms.modules().items() if path.name == "__init__.py")


def floor(name: str) -> int:
    return next(n for n, names in enumerate(FLOORS) if name.removeprefix("kinetics_jax.") in names)


def test_every_room_has_a_floor():
    there = {room(module) for module in rooms.modules()} - NOT_ROOMS
    assert {name.removeprefix("kinetics_jax.") for name in there} == set().union(*FLOORS)


@pytest.mark.parametrize("module", sorted(rooms.modules()))
def test_nothing_imports_upwards_and_files_stay_small(module):
    path = rooms.modules()[module]
    assert len(path.read_text().splitlines()) <= 500
    if room(module) in NOT_ROOMS:
        return
    for other in rooms.arrows()[module]:
        there = room(other)
        higher = there not in NOT_ROOMS and floor(there) > floor(room(module))
        assert not higher, f"{module} imports {other} from a higher floor"
    if room(module) in {f"kinetics_jax.{r}" for r in ACCOUNTING}:
        heavy = {"jax", "flax", "optax", "orbax"} & {name.split(".")[0] for name in imported(path)}
        assert not heavy, module


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
    assert shown >= folders - {"processes"}
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
