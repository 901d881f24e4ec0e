"""The ten lines of the package's docstring run as they stand, on a tiny checkpoint."""

import inspect
import textwrap

import jax

from kinetics_jax import models
from kinetics_jax.shapes import presets


def test_the_docstring_example_runs(tmp_path, capsys):
    models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(0)), tmp_path)
    code = textwrap.dedent(inspect.getdoc(models).split("::", 1)[1])
    code = code.replace('load_tokenizer("Qwen/Qwen3-0.6B")', 'load_tokenizer("bytes")')
    code = code.replace('"Qwen/Qwen3-0.6B"', repr(str(tmp_path))).replace("4096", "256")
    assert len(code.strip().splitlines()) <= 13  # ten statements, two of them imports
    exec(code, {})
    assert capsys.readouterr().out
