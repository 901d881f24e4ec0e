"""The directory of a result: whole or not at all, and never over somebody else's files."""

import json
import os

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.report.directory import FORMAT, MANIFEST, check_out_dir, whole_directory


def finish(folder, *names, text="new"):
    """Fill a directory as a finished run does."""
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": list(names)}))


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_new_directory_appears_with_its_parents(tmp_path):
    out = tmp_path / "a" / "b"
    with whole_directory(out) as folder:
        finish(folder, "x.csv", "figures/f.png")
        assert not out.exists()
    assert everything(out) == ["figures", "figures/f.png", MANIFEST, "x.csv"]
    assert everything(tmp_path / "a") == ["b", *(f"b/{name}" for name in everything(out))]


def test_an_empty_directory_and_an_earlier_result_are_replaced(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with whole_directory(out) as folder:
        finish(folder, "old.csv", "figures/f.png")
    with whole_directory(out) as folder:
        finish(folder, "new.csv")
    assert everything(tmp_path) == ["out", f"out/{MANIFEST}", "out/new.csv"]


@pytest.mark.parametrize("name", ["notes.txt", "figures/mine.png", ".hidden"])
def test_a_foreign_file_is_never_removed(tmp_path, name):
    out = tmp_path / "out"
    with whole_directory(out) as folder:
        finish(folder, "old.csv", "figures/f.png")
    (out / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds {name}.*move that away"):
        check_out_dir(out)
    with pytest.raises(InputError), whole_directory(out):
        pytest.fail("the block must not run")
    assert (out / name).read_text() == "mine"


def test_a_foreign_file_that_appears_while_the_run_writes_is_safe_too(tmp_path):
    out = tmp_path / "out"

    def write():
        with whole_directory(out) as folder:
            finish(folder, "new.csv")
            out.mkdir()
            (out / "late.txt").write_text("mine")

    with pytest.raises(InputError, match=r"holds late\.txt"):
        write()
    assert everything(tmp_path) == ["out", "out/late.txt"]


def test_a_foreign_link_and_a_foreign_folder_are_safe_too(tmp_path):
    out = tmp_path / "out"
    with whole_directory(out) as folder:
        finish(folder, "old.csv")
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="holds link"):
        check_out_dir(out)
    (tmp_path / "other" / "deep").mkdir(parents=True)
    with pytest.raises(InputError, match="holds deep"):
        check_out_dir(tmp_path / "other")


@pytest.mark.parametrize("manifest", ["not json", "[]", "{}", '{"format": "other", "files": ["a"]}', "\xff"])
def test_a_directory_that_only_looks_like_a_result_is_refused(tmp_path, manifest):
    (tmp_path / MANIFEST).write_text(manifest, encoding="latin-1")
    (tmp_path / "a").write_text("mine")
    with pytest.raises(InputError, match="not part of an earlier result"):
        check_out_dir(tmp_path)


def test_a_file_and_a_place_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        check_out_dir(tmp_path / "file")
    with pytest.raises(InputError, match="cannot"), whole_directory(tmp_path / "file" / "below"):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_result_and_nothing_else(tmp_path, failure):
    out = tmp_path / "out"
    with whole_directory(out) as folder:
        finish(folder, "old.csv", text="old")

    def write():
        with whole_directory(out) as folder:
            finish(folder, "old.csv", text="half")
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert everything(tmp_path) == ["out", f"out/{MANIFEST}", "out/old.csv"]
    assert (out / "old.csv").read_text() == "old"


def test_a_failing_rename_puts_the_earlier_result_back(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with whole_directory(out) as folder:
        finish(folder, "old.csv", text="old")
    rename = os.rename
    renames = []

    def failing(self, target):
        renames.append(target)
        if len(renames) == 2:
            raise OSError("no")
        rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", failing)
    with pytest.raises(OSError, match="no"), whole_directory(out) as folder:
        finish(folder, "new.csv")
    assert everything(tmp_path) == ["out", f"out/{MANIFEST}", "out/old.csv"]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with whole_directory(tmp_path / "link") as folder:
        finish(folder, "x.csv")
    assert (tmp_path / "link").is_symlink()
    assert everything(tmp_path / "real") == [MANIFEST, "x.csv"]
