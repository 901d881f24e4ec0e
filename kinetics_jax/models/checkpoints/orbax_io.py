"""Sharded parameters to and from an Orbax checkpoint, onto any mesh whatever it was saved from."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp

from kinetics_jax import storage
from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.checkpoint import CheckpointError
from kinetics_jax.models.sharding import ShardingRules
from kinetics_jax.models.transformer import Transformer
from kinetics_jax.shapes import Llama3Rope, ModelConfig, MoE, Yarn
from kinetics_jax.shapes.hf_fields import read_json

_ABOUT = "kinetics_model.json"
_PARAMS = "params"


def save_orbax(model: Transformer, path: str | pathlib.Path) -> None:
    """Write a model (quantised ones too) to the new folder ``path``: each host writes its own shards.

    Raises ``InputError`` where the folder already holds a checkpoint.
    """
    folder = storage.local(path, why="write to a folder here and copy that there").resolve()
    if (folder / _PARAMS).exists():
        raise InputError(f"{folder}: already holds a checkpoint; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / _PARAMS, model.arrays())
    about = {
        "config": dataclasses.asdict(model.config),
        "dtype": model.dtype.name,
        "quantize": model.quantization,
        "unroll": model.unrolled,
    }
    if jax.process_index() == 0:  # last, so that a folder with it is whole
        (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n")


def restore_orbax(
    path: str | pathlib.Path, *, mesh: jax.sharding.Mesh | None = None, rules: ShardingRules | None = None
) -> Transformer:
    """The model saved at ``path``, each device of ``mesh`` (None: one device) reading its own part.

    Raises ``CheckpointError`` where the folder is not a whole checkpoint of ``save_orbax``.
    """
    folder = storage.local(path).resolve()
    about = read_json(folder / _ABOUT)
    try:
        config = _config(about["config"])
        model = Transformer.abstract(
            config,
            mesh=mesh,
            rules=rules,
            dtype=about["dtype"],
            quantize=about["quantize"],
            unroll=about["unroll"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / _ABOUT}: not a saved model ({error!r})") from error
    target = {path: _placed(array) for path, array in model.arrays().items()}
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore(folder / _PARAMS, target)
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise CheckpointError(f"{folder / _PARAMS}: cannot be restored ({reason})") from error
    return Transformer(config, arrays, model.layout)


def _placed(array: Any) -> jax.ShapeDtypeStruct:
    place = array.sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=place)


def _config(fields: dict[str, Any]) -> ModelConfig:
    """``dataclasses.asdict`` undone, after JSON."""

    def moe(dense_layers: Sequence[int] = (), **others: Any) -> MoE:
        return MoE(dense_layers=tuple(dense_layers), **others)  # JSON made a list of it

    nested: dict[str, Callable[..., Any]] = {"yarn": Yarn, "llama3_rope": Llama3Rope, "moe": moe}
    read = {
        name: nested[name](**value) if name in nested and value else value for name, value in fields.items()
    }
    return ModelConfig(**{**read, "eos_token_ids": tuple(read["eos_token_ids"])})
