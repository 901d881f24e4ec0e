"""Where things are kept: the one door to a path, and directories that appear whole or not at all.

Local folders and object stores; what is stored is not known here.
"""

from kinetics_jax.storage.directories import walk, whole_directory
from kinetics_jax.storage.outputs import output_file, output_folder, overlap
from kinetics_jax.storage.paths import (
    PathError,
    PathLike,
    Place,
    expand,
    input_path,
    is_object_store,
    local,
    place,
    source,
)

__all__ = [
    "PathError",
    "PathLike",
    "Place",
    "expand",
    "input_path",
    "is_object_store",
    "local",
    "output_file",
    "output_folder",
    "overlap",
    "place",
    "source",
    "walk",
    "whole_directory",
]
