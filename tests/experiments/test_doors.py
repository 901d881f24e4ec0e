"""What goes well at the doors of the commands: paths, prompts and terminals as people have them."""

import errno
import json
import os
from importlib.util import find_spec

import pytest

from kinetics_jax import models, storage
from kinetics_jax.cli import law as scaling_law
from kinetics_jax.cli.law_options import defaults
from kinetics_jax.engine.sample_log import merged_samples
from kinetics_jax.errors import InputError
from kinetics_jax.report import write

SMALL = ("--max_tokens=2", "--max_context=64", "--temperature=0")


def law(traces, out):
    """Options of a small law."""
    config = defaults()
    config.traces, config.out, config.bootstrap, config.jobs = (str(traces),), str(out), 5, 1
    return config


def test_a_law_is_written_to_a_bucket_and_replaced_there(some_traces, bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = f"{bucket}/{tmp_path.name}"
    for _ in range(2):
        place = scaling_law.run(law(some_traces, out))
        names = {str(path.relative_to(place)) for path in storage.walk(place)}
        assert {"law.json", "report.html", "frontier.csv", "trials.csv"} <= names
        assert set(json.loads((place / "law.json").read_text())["files"]) == names - {"law.json"}
    assert not list(tmp_path.iterdir())


def test_traces_are_read_from_a_bucket(some_traces, bucket, tmp_path):
    there = storage.place(f"{bucket}/{tmp_path.name}/traces.jsonl")
    there.write_bytes(some_traces.read_bytes())
    out = scaling_law.run(law(there, tmp_path / "law"))
    assert (out / "law.json").is_file()
    with pytest.raises(InputError, match=r"gone\.jsonl: no such file"):
        scaling_law.run(law(f"{bucket}/gone.jsonl", tmp_path / "other"))


def test_a_law_on_a_disk_that_fills_up_leaves_nothing(some_traces, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write, "write_frontier_csv", full)
    with pytest.raises(OSError, match="No space left"):
        scaling_law.run(law(some_traces, tmp_path / "law"))
    assert not list(tmp_path.iterdir())


def test_home_is_expanded_and_an_ascii_log_takes_the_summary(some_traces, tmp_path, zygote):
    done = zygote(
        "scaling_law",
        f"--traces={some_traces}",
        "--bootstrap=5",
        "--jobs=1",
        "--out=~/law",
        cwd=tmp_path,
        env={"HOME": str(tmp_path / "home"), "PYTHONIOENCODING": "ascii"},
    )
    assert done["code"] == 0, done["err"]
    assert (tmp_path / "home" / "law" / "law.json").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b'\xef\xbb\xbf{"prompt": "a"}\n\n{"prompt": "b"}\r\n\r\n{"prompt": "c"}\n\n', ["0", "1", "2"]),
        (b'   \r{"prompt": "a\xe2\x80\xa8b"}\r{"prompt": "b", "problem_id": "q"}', ["0", "q"]),
    ],
    ids=["BOM, LF, CRLF, empty lines", "CR, line separator, no end"],
)
def test_prompts_as_editors_save_them(text, names, tiny, tmp_path, zygote):
    (tmp_path / "p.jsonl").write_bytes(text)
    done = zygote("decode", f"--model={tiny}", "--prompts=p.jsonl", "--out=out", *SMALL, cwd=tmp_path)
    assert done["code"] == 0, done["err"]
    assert [sample.problem_id for sample in merged_samples(tmp_path / "out")] == names


def test_names_that_are_not_utf8_are_taken_and_prompts_are_not(tiny, tmp_path, zygote):
    odd = os.fsdecode(b"caf\xe9")
    flags = (f"--model={tiny}", *SMALL)
    done = zygote("decode", "--prompt=a", f"--out={odd}", *flags, cwd=tmp_path)
    assert done["code"] == 0, done["err"]
    assert len(merged_samples(tmp_path / odd)) == 1
    done = zygote("decode", f"--prompt={odd}", *flags, cwd=tmp_path)
    assert (done["code"], done["err"].count("\n")) == (2, 1)
    assert "not UTF-8" in done["err"]


@pytest.mark.parametrize("kind", ["hf", "orbax"])
def test_convert_is_whole_and_may_be_run_again(kind, tiny, tmp_path, zygote):
    flags = (f"--source={tiny}", "--out=made", f"--to={kind}", "--dtype=float32")
    (tmp_path / "made").mkdir()
    assert zygote("convert", *flags, cwd=tmp_path)["code"] == 0
    made = tmp_path / "made"
    assert (made / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    if kind == "hf":
        models.load(made)
        (made / "notes.txt").write_text("mine")
    again = zygote("convert", *flags, cwd=tmp_path)
    assert again["code"] == 2
    assert "not part of an earlier conversion" in again["err"]
    if kind == "hf":
        (made / "notes.txt").unlink()
        assert zygote("convert", *flags, cwd=tmp_path)["code"] == 0


@pytest.mark.parametrize(
    ("command", "flags", "env", "says"),
    [
        ("train", ("--smoke",), {"JAX_PLATFORMS": "tpu"}, "Unable to initialize backend 'tpu'"),
        ("train", ("--smoke",), {"JAX_PLATFORMS": "abacus"}, "abacus"),
        ("decode", ("--model=M", "--prompt=a", "--slots=90000000", "--n=2"), {}, "do not fit the memory"),
    ],
)
def test_what_the_machine_lacks_is_one_line_and_exit_code_1(
    command, flags, env, says, tiny, tmp_path, zygote
):
    given = [flag.replace("=M", f"={tiny}") for flag in flags]
    done = zygote(command, *given, cwd=tmp_path, env=env)
    assert done["code"] == 1
    *before, last = done["err"].splitlines()
    assert says in last
    # What a TPU's own library writes where it finds no TPU is out of our hands.
    assert not before or (env.get("JAX_PLATFORMS") == "tpu" and find_spec("libtpu")), done["err"]
    assert "Traceback" not in done["err"]
    assert not list(tmp_path.iterdir())
