"""Small benchmarks as files, and the real ones where the shared data is."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def benchmarks(shared: Path) -> Path:
    folder = shared / "data" / "benchmarks"
    if not folder.is_dir():
        pytest.skip(f"no benchmarks: no folder {folder}")
    return folder


@pytest.fixture
def write_rows(tmp_path):
    def write(rows, name="problems.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write
