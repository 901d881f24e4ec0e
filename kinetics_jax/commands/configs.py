"""Options of a command from its config file, with the flags that were given on top."""

from collections.abc import Callable, Iterable
from typing import Any

from ml_collections import ConfigDict

from kinetics_jax.commands.flags import Flags, one_line
from kinetics_jax.commands.values import plain
from kinetics_jax.errors import InputError


class Config(ConfigDict):
    """A ``ConfigDict`` that takes scalars of NumPy and JAX as the Python numbers that they are."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, plain(value))


def options_from_flags(flags: Flags, default: Callable[[], Any], names: Iterable[str]) -> dict[str, Any]:
    """Every option by name, as the config file has it or the flag gives it.

    Args:
      flags: holds ``--config`` and a flag for each of ``names``, None where it was not given.
      default: gives the options where there is no ``--config``.
      names: of the options.

    Raises ``InputError`` for a config file that cannot be read or gives no ``ConfigDict``.
    """
    try:
        config = flags["config"] if flags.values["config"].present else default()
        options = dict(config)
    except OSError as error:  # a file that could not be loaded says so when it is first looked into
        raise InputError(f"--config: {one_line(error)}") from None
    except (TypeError, ValueError):
        raise InputError("--config: get_config() must return a ConfigDict") from None
    return options | {name: flags[name] for name in names if flags[name] is not None}
