"""What a run leaves behind: files that parse, agree with the results, and are there whole or not at all."""

import csv
import dataclasses
import json
import math
import struct
import xml.etree.ElementTree as ET

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.report import write as write_module
from kinetics_jax.report import write_results
from kinetics_jax.report.figures import draw_all


@pytest.fixture(scope="module")
def written(any_results, any_drawings, tmp_path_factory):
    """Every kind of results, written."""
    out = tmp_path_factory.mktemp("report") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_module, "draw_all", lambda results: any_drawings)
        return any_results, out, write_results(any_results, out)


@pytest.fixture
def bare(cases, monkeypatch):
    """Results without traces, written without figures: for tests of the files around them."""
    monkeypatch.setattr(write_module, "draw_all", lambda results: {})
    return cases["no traces"]()


def strict(path):
    """JSON without the constants that JSON does not have."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_files_are_the_ones_that_are_listed(written):
    _, out, files = written
    assert sorted(files) == sorted(path for path in out.rglob("*") if path.is_file())
    listed = strict(out / "law.json")["files"]
    assert {out / name for name in listed} | {out / "law.json"} == set(files)
    assert {"law.json", "frontier.csv", "report.html"} <= {path.name for path in files}


def test_law_json_is_strict_and_every_estimate_has_its_unit(written):
    results, out, _ = written
    document = strict(out / "law.json")
    assert len(document["laws"]) == len(results.laws)
    assert document["inputs"] == [dict(given) for given in results.inputs]
    for law, read in zip(results.laws, document["laws"], strict=True):
        assert read["costs"]["unit"] == "eFLOPs per question"
        assert read["costs"]["values"] == pytest.approx(law.costs.tolist(), rel=1e-11)
        for name, result in law.frontiers.items():
            there = read["frontiers"][name]
            assert [v is None for v in there["accuracy"]["values"]] == [
                math.isnan(v) for v in result.accuracy
            ]
            for fit, estimate in result.fits.items():
                assert there["fits"][fit]["unit"] == estimate.unit
                assert there["fits"][fit]["low"] == estimate.low
                assert there["fits"][fit]["note"] == estimate.note


def test_frontier_csv_has_a_row_per_law_flavour_and_grid_point(written):
    results, out, _ = written
    with open(out / "frontier.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        (law, result, g)
        for law in results.laws
        for result in law.frontiers.values()
        for g in range(len(law.costs))
    ]
    assert len(rows) == len(expected)
    for row, (law, result, g) in zip(rows, expected, strict=True):
        assert (row["dataset"], row["chip"], row["flavour"]) == (law.dataset, law.chip, result.flavour)
        assert float(row["chip_seconds"]) == pytest.approx(law.costs[g] / law.peak_flops)
        assert (row["dollars"] == "") == (law.usd_per_hour is None)
        assert (row["accuracy"] == "") == math.isnan(result.accuracy[g])
        assert (row["kv_budget"] == "") == math.isnan(result.kv_budget[g])
        assert row["model"] == result.model[g]


def test_figures_are_images_and_every_law_has_one(written):
    results, out, _ = written
    figures = sorted((out / "figures").iterdir())
    stems = {path.stem for path in figures}
    assert {path.name for path in figures} == {f"{s}.{e}" for s in stems for e in ("png", "svg")}
    sources = {(law.dataset, law.source) for law in results.laws}
    assert sum(stem.startswith("frontier-") for stem in stems) == len(sources)
    assert {"kv-trend", "attention-over-weights", "contours", "capacity"} <= stems
    for path in figures:
        content = path.read_bytes()
        if path.suffix == ".svg":
            assert ET.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
            assert b"<script" not in content
        else:
            assert content.startswith(b"\x89PNG\r\n\x1a\n")
            width, height = struct.unpack(">II", content[16:24])
            assert width > 700
            assert height > 150


def test_the_same_results_give_the_same_bytes(results, drawings, tmp_path, monkeypatch):
    assert draw_all(results) == drawings
    monkeypatch.setattr(write_module, "draw_all", lambda results: drawings)
    files = [write_results(results, tmp_path / name) for name in ("first", "second")]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_extra_files_are_written_and_listed(bare, tmp_path):
    out = tmp_path / "out"
    files = write_results(bare, out, {"trials.csv": lambda stream: stream.write("a,b\n1,2\n")})
    assert (out / "trials.csv").read_text() == "a,b\n1,2\n"
    assert out / "trials.csv" in files
    assert "trials.csv" in strict(out / "law.json")["files"]
    write_results(bare, out)  # it is ours, so it may go
    assert not (out / "trials.csv").exists()


@pytest.mark.parametrize("name", ["law.json", "report.html", "figures", "../x", "a/b", ".x", ""])
def test_an_extra_file_may_not_take_a_name_of_ours_or_leave_the_folder(bare, tmp_path, name):
    with pytest.raises(InputError, match="plain file name"):
        write_results(bare, tmp_path / "out", {name: lambda stream: None})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["render_page", "write_frontier_csv", "write_law_json", "extra"])
def test_a_failure_anywhere_leaves_the_earlier_result(bare, tmp_path, monkeypatch, where):
    out = tmp_path / "out"
    write_results(bare, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def fail(*_):
        raise OSError("disk full")

    if where != "extra":
        monkeypatch.setattr(write_module, where, fail)
    with pytest.raises(OSError, match="disk full"):
        write_results(bare, out, {"extra.csv": fail})
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_odd_names_survive_in_the_tables(bare, law_maker, tmp_path):
    name = "a,b\udcff\n模型"
    out = tmp_path / "out"
    write_results(dataclasses.replace(bare, laws=(law_maker(dataset=name),)), out)
    assert strict(out / "law.json")["laws"][0]["dataset"] == name
    with open(out / "frontier.csv", encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["dataset"] == name.replace("\udcff", "\\udcff")
