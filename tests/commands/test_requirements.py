"""A package that is missing, too old or broken is one line that says what to install."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinetics_jax.commands import requirements

ROOT = Path(__file__).resolve().parents[2]


def test_the_requirements_are_those_of_the_package():
    found = requirements.requirements()
    assert {"jax", "flax", "numpy", "absl-py", "orbax-checkpoint"} <= set(found)
    assert "gcsfs" not in found  # an extra


@pytest.mark.parametrize(
    ("here", "says"),
    [
        ({"flax": "0.10.7"}, "flax 0.10.7 is installed, and 0.12 or newer is needed: pip install -U 'flax>="),
        ({"jax": "0.4.38", "flax": "0.8.0"}, "; jax 0.4.38 is installed"),
        ({"numpy": None}, "numpy is not installed: pip install"),
        ({"flax": "0.12.0.dev1"}, ""),
        ({"jax": "0.10"}, ""),
        ({"scipy": "1.14.0rc1"}, ""),
    ],
)
def test_what_is_missing_or_too_old_is_named(monkeypatch, here, says):
    real = requirements.requirements()

    def version(name):
        found = here.get(name, real[name])
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert says in requirements.unmet()
    assert bool(requirements.unmet()) == bool(says)


@pytest.mark.parametrize(
    ("package", "source", "says"),
    [
        ("flax", "__version__ = '0.6'\n", "flax cannot be loaded"),
        ("flax", "import no_such_part_of_it\n", "no_such_part_of_it cannot be loaded"),
        (
            "safetensors",
            "raise AttributeError('jax.core has no attribute Shape')\n",
            "has no attribute Shape",
        ),
        ("absl", "", "absl cannot be loaded"),
    ],
)
def test_a_package_that_does_not_load_is_one_line(tmp_path, package, source, says):
    place = tmp_path / "site-packages" / package
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "experiments.decode", "--model=x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{place.parent}:{ROOT}", "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert "pip install -U" in done.stderr
