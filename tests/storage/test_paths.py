"""What a text means as a path, and what it cannot mean."""

import os
import pathlib

import pytest

from kinetics_jax import storage
from kinetics_jax.storage import PathError


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """An empty folder, and a home beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    "text",
    [
        "law",
        "./law",
        "a b",
        "ünï",
        "a:b",
        "2026-01-01T10:00",
        "x/~/y",
        "org/name",
        "/gs/x",
        "a%20b",
        "results/$",
        "c:",
        os.fsdecode(b"caf\xe9"),
    ],
)
def test_an_ordinary_path_stays_as_it_is(text):
    assert storage.expand(text) == text
    assert storage.place(text) == pathlib.Path(text)


def test_home_is_expanded_in_every_kind_of_path(tmp_path):
    assert storage.expand("~/law") == f"{tmp_path}/home/law"
    assert storage.expand(pathlib.Path("~/law")) == f"{tmp_path}/home/law"
    assert storage.expand("~") == f"{tmp_path}/home"


def test_a_url_of_a_file_is_its_path():
    assert storage.expand("file:///tmp/a%20b") == "/tmp/a b"
    assert storage.expand("file://localhost/tmp/x") == "/tmp/x"


@pytest.mark.parametrize("text", ["gs://b/x", "s3://b/x", "az://b/x", "gs://b"])
def test_object_stores_are_known(text):
    assert storage.is_object_store(text)
    assert storage.expand(text) == text
    with pytest.raises(PathError, match="is an object store: copy it"):
        storage.local(text)


def test_a_name_that_is_there_is_taken_as_it_is():
    for name in ("-x", "$HOME", "~nobody", "a\tb"):
        pathlib.Path(name).mkdir()
        assert storage.expand(name) == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("a\0b", "zero byte"),
        ("a\ud800b", "lone surrogate"),
        ("gs:/b/x", "write gs://b/x"),
        ("gs:b/x", "write gs://b/x"),
        ("GS://b", "write gs://b"),
        ("gs:///b", "write gs://b"),
        ("s3:", "write s3://bucket/path"),
        ("gcs://b/x", "write gs://b/x"),
        ("abfs://b/x", "no place known here"),
        ("ftp://h/x", "no place known here"),
        ("file:x", "write file:///path"),
        ("D:\\data", "a path of Windows"),
        ("d:/data", "a path of Windows"),
        ("--seed=3", "looks like a flag"),
        ("x\r", "Windows line ends"),
        ("x\x1b[A", "control character"),
        ("$WORK/x", r"holds \$WORK"),
        ("a/${WORK}/x", r"holds \$\{WORK\}"),
        ("~no_such_user/x", "~no_such_user is the home of nobody"),
        (b"bytes", "must be a text"),
    ],
)
def test_what_cannot_be_meant_is_one_line(text, says):
    with pytest.raises(PathError, match=says) as caught:
        storage.expand(text, "--out")
    assert "\n" not in str(caught.value)


def test_inputs_are_there_and_of_the_right_kind():
    pathlib.Path("f").write_text("x")
    assert storage.input_path("f", folder=False) == pathlib.Path("f")
    assert storage.input_path(".", folder=True) == pathlib.Path()
    for path, folder, says in (
        ("g", None, "no such file"),
        ("f", True, "a file; give a folder"),
        (".", False, "a folder; give a file"),
        ("f/x", None, "cannot be read"),
    ):
        with pytest.raises(PathError, match=says):
            storage.input_path(path, folder=folder)


def test_outputs_may_be_new_or_there(tmp_path):
    for path in ("new", "new/and/deep", ".", str(tmp_path)):
        assert storage.output_folder(path) == path
    assert storage.output_file("m.jsonl", "--metrics") == pathlib.Path("m.jsonl")
    with pytest.raises(PathError, match="ends like a folder"):
        storage.output_file("m/", "--metrics")
    assert not list(pathlib.Path().iterdir())


def test_a_place_that_may_not_be_written_is_said_before(monkeypatch):
    pathlib.Path("shut").mkdir()
    shut = os.path.abspath("shut")
    monkeypatch.setattr(os, "access", lambda path, mode: os.path.abspath(path) != shut)  # as root is let in
    for path in ("shut", "shut/law", "shut/a/b"):
        with pytest.raises(PathError, match="shut may not be written"):
            storage.output_folder(path)


@pytest.mark.parametrize(
    ("out", "how"),
    [
        ("model", "is the same place as"),
        ("./x/../model/", "is the same place as"),
        ("link", "is the same place as"),
        ("model/new", "lies inside"),
        ("link/a/b", "lies inside"),
        (".", "holds"),
        ("new", ""),
        ("model2", ""),
    ],
)
def test_overlap_sees_through_links(out, how):
    for name in ("model", "model2", "x"):
        pathlib.Path(name).mkdir()
    pathlib.Path("link").symlink_to("model")
    assert storage.overlap(out, "model") == how
    assert storage.overlap(out, "link") == how
    if how:
        with pytest.raises(PathError, match=f"{how} --source=model"):
            storage.output_folder(out, sources=[("--source", "model")])


def test_what_is_not_there_overlaps_nothing():
    assert storage.overlap("new", "Qwen/Qwen3-8B") == ""
    assert storage.overlap("gs://b/x", "gs://b/x/") == "is the same place as"
