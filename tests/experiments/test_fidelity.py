"""The fidelity measurement from the outside: what it writes, that it goes on, and how it fails."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest
import tokenizers
from tokenizers import pre_tokenizers

from kinetics_jax import models
from kinetics_jax.shapes import presets

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--contexts=64,96", "--span=8", "--budgets=32", "--blocks=8", "--policy=topk(200)")


def command(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.fidelity", f"--model={folder}", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tiny model and a tokenizer of bytes, as a checkpoint."""
    path = tmp_path_factory.mktemp("model")
    models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(0)), path)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: n for n, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def test_it_measures_goes_on_and_refuses_another_measurement(folder, tmp_path):
    text, out = tmp_path / "prose.txt", tmp_path / "out"
    text.write_text("The cache keeps what the model has read. " * 20)
    flags = (f"--text={text}", f"--text={ROOT / 'LICENSE'}", f"--out={out}", *SMALL)
    first = command(folder, *flags, "--contexts=64", "--passages=1")
    assert first.returncode == 0, first.stderr
    lines = (out / "measurements.jsonl").read_text().splitlines()
    assert len(lines) == 2 * 6  # texts × (dense, window, top-k, two selectors, top-k 200)
    result = json.loads((out / "fidelity.json").read_text())
    assert {row["text"] for row in result["rows"]} == {"prose", "LICENSE", "all"}
    nothing_lost = [r for r in result["rows"] if r["policy"].get("k") == 200]
    assert nothing_lost
    assert all(row["kl"] <= 1e-6 for row in nothing_lost)
    assert (out / "table.md").read_text() in first.stdout

    (out / "measurements.jsonl").write_text("\n".join(lines[:-3]) + "\n" + lines[-3][:50])
    more = command(folder, *flags, "--contexts=64", "--passages=2")
    assert more.returncode == 0, more.stderr
    again = (out / "measurements.jsonl").read_text().splitlines()
    assert again[: len(lines) - 3] == lines[:-3]
    assert sorted(again)[: len(lines)] != []
    assert len(again) == 2 * len(lines)
    assert set(lines) <= set(again)  # what was cut off was measured again, to the same figures
    rows = json.loads((out / "fidelity.json").read_text())["rows"]
    assert all(row["kl_interval"]["low"] <= row["kl"] for row in rows)

    other = command(folder, *flags, "--passages=1", "--dtype=bfloat16")
    assert other.returncode != 0
    assert "holds another measurement" in other.stderr


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--text=absent.txt",), "absent.txt: cannot be read"),
        (("--contexts=64,x",), "--contexts=64,x must be whole numbers"),
        (("--contexts=9000000",), "hold 0 passages of 9000001 tokens, not 2"),
        (("--budgets=33",), "budget 33 is no multiple of blocks of 8"),
        (("--policy=topk(",), "is not of the form name(field=value"),
        (("--policy=quest(8, 2)",), "give it aligned=True"),
        (("--text=LICENSE", "--text=LICENSE"), "two texts have the same name"),
        (("--span=64",), "must be longer than span=64"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(flags, problem, folder, tmp_path):
    done = command(folder, f"--out={tmp_path / 'out'}", *SMALL, *flags)
    assert done.returncode != 0
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
