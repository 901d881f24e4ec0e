"""Eight fake devices for every test, and where they find shared data (absent: they skip and say so)."""

import csv
import os
import sys
from pathlib import Path

import pytest

from tests.fake_devices import pretend

# Not in a folder's own conftest: modules of earlier folders are imported before it, and may start JAX.
pretend()
# Tests run side by side, one a core: threads of each would spend half of the time on waiting for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


QUICKLY_COMPILED = ("attention", "engine", "fidelity", "models", "pallas_kernels", "policies", "training")
"""Packages whose tests compile far more than they compute: without LLVM's passes a third to four fifths of
the time. Tests of whole commands, of golden samples and of sweeps compile as users do."""


@pytest.fixture(scope="module", autouse=True)
def _compilation(request):
    """Compilation as the package wants it. JAX keeps programs of either kind alike, and their bits differ."""
    quick = request.path.parent.name in QUICKLY_COMPILED
    jax = sys.modules.get("jax")
    if jax is not None and jax.config.values["jax_disable_most_optimizations"] != quick:
        jax.config.update("jax_disable_most_optimizations", quick)
        jax.clear_caches()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared data folder: $KINETICS_SHARED, or ``shared`` beside the checkout."""
    folder = Path(os.environ.get("KINETICS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"shared data is absent: no folder {folder} (set KINETICS_SHARED)")
    return folder


@pytest.fixture(scope="session")
def reference_rows(shared: Path):
    """A function from the name of a reference CSV to its rows as dictionaries."""

    def read(name: str) -> list[dict[str, str]]:
        with open(shared / "reference" / name, newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def bucket(monkeypatch):
    """``gs://`` that ends in memory: the code path of an object store without a network."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Bucket(MemoryFileSystem):
        protocol = ("gs", "gcs")
        store: dict = {}  # noqa: RUF012 - one store for all instances, as in the parent
        pseudo_dirs = [""]  # noqa: RUF012

        @classmethod
        def _strip_protocol(cls, path):
            return "/" + str(path).removeprefix("gs://").removeprefix("gcs://").strip("/")

    fsspec.register_implementation("gcs", Bucket, clobber=True)
    fsspec.register_implementation("gs", Bucket, clobber=True)
    return "gs://bucket/sweep"
