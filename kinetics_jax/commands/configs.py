"""Options of a command from its config file, with the flags that were given on top.

A config is a Python file with ``get_config() -> ConfigDict``. Those that the package brings are known by name
(``--config=suite``), others by path; what stands behind a colon is given to ``get_config`` (``aime:topk``).
"""

import importlib.util
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict, config_flags

from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.values import plain
from kinetics_jax.errors import InputError, UnknownNameError

_ROOM = pathlib.Path(__file__).resolve().parents[1]


class Config(ConfigDict):
    """A ``ConfigDict`` that keeps its order, and takes scalars of NumPy and JAX as Python numbers."""

    def __init__(self, values: Any = None, **options: Any) -> None:
        super().__init__(values, **{"sort_keys": False, **options})

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, plain(value))


def packaged_configs() -> dict[str, pathlib.Path]:
    """Name → file of the configs that come with the package: within it, or beside it in a checkout."""
    inside, beside = _ROOM / "configs", _ROOM.parent / "configs"
    folder = inside if inside.is_dir() else beside
    return {file.stem: file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"}


def config_path(text: str) -> str:
    """``PATH[:ARGUMENT]`` of a config given by ``NAME[:ARGUMENT]`` or by its path.

    Raises ``UnknownNameError`` for a name that no packaged config has.
    """
    path, colon, argument = text.partition(":")
    if path.endswith(".py") or "/" in path:
        return text
    known = packaged_configs()
    if path not in known:
        raise UnknownNameError("config", path, known, "(or the path of a .py file)")
    return f"{known[path]}{colon}{argument}"


def load_config(text: str) -> ConfigDict:
    """The options of a config, by name or path: what another config begins with."""
    path, _, argument = config_path(text).partition(":")
    spec = importlib.util.spec_from_file_location(f"kinetics_config_{pathlib.Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"config {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise InputError(f"config {path}: {error.strerror}") from None
    return module.get_config(argument) if argument else module.get_config()


def define_config(flags: Flags, default: str) -> None:
    """``--config=NAME|PATH[:ARGUMENT]`` and ``--config.OPTION=VALUE`` over it; ``default`` names a config."""
    about = (
        f"Config: {', '.join(packaged_configs())}, or a .py file; ':ARGUMENT' goes to its get_config, and "
        "--config.OPTION=VALUE sets one option, nested ones too."
    )
    flags.DEFINE_string("config", None, about)
    flags.note("config", default)

    def load(argv: list[str]) -> list[str]:
        text, left = _taken(argv, default)
        for name in [name for name in flags.values if name.partition(".")[0] == "config"]:
            delattr(flags.values, name)  # of the help, and of a command line that was parsed before
        options = load_config(text)
        config_flags.DEFINE_config_dict("config", options, about, flag_values=flags.values, sys_argv=left)
        return left

    flags.before_parsing(load)


def _taken(argv: list[str], default: str) -> tuple[str, list[str]]:
    """What ``--config`` says, the last one of several, and the command line without it."""
    text, left, words = default, [], iter(argv)
    for word in words:
        if word == "--":
            left += [word, *words]
        elif word in ("-config", "--config"):
            text = next(words, "")
        elif word.startswith(("-config=", "--config=")):
            text = word.partition("=")[2]
        else:
            left.append(word)
    return text, left


def define_options(flags: Flags, options: Mapping[str, tuple[Any, str]]) -> None:
    """A flag for each option, (default, help): None unless given, so that the config decides."""
    define = {bool: flags.DEFINE_boolean, int: flags.DEFINE_integer, float: flags.DEFINE_float}
    for name, (default, text) in options.items():
        define.get(type(default), flags.DEFINE_string)(name, None, text)
        flags.note(name, default)


def options_from_flags(flags: Flags, names: Iterable[str]) -> ConfigDict:
    """Every option, as the config has it or its flag gives it.

    Args:
      flags: holds ``--config`` and a flag for each of ``names``, None where it was not given.
      names: of the options that have a flag of their own.
    """
    config = flags["config"]
    with config.unlocked(), config.ignore_type():
        for name in names:
            if flags[name] is not None:
                config[name] = flags[name]
    return config
