"""Names that a checkpoint really uses → those that transformers would write.

Training wrappers, base models and adapters leave their mark on names. Where exactly one reading makes a
whole language model of them, it is taken; every other file keeps its names, and is refused by them.
"""

import pathlib
import re
from collections.abc import Iterable

from kinetics_jax.errors import InputError


class NamesError(InputError):
    """Names that can be read in two ways, or belong to weights that are not whole."""


EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_MODEL = "model."
_FIRST = "layers.0.input_layernorm.weight"
"""What stands before this tensor's name stands before every other, but the head's."""
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What ``torch.compile``, FSDP and activation checkpointing put in, anywhere in a name."""
_BUFFER = re.compile(r"rotary_emb\.(?:inv_freq|original_inv_freq|cos_cached|sin_cached)$")
_ADAPTER = re.compile(
    r"\.(?:lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|base_layer|modules_to_save)\."
)


def is_buffer(name: str) -> bool:
    """Whether a tensor follows from config.json and is no weight (rotary frequencies)."""
    return _BUFFER.search(name) is not None


def canonical_names(stored: Iterable[str], where: pathlib.Path, *, tied: bool = False) -> dict[str, str]:
    """Name in transformers → name in the file, without buffers.

    ``tied`` lets a lone head stand for the embedding that it is tied to. Raises ``NamesError``, opening
    with ``where``, for adapters that are not merged and for two models in one checkpoint.
    """
    plain = {name: _WRAPPERS.sub("", name) for name in stored if not is_buffer(name)}
    if adapter := next((name for name in plain if _ADAPTER.search(name)), None):
        raise NamesError(
            f"{where}: tensor {adapter[:80]!r} belongs to an adapter that is not merged: merge it into its "
            "base model (merge_and_unload in peft) and save that"
        )
    prefix = _prefix(plain.values(), where)
    found: dict[str, str] = {}
    for name, short in plain.items():
        key = short if prefix is None else _renamed(short, prefix)
        if key in found:
            raise NamesError(f"{where}: tensors {found[key][:80]!r} and {name[:80]!r} are both {key[:80]!r}")
        found[key] = name
    if tied and EMBEDDING not in found and HEAD in found:
        found[EMBEDDING] = found.pop(HEAD)
    return found


def _prefix(names: Iterable[str], where: pathlib.Path) -> str | None:
    """What stands before the names of the one model; None where there is none to be seen."""
    ends = (name.removesuffix(_FIRST) for name in names if name.endswith(_FIRST))
    found = {before for before in ends if not before or before.endswith(".")}
    if not found or _MODEL in found:  # any other would be a part beside the model, refused by its names
        return _MODEL if found else None
    if len(found) > 1:
        raise NamesError(f"{where}: holds {len(found)} models, under {' and '.join(sorted(found))[:120]}")
    return found.pop()


def _renamed(name: str, prefix: str) -> str:
    outer = prefix.removesuffix(_MODEL)
    if name in (outer + HEAD, prefix + HEAD):
        return HEAD
    return _MODEL + name.removeprefix(prefix) if name.startswith(prefix) else name
