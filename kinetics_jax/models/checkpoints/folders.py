"""Whose files are in a model's folder: a model that ``save_hf`` wrote may be replaced, no other one."""

import json
import pathlib

from safetensors import SafetensorError, safe_open

from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.checkpoint import INDEX

CONFIG = "config.json"
METADATA = {"format": "pt", "written_by": "kinetics-jax"}
"""Of every weight file of ours: ``format`` is what transformers asks for."""
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".npz")


def earlier_model(folder: pathlib.Path) -> set[str]:
    """Names of the files of a model that ``save_hf`` wrote to ``folder``; empty where there is none.

    Files that belong to no model's weights (a tokenizer's) are not looked at. Raises ``InputError`` where
    the folder holds weights, an index or a config that ``save_hf`` did not write.
    """
    if not folder.is_dir():
        return set()
    names = sorted(path.name for path in folder.iterdir())
    weights = [name for name in names if pathlib.PurePath(name).suffix.lower() in _WEIGHTS]
    ours = {name for name in weights if _is_ours(folder / name)}
    foreign = [name for name in weights if name not in ours]
    for name in (INDEX, CONFIG, "kinetics_model.json", "params"):
        if name in names:
            if ours and name in (INDEX, CONFIG) and _goes_with(folder / name, ours):
                ours.add(name)
            else:
                foreign.append(name)
    if foreign:
        raise InputError(
            f"{folder} holds {foreign[0]}, which belongs to another model: name a new or empty folder, or "
            "move that away"
        )
    return ours


def _is_ours(file: pathlib.Path) -> bool:
    if file.suffix != ".safetensors":
        return False
    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
    except (SafetensorError, OSError, ValueError):
        return False
    return metadata.get("written_by") == METADATA["written_by"]


def _goes_with(file: pathlib.Path, weights: set[str]) -> bool:
    """Whether an index names no file but ``weights``; a config beside weights of ours is ours."""
    if file.name == CONFIG:
        return True
    try:
        return set(json.loads(file.read_text("utf-8"))["weight_map"].values()) <= weights
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
