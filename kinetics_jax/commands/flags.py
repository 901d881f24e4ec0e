"""Flags that belong to one command: two commands, or one that is loaded anew, do not meet in a process."""

import logging
import sys
from typing import Any

from absl import flags

from kinetics_jax.errors import InputError

_HELP = ("help", "helpshort", "helpfull", "?", "h")


class Flags:
    """``absl.flags`` with a set of flags of its own: ``flags = Flags(); _N = flags.DEFINE_integer(…)``."""

    def __init__(self) -> None:
        self.values = flags.FlagValues()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("DEFINE_"):
            raise AttributeError(name)
        define = getattr(flags, name)

        def into_own(*args: Any, **options: Any) -> Any:
            return define(*args, flag_values=self.values, **options)

        return into_own

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    def parse(self, argv: list[str]) -> list[str]:
        """Read the flags of ``argv``; gives what is left, the program's name first.

        Raises ``InputError`` for a flag that is unknown or has a wrong value, and for an argument that is
        no flag. A config file is the user's code: whatever it raises is an ``InputError`` too.
        """
        if "flagfile" not in self.values:
            for name in flags.FLAGS:  # of absl itself: --verbosity, --flagfile …
                if name not in self.values and flags.FLAGS[name].name == name:
                    self.values[name] = flags.FLAGS[name]
        absl_log = logging.getLogger("absl")
        absl_log.addFilter(_errors_only)  # what it warns of in a config is an error here, said once
        try:
            left = self.values(argv)
        except flags.Error as error:
            raise InputError(_reason(str(error))) from None
        except Exception as error:  # noqa: BLE001 - a config file may raise anything
            raise InputError(f"--config: {type(error).__name__}: {one_line(error)}") from None
        finally:
            absl_log.removeFilter(_errors_only)
        flags.FLAGS.mark_as_parsed()
        if len(left) > 1:
            raise InputError(f"unexpected argument {left[1]!r}: options start with --")
        return left

    def asks_for_help(self, argv: list[str]) -> bool:
        """Whether ``argv`` holds ``--help`` or its like."""
        end = argv.index("--") if "--" in argv else len(argv)
        return any(word.startswith("-") and word.lstrip("-") in _HELP for word in argv[1:end])

    def help(self, about: str) -> str:
        """What the command is for and its flags, as text."""
        own = "\n".join(self.values.get_help(include_special_flags=False).splitlines())
        return f"{about.strip()}\n\nflags:\n{own}\n"


def _reason(text: str) -> str:
    """Absl's text in one line; of a config file's traceback, which it quotes, the last line."""
    if "Traceback (most recent call last)" in text:
        return f"--config: {text.strip().splitlines()[-1].strip()}"
    return one_line(text).removeprefix("flag --")


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def one_line(error: object) -> str:
    """The text of an error with its line ends taken out."""
    return " ".join(str(error).split())


def program() -> str:
    """The name of the command that runs, as the user wrote it: ``experiments.decode`` is ``decode``."""
    return sys.argv[0].rpartition("/")[2].removesuffix(".py").rpartition(".")[2]
