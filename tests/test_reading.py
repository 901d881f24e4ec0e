"""The pages of ``docs/reading`` name files in the order of their imports, and few enough lines to read."""

import re

import pytest

from tests import rooms
from tests.rooms import ROOT

PAGES = sorted((ROOT / "docs" / "reading").glob("*.md"))
MOST_FILES, MOST_LINES = 15, 1500


def named(page) -> list[str]:
    """The files that a page's numbered list names, one an entry."""
    return re.findall(r"^\d+\.[^`\n]*`([\w/]+\.py)`", page.read_text(), re.MULTILINE)


def module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def reached(name: str) -> set[str]:
    """What a module imports: directly, through packages' faces, and by name (an op's back ends)."""
    direct = rooms.arrows()[name]
    faces = {other for other in direct if rooms.modules()[other].name == "__init__.py"}
    found = direct.union(*(rooms.arrows()[face] for face in faces))
    ops = [
        other for other in found | {name} if other.startswith("pallas_kernels.") and other.endswith(".api")
    ]
    folders = tuple(op.removesuffix("api") for op in ops)
    return found | {other for other in rooms.modules() if folders and other.startswith(folders)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reading_path_is_short_and_walks_along_the_imports(page):
    files = named(page)
    assert len(files) >= 2
    assert len(set(files)) == len(files) <= MOST_FILES
    absent = [file for file in files if not (ROOT / file).is_file()]
    assert not absent
    lines = {file: len((ROOT / file).read_text().splitlines()) for file in files}
    assert sum(lines.values()) <= MOST_LINES, lines
    for place, file in enumerate(files[1:], 1):
        before = [module(other) for other in files[:place]]
        assert any(module(file) in reached(other) for other in before), f"nothing before {file} imports it"


def test_there_are_reading_paths():
    assert PAGES


def test_an_entry_out_of_order_is_seen():
    assert "kinetics_jax.engine.device" in reached("kinetics_jax.engine.generation")
    assert "kinetics_jax.engine.generation" not in reached("kinetics_jax.engine.device")
