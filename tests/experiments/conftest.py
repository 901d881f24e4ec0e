"""A small checkpoint, small traces, and every command in one process that forks (``zygote``)."""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Zygote:
    """Runs command lines one after another; see ``zygote``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.zygote"],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        )

    def __call__(self, command: str, *argv: str, cwd: pathlib.Path, env: dict | None = None) -> dict:
        """``{"code", "out", "err"}`` of ``experiments.COMMAND`` run in ``cwd``."""
        asked = {"command": command, "argv": argv, "cwd": str(cwd), "env": env or {}}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def zygote():
    found = Zygote()
    yield found
    found.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> pathlib.Path:
    """A random tiny model with a tokenizer of bytes and a chat template."""
    import jax
    import tokenizers
    from tokenizers import pre_tokenizers

    from kinetics_jax import models
    from kinetics_jax.shapes import presets

    folder = tmp_path_factory.mktemp("tiny")
    model = models.Qwen3.init(presets["tiny-dense"], jax.random.key(0), dtype="float32")
    models.save_hf(model, folder)
    letters = {c: n for n, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    return folder


@pytest.fixture(scope="session")
def some_traces(tmp_path_factory) -> pathlib.Path:
    """Two models, twelve questions, four trials of each."""
    drawn = random.Random(0)
    lines = [
        json.dumps(
            {
                "run": "r",
                "model": model,
                "task": "aime24",
                "problem_id": str(problem),
                "trial": trial,
                "prompt_tokens": 50,
                "generated_tokens": drawn.randint(200, 4000),
                "correct": drawn.random() < 0.5,
            }
        )
        + "\n"
        for model in ("qwen3-0.6b", "qwen3-1.7b")
        for problem in range(12)
        for trial in range(4)
    ]
    path = tmp_path_factory.mktemp("traces") / "traces.jsonl"
    path.write_text("".join(lines))
    return path
