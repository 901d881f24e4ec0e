"""The table of fits: what the stored one must cover, and how an interrupted run goes on."""

import contextlib
import json
from pathlib import Path

import pytest

from kinetics_jax.chips import devices
from kinetics_jax.cli import fit_table
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets

DOCS = Path(__file__).resolve().parents[2] / "docs"


@contextlib.contextmanager
def given(**values):
    """The command's flags with these values."""
    flags = fit_table.flags.values
    if not flags.is_parsed():
        flags.mark_as_parsed()
    before = {name: flags[name].value for name in values}
    for name, value in values.items():
        flags[name].value = value
    try:
        yield
    finally:
        for name, value in before.items():
            flags[name].value = value


def _records() -> list[dict]:
    return json.loads((DOCS / "fit_table.json").read_text())


def test_the_stored_table_has_every_published_model_on_every_chip():
    found = [(record["model"], record["weights"], record["chip"]) for record in _records()]
    assert found == fit_table.rows()
    published = {n for n in presets if not n.startswith(("tiny-", "registers-", "minimax-"))}
    assert set(found) >= {
        (name, "bf16", chip) for name in published for chip in ("v5e", "v6e", "v5p", "tpu7x")
    }


def test_stored_rows_are_borders():
    for record in _records():
        assert record["slice"] in devices()[record["chip"]].topologies
        said = record["available_bytes"] / devices()[record["chip"]].hbm_bytes
        assert said == pytest.approx(1, abs=1e-4), record  # what the table of chips quotes of the compiler
        config = presets[record["model"]]
        groups = record["data_ways"] * record["expert_ways"]
        assert groups * record["model_ways"] == record["devices"]
        assert config.num_query_heads % record["model_ways"] == 0, record
        assert record["batch"] > 0
        assert record["batch"] % groups == 0
        assert record["refused_batch"] == record["batch"] + groups
        assert record["hbm_bytes"] <= record["available_bytes"] < record["refused_bytes"]
        assert record["kv_tokens"] == record["batch"] * record["context"] == record["batch"] * 32_768
        # The cache and the weights are in it, and no copy of either.
        least = record["kv_tokens"] * config.kv_bytes_per_token() / record["devices"]
        assert least < record["argument_bytes"] <= record["hbm_bytes"]
        if config.head_dim % 128 == 0:  # else XLA pads the contiguous cache to whole lanes, a copy of it
            layer = 2 * config.ffn_params_per_layer / record["devices"]  # of 62 here: Qwen3-Coder's are large
            assert record["temporary_bytes"] < max(0.65 * 2**30, 1.1 * layer), record


def test_the_markdown_is_the_json():
    lines = (DOCS / "fit_table.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| ")][1:] == [
        fit_table._line(record) for record in _records()
    ]


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """Stored rows in place of children; a model in ``broken`` fails. Everything is written to a folder."""

    class Compiler:
        def __init__(self):
            self.asked, self.broken = [], set()

        def __call__(self, row, context):
            self.asked.append(row)
            if row[0] in self.broken:
                raise RuntimeError("exit -6: libtpu gave up")
            record = next(r for r in _records() if fit_table._key(r) == row)
            return record | {"seconds": 1.0, "context": context}

    found = Compiler()
    monkeypatch.setattr(fit_table, "_in_child", found)
    monkeypatch.setattr(fit_table, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(fit_table.importlib.metadata, "version", lambda name: "1.0")
    return found


def test_rows_that_failed_are_all_that_is_compiled_again(compiler, tmp_path, capsys):
    compiler.broken = {"qwen3-8b"}
    with given(presets=["qwen3-8b", "qwen3-4b"], chips=["v5e"], processes=1):
        with pytest.raises(SystemExit, match=r"2 rows failed and no table was written"):
            fit_table.main([])  # bf16 and int8
        assert "failed: qwen3-8b, bf16, v5e: exit -6: libtpu gave up" in capsys.readouterr().out
        assert not list(tmp_path.rglob("*.md"))
        compiler.asked, compiler.broken = [], set()
        fit_table.main([])
    assert compiler.asked == [("qwen3-8b", "bf16", "v5e"), ("qwen3-8b", "int8", "v5e")]
    table = (tmp_path / "results" / "fit_table.md").read_text()
    assert table.count("| qwen3-") == 3
    assert not (tmp_path / "docs").exists()  # a part of the table is not the table
    assert len(json.loads((tmp_path / "results" / "fit_table.json").read_text())) == 3


def test_other_code_or_compiler_or_context_is_another_table(compiler, monkeypatch):
    with given(presets=["qwen3-4b"], chips=["v5e"]):
        fit_table.main([])
        fit_table.main([])
        assert len(compiler.asked) == 1
        monkeypatch.setattr(fit_table.importlib.metadata, "version", lambda name: "1.1")
        fit_table.main([])
        assert len(compiler.asked) == 2
        with given(context=1024):
            fit_table.main([])
        assert len(compiler.asked) == 3
        with given(afresh=True):
            fit_table.main([])
        assert len(compiler.asked) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"presets": ["qwen9"]}, "unknown model 'qwen9'"),
        ({"chips": ["v9"]}, "--chips=v9 is not known; known: v5e"),
        ({"presets": ["tiny-moe"]}, "leave no row"),
    ],
)
def test_bad_options_are_one_line(change, message, compiler):
    with given(**change), pytest.raises(InputError, match=message):
        fit_table.main([])
    assert not compiler.asked
