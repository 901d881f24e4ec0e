"""``experiments.decode`` as a person runs it: one streamed sample, a folder of several, and bad input."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest
import tokenizers

from kinetics_jax import models
from kinetics_jax.engine.sample_log import merged_samples
from kinetics_jax.shapes import presets

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> pathlib.Path:
    """A random tiny model with a tokenizer of words and a chat template."""
    folder = tmp_path_factory.mktemp("tiny")
    config = presets["tiny-dense"]
    models.save_hf(models.Qwen3.init(config, jax.random.key(0), dtype="float32"), folder)
    words = {f"w{n}": n for n in range(config.vocab_size)}
    model = tokenizers.models.WordLevel(words, unk_token="w0")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text("w1 {{ messages[0].content }} w2")
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "experiments.decode", *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=500,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


def test_one_prompt_is_streamed(checkpoint):
    done = run(f"--model={checkpoint}", "--prompt=w5 w6", "--max_tokens=12", "--max_context=64")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 12
    assert "[12 tokens, length]" in done.stderr


def test_several_are_kept_and_not_made_again(checkpoint, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "w5"}\n{"prompt": "w7 w8", "problem_id": "b"}\n')
    arguments = [
        f"--model={checkpoint}",
        f"--prompts={prompts}",
        f"--out={tmp_path / 'out'}",
        f"--metrics={tmp_path / 'metrics.jsonl'}",
        "--max_tokens=8",
        "--max_context=64",
        "--slots=2",
        "--policy=block_topk(16, 2)",
    ]
    assert run(*arguments, "--n=1").returncode == 0
    again = run(*arguments, "--n=2")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("## ") == 2  # trial 1 of each; trial 0 was there
    samples = merged_samples(tmp_path / "out")
    assert [sample.key for sample in samples] == [
        ("prompt", name, trial) for name in ("0", "b") for trial in (0, 1)
    ]
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["samples_done"] == 2


def test_several_turns_and_a_system_prompt(checkpoint, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ 'w2' if m.role == 'user' else 'w3' }} {{ m.content }} {% endfor %}"
    )
    prompts = tmp_path / "prompts.jsonl"
    turns = [("user", "w5"), ("assistant", "w6 w7"), ("user", "w8")]
    messages = [{"role": role, "content": content} for role, content in turns]
    prompts.write_text(json.dumps({"messages": messages}) + '\n{"prompt": "w5"}\n')
    done = run(
        f"--model={folder}",
        f"--prompts={prompts}",
        f"--out={tmp_path / 'out'}",
        "--system=w9 w9",
        "--max_tokens=2",
        "--max_context=64",
        "--slots=2",
    )
    assert done.returncode == 0, done.stderr
    samples = merged_samples(tmp_path / "out")
    assert [sample.prompt_tokens for sample in samples] == [3 + 2 + 3 + 2, 3 + 2]


@pytest.mark.parametrize(
    "line",
    [
        '{"problem_id": 1}',
        '{"prompt": "a", "messages": []}',
        '{"messages": "w1"}',
        '{"messages": [1, 2]}',
        '{"messages": 3}',
        '["prompt"]',
    ],
)
def test_lines_of_prompts_that_are_none(tmp_path, line):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "w1"}\n' + line + "\n")
    done = run("--model=nowhere", f"--prompts={file}")
    assert done.returncode == 2
    assert "line 2 is not a JSON object with 'prompt' or 'messages'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt=x"], "--model names the checkpoint"),
        (["--model=M"], "give --prompt=TEXT or --prompts=FILE"),
        (["--model=M", "--prompts=nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["--model=M", "--prompt=w1", "--policy=topq(3)"], "unknown policy 'topq'"),
        (["--model=M", "--prompt=w1", "--top_p=0"], "top_p=0.0"),
        (["--model=M", "--prompt=w1", "--mesh=data"], "not like data=2"),
        (["--model=M", "--prompt=w1", "--max_context=99999999"], "max_context"),
        (["--model=M", "--prompt=w1", "--nothinking"], "thinking=False would change nothing"),
        (["--model=M", "--prompt=w1", "--max_tokens=5000", "--max_context=64"], "do not fit"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(checkpoint, arguments, message):
    done = run(*(a.replace("=M", f"={checkpoint}") for a in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
