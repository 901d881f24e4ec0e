"""Where the tiny models lie that the package ships for this suite."""

import pathlib

from kinetics_jax.errors import InputError

_WEIGHTS = pathlib.Path(__file__).parent / "weights"


def shipped_models() -> dict[str, pathlib.Path]:
    """Size → folder for ``kinetics_jax.models.load``, smallest model first.

    Each folder also holds ``training.json``: recipe, seed, losses and scores.

    Raises:
        InputError: the installation has no weights.
    """
    folders = [file.parent for file in _WEIGHTS.glob("*/model.safetensors")]
    if not folders:
        raise InputError(f"{_WEIGHTS} holds no models; reinstall the package")
    folders.sort(key=lambda folder: (folder / "model.safetensors").stat().st_size)
    return {folder.name: folder for folder in folders}
