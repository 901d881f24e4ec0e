"""Models of a sweep: shape without weights (for plans), what they are known by, and the opened model."""

import dataclasses
import datetime
import importlib.util
import math
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any

from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.models.checkpoints.checkpoint import locate
from kinetics_jax.shapes import ModelConfig, presets
from kinetics_jax.sweep.digests import PREFIX, FileDigests, former_fingerprint, weights_digest
from kinetics_jax.sweep.experiment import EngineChoice, ModelChoice, Slice

if TYPE_CHECKING:
    import jax

    from kinetics_jax.models import Tokenizer, Transformer

RANDOM = "random"
"""Source of a model with random weights; ``random:SEED`` for others."""
SHIPPED = "shipped"
"""Source of the tiny models of the built-in suite, by the last word of their name."""
_SUITE = "registers-"
"""What names of the suite's models begin with; they speak its symbols."""
_COMMIT = re.compile("[0-9a-f]{40}")
"""A revision of the hub that never becomes another."""


def shape(choice: ModelChoice) -> ModelConfig:
    """The model's shape, by its name, else from the ``config.json`` of its folder.

    Raises ``InputError`` where neither is there.
    """
    if choice.name in presets:
        return presets[choice.name]
    folder = _path(choice)
    if (folder / "config.json").is_file():
        return dataclasses.replace(ModelConfig.from_hf(folder), name=choice.name)
    raise UnknownNameError(
        "model", choice.name, presets, hint="(a folder with config.json as its source would do too)"
    )


def fingerprint(choice: ModelChoice, files: FileDigests | None = None, *, known: str | None = None) -> str:
    """What tells one set of weights from another: a digest of what is in the files.

    Weights of the hub are known by name and commit (``org/name@commit``), downloaded if need be; random
    ones by their seed.

    Args:
      choice: the model.
      files: digests of files that need not be read again.
      known: what a manifest says of the model. A hub name without a revision stays at its commit, and a
        digest that an earlier version made of the same files is kept.

    Raises ``InputError`` where the weights are not to be had.
    """
    if _is_random(choice.source):
        return choice.source
    path = _path(choice)
    if not path.exists():
        name, _, revision = choice.source.partition("@")
        if known and known.startswith(f"{name}@") and revision in ("", known.partition("@")[2]):
            return known
        if _COMMIT.fullmatch(revision):
            return choice.source
        path = locate(choice.source)
        if _COMMIT.fullmatch(path.name):  # the folder of a snapshot
            return f"{name}@{path.name}"
    found = weights_digest(path, files or FileDigests())
    if known and known != found and not known.startswith(PREFIX):
        return known if known == former_fingerprint(path) else found
    return found


def check_source(choice: ModelChoice) -> None:
    """Raise ``InputError`` where weights are neither here nor to be had from the hub, or cannot be run."""
    source = choice.source
    if choice.name in presets and (why := presets[choice.name].priced_only):
        raise InputError(f"{choice.name} can be priced (--dry_run) but not run: {why}")
    if _is_random(source):
        _seed(choice)
        return
    if _path(choice).exists():
        return
    if source.count("/") != 1 or source[0] in "./~" or source.endswith((".gguf", ".zip", ".whl")):
        raise InputError(f"{choice.name}={source}: no such folder or file")
    known = "huggingface_hub" in sys.modules or importlib.util.find_spec("huggingface_hub")
    if not known:
        raise InputError(
            f"{choice.name}={source}: no such folder, and huggingface_hub is not installed to look for "
            "it on the hub"
        )


def pinned(choice: ModelChoice, weights: str) -> ModelChoice:
    """The choice with its source at the commit that ``fingerprint`` found, where it is of the hub."""
    name, _, commit = weights.partition("@")
    ours = choice.source.partition("@")[0] == name and _COMMIT.fullmatch(commit)
    return dataclasses.replace(choice, source=weights) if ours else choice


def resolved_dtype(engine: EngineChoice) -> str:
    """The dtype of the weights, with ``auto`` resolved for the devices that are here."""
    import jax

    if engine.dtype != "auto":
        return engine.dtype
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def open_tokenizer(choice: ModelChoice, date: str = "") -> "Tokenizer | None":
    """What turns texts into the model's ids and back; random models speak bytes.

    ``date`` (YYYY-MM-DD) is what chat templates take for today; empty: the day at hand.
    """
    from kinetics_jax.models import load_tokenizer

    if choice.name.startswith(_SUITE):
        from kinetics_jax.tasks.registers.tokenizer import SymbolTokenizer

        return SymbolTokenizer()
    return load_tokenizer(
        "bytes" if _is_random(choice.source) else choice.source,
        today=datetime.date.fromisoformat(date) if date else None,
    )


def open_model(choice: ModelChoice, engine: EngineChoice) -> "Transformer":
    """The weights, on the slice's devices. Raises ``InputError`` where they are not of the named shape."""
    import jax

    from kinetics_jax.models import Transformer, load

    mesh = make_mesh(choice.slice)
    dtype = resolved_dtype(engine)
    if _is_random(choice.source):
        seed = _seed(choice)
        if engine.quantize:
            raise InputError(f"{choice.name}={choice.source}: random weights are not quantised")
        return Transformer.init(
            shape(choice), jax.random.key(seed), mesh=mesh, dtype=dtype, unroll=engine.unroll
        )
    source = _path(choice) if choice.source == SHIPPED else choice.source
    model = load(
        source,
        mesh=mesh,
        dtype=dtype,
        quantize=engine.quantize,  # type: ignore[arg-type]
        unroll=engine.unroll,
    )
    if misfit := shape(choice).difference(model.config):
        raise InputError(f"{choice.source} is no {choice.name}: its {misfit}")
    return model


def make_mesh(wanted: Slice) -> "jax.sharding.Mesh | None":
    """The mesh of a slice; None for one device.

    It lies on this process's own devices where they suffice, so that each process decodes its own share
    of the samples; else on those of all processes, which then decode each sample together.
    """
    import jax
    from jax.sharding import Mesh

    if wanted.devices == 1:
        return None
    axes: dict[str, int] = {"data": wanted.data, "expert": wanted.expert, "model": wanted.model}
    here, everywhere = jax.local_devices(), jax.devices()
    devices: list[Any] = here if wanted.devices <= len(here) else everywhere
    if wanted.devices > len(devices):
        raise InputError(
            f"slice of {' × '.join(f'{k}={v}' for k, v in axes.items())}: {wanted.devices} devices are "
            f"needed, and there are {len(devices)} ({devices[0].platform}); set the slice of the model"
        )
    from jax.experimental import mesh_utils

    if wanted.devices == len(devices) and math.prod(axes.values()) > 1:
        grid = mesh_utils.create_device_mesh(tuple(axes.values()), devices=devices)
    else:
        import numpy as np

        grid = np.asarray(devices[: wanted.devices]).reshape(tuple(axes.values()))
    return Mesh(grid, tuple(axes))


def spans_processes(wanted: Slice) -> bool:
    """Whether a slice needs the devices of several processes."""
    import jax

    return wanted.devices > len(jax.local_devices())


def _path(choice: ModelChoice) -> pathlib.Path:
    """Where the weights are, if they are files here."""
    if choice.source != SHIPPED:
        return pathlib.Path(choice.source)
    from kinetics_jax.tasks.registers.shipped import shipped_models

    folders, size = shipped_models(), choice.name.removeprefix(_SUITE)
    if size not in folders:
        raise UnknownNameError("built-in model", choice.name, [_SUITE + name for name in folders])
    return folders[size]


def _seed(choice: ModelChoice) -> int:
    """Of a model with random weights."""
    seed = choice.source.partition(":")[2] or "0"
    if not re.fullmatch(r"[0-9]{1,9}", seed):
        raise InputError(f"{choice.name}={choice.source}: {seed!r} is no seed")
    return int(seed)


def _is_random(source: str) -> bool:
    return source.partition(":")[0] == RANDOM
