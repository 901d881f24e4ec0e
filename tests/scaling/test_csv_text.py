"""CSV cells that begin as formulas are harmless in a spreadsheet, and the texts they were when read back."""

import csv
import io
import math

import pytest

from kinetics_jax.scaling import read_trials, write_csv
from kinetics_jax.scaling.traces.spreadsheet_text import from_cell, to_cell

FORMULAS = (
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "'=1",
    "''=1",
    "=",
    "-",
    "+-1",
    "-1e",
    "－1+1",
    "＝1",
    "-nan",
    "+inf",
    "--1",
)
PLAIN = ("a=b", "", "'", "'quoted'", "it's", "-1.5", "+3", "-1e-9", "-.5", "7.", "1-2", "'-1.5", "x =1")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_written_as_text_and_read_back(text):
    cell = to_cell(text)
    assert cell == "'" + text
    assert from_cell(cell) == text


@pytest.mark.parametrize("text", PLAIN)
def test_all_else_stays_as_it_is(text):
    assert to_cell(text) == text
    assert from_cell(text) == text


HEADER = [
    "source",
    "model",
    "dataset",
    "problem_id",
    "trial",
    "gen_tokens",
    "correct",
    "temperature",
    "policy",
]


@pytest.mark.parametrize("name", [*(f for f in FORMULAS if f[0] not in "\r\n"), *PLAIN[2:]])
def test_a_trials_csv_of_ours_holds_no_formula_and_comes_back(tmp_path, name):
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerow([*map(to_cell, [name, "qwen3-8b", name, name, name]), 5, 1, 0.5, "dense"])
    file = tmp_path / "in.csv"
    file.write_text(stream.getvalue(), newline="")
    first = read_trials(str(file))
    assert (first.source[0], first.dataset[0], first.problem_id[0], first.trial[0]) == (name,) * 4
    again = tmp_path / "out.csv"
    with open(again, "w", newline="") as out:
        write_csv(first, out)
    for row in list(csv.reader(io.StringIO(again.read_text(), newline="")))[1:]:
        for cell in row:
            number = cell.replace(".", "", 1).lstrip("+-").replace("e-", "", 1).isdigit()
            assert number or not cell.startswith(("=", "+", "-", "@", "\t", "＝", "－"))
    second = read_trials(str(again))
    for column in ("source", "dataset", "problem_id", "trial", "model"):
        assert getattr(second, column).tolist() == getattr(first, column).tolist()
    assert second.generated_tokens.tolist() == [5]
    assert not math.isnan(second.temperature[0])
