"""The wheel is the product: commands and configs work from it in an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A wheel of this tree, unpacked: what an installation puts into site-packages."""
    pytest.importorskip("setuptools", minversion="77", reason="builds the wheel, as pyproject.toml says")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("kinetics_jax", "pallas_kernels", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "tree" / name, ignore=ignored)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "tree" / name)
    command = [sys.executable, "-c", BUILD, str(folder)]
    done = subprocess.run(command, cwd=folder / "tree", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def kinetics(site, folder, *argv):
    environment = os.environ | {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-m", "kinetics_jax.cli.main", *argv]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_it_brings_no_generic_name_into_site_packages(unpacked):
    names = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"kinetics_jax", "pallas_kernels"}
    here = {path.name for path in (ROOT / "configs").glob("*.py")}
    assert {path.name for path in (unpacked / "kinetics_jax" / "configs").glob("*.py")} == here
    (points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "kinetics = kinetics_jax.cli.main:main" in points.read_text()


@pytest.mark.parametrize("config", ["suite", "aime:block_topk"])
def test_a_packaged_config_is_planned_in_an_empty_folder(config, unpacked, tmp_path):
    done = kinetics(unpacked, tmp_path, "sweep", f"--config={config}", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert "chip-hours" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_and_wrong_words_are_one_screen_and_one_line(unpacked, tmp_path):
    usage = kinetics(unpacked, tmp_path, "--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    for name in (
        "law",
        "paper",
        "plan",
        "sweep",
        "decode",
        "fidelity",
        "convert",
        "train",
        "fit-table",
        "doctor",
    ):
        assert f"\n  {name} " in usage.stdout
    wrong = kinetics(unpacked, tmp_path, "swep")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "kinetics: unknown command 'swep': did you mean sweep?\n"


@pytest.mark.parametrize("name", ["law", "sweep", "decode"])
def test_help_of_a_command_has_groups_and_defaults(name, unpacked, tmp_path):
    done = kinetics(unpacked, tmp_path, name, "--help")
    assert done.returncode == 0, done.stderr
    assert "(default: " in done.stdout
    assert list(tmp_path.iterdir()) == []
