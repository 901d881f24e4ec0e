"""Whole directories where renaming will not do: in an object store, on a mount, beside files that stay."""

import json

import pytest

from kinetics_jax import storage
from kinetics_jax.errors import InputError
from kinetics_jax.report.directory import FORMAT, MANIFEST, check_out_dir, whole_directory
from kinetics_jax.storage import directories


def finish(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": list(names)}))


def everything(place):
    return sorted(str(path.relative_to(place)) for path in storage.walk(place))


@pytest.fixture(params=["store", "mount"])
def out(request, tmp_path, monkeypatch):
    if request.param == "store":
        return storage.place(f"{request.getfixturevalue('bucket')}/{tmp_path.name}/law")
    monkeypatch.setattr(directories, "_may_be_renamed", lambda target: False)
    (tmp_path / "law").mkdir()
    return tmp_path / "law"


def test_it_is_written_and_replaced_and_nothing_stale_is_left(out):
    with whole_directory(out) as folder:
        finish(folder, "a.csv", "figures/b.png")
    assert everything(out) == ["a.csv", "figures/b.png", MANIFEST]
    with whole_directory(out) as folder:
        finish(folder, "c.csv")
    assert everything(out) == ["c.csv", MANIFEST]


def test_a_failure_leaves_what_was_there(out):
    with whole_directory(out) as folder:
        finish(folder, "a.csv")

    def write():
        with whole_directory(out) as folder:
            finish(folder, "b.csv")
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write()
    assert everything(out) == ["a.csv", MANIFEST]


def test_somebody_elses_files_are_safe(out):
    with whole_directory(out) as folder:
        finish(folder, "a.csv")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt"):
        check_out_dir(out)


def test_a_manifest_that_names_files_elsewhere_does_not_have_them_removed(out):
    outside = out.parent / "outside.txt"
    with whole_directory(out) as folder:
        finish(folder, "a.csv")
    outside.write_text("mine")
    manifest = {"format": FORMAT, "files": ["a.csv", "../outside.txt"]}
    (out / MANIFEST).write_text(json.dumps(manifest))
    with whole_directory(out) as folder:
        finish(folder, "b.csv")
    assert outside.read_text() == "mine"


def test_the_marker_is_the_last_to_come_and_the_first_to_go(out, monkeypatch):
    with whole_directory(out) as folder:
        finish(folder, "a.csv")
    monkeypatch.setattr(directories, "_marker_last", lambda build, marker: 1 / 0)
    with pytest.raises(ZeroDivisionError), whole_directory(out) as folder:
        finish(folder, "b.csv")
    assert everything(out) == []  # in the middle of replacing: no marker, no result


def test_what_a_killed_run_left_inside_is_no_foreign_file(tmp_path):
    (tmp_path / ".0123abcd.part").mkdir()
    (tmp_path / ".0123abcd.part" / "a.csv").write_text("half")
    assert check_out_dir(tmp_path) == tmp_path
