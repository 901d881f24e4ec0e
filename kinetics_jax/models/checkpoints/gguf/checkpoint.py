"""A GGUF file as a checkpoint: Hugging Face names and shapes, regions dequantised when they are read."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.checkpoint import CheckpointError, Stored
from kinetics_jax.models.checkpoints.gguf.file import SUFFIXES, GgufFile
from kinetics_jax.models.checkpoints.gguf.names import (
    ROPE_FACTORS,
    TURNED_PAIRWISE,
    architecture,
    hf_fields,
    hf_name,
)
from kinetics_jax.models.checkpoints.gguf.rope_factors import with_rope_factors
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.shapes.hf_fields import ConfigError


def is_gguf(path: str | pathlib.Path) -> bool:
    """Whether ``path`` names a GGUF file, or an archive that may hold one, rather than a folder."""
    return pathlib.Path(path).suffix in SUFFIXES and not pathlib.Path(path).is_dir()


class GgufCheckpoint:
    """See ``checkpoint.Tensors``. Every tensor reads as float32, whatever it is stored as."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read the header. Raises ``CheckpointError``, naming file and tensor or field."""
        self.file = GgufFile(path)
        self.folder = pathlib.Path(self.file.where)
        self.tensors: dict[str, Stored] = {}
        self._names: dict[str, str] = {}
        for name, entry in self.file.tensors.items():
            key = hf_name(name)
            if key in self._names:
                raise CheckpointError(f"{self.file.where}: tensor {name[:80]!r} is there twice")
            self._names[key] = name
            self.tensors[key] = Stored(self.folder, "F32", entry.shape)
        self._pairwise = architecture(self.file) in TURNED_PAIRWISE
        try:
            self.config = ModelConfig.from_hf(hf_fields(self.file))
        except ConfigError as error:
            raise CheckpointError(f"{self.file.where}: as a {error}") from error
        if self._pairwise and ROPE_FACTORS in self.tensors:  # of Llama 3; other architectures have none
            self._stretch_rope()

    def _stretch_rope(self) -> None:
        """Take the divisors of rotary frequencies from among the weights into the config."""
        shape = self.tensors[ROPE_FACTORS].shape
        whole = [slice(0, size) for size in shape]
        try:
            self.config = with_rope_factors(self.config, self.read(ROPE_FACTORS, whole))
        except InputError as error:
            raise CheckpointError(f"{self.file.where}: tensor {ROPE_FACTORS!r} {error}") from error
        del self.tensors[ROPE_FACTORS]

    def read(self, key: str, region: Sequence[slice]) -> np.ndarray:
        """See ``Tensors.read``: only the rows of ``region`` are dequantised."""
        *leading, columns = self.tensors[key].shape
        rows = self._row_order(key, math.prod(leading)).reshape(leading)[tuple(region[:-1])]
        found = self.file.rows(self._names[key], rows.ravel())
        return found.reshape(*rows.shape, columns)[..., region[-1]]

    def close(self) -> None:
        """Nothing to let go of: the file stays mapped while this object lives."""

    def _row_order(self, key: str, rows: int) -> np.ndarray:
        """The stored row of each of our rows: rotary pairs (2i, 2i+1) of a head are (i, i + H/2) here."""
        order = np.arange(rows)
        if not self._pairwise or not key.endswith(("self_attn.q_proj.weight", "k_proj.weight")):
            return order
        H = self.config.head_dim
        return order.reshape(rows // H, H // 2, 2).swapaxes(1, 2).ravel()
