"""Flags that belong to one command: two commands, or one that is loaded anew, do not meet in a process."""

import logging
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from absl import flags

from kinetics_jax.errors import InputError, KineticsError

_HELP = ("help", "helpshort", "helpfull", "?", "h")


class Flags:
    """``absl.flags`` with a set of flags of its own: ``flags = Flags(); _N = flags.DEFINE_integer(…)``."""

    def __init__(self) -> None:
        self.values = flags.FlagValues()
        self._groups: dict[str, list[str]] = {"": []}
        self._shown: dict[str, Any] = {}
        self._required: set[str] = set()
        self._hook: Callable[[list[str]], list[str]] = list
        about = (
            "Files or modules of your own to import first: kernel back ends, policies (docs/extending.md)."
        )
        self.DEFINE_list("load", [], about)

    def group(self, title: str) -> None:
        """What is defined from now on stands under ``title`` in the help."""
        self._groups.setdefault(title, [])

    def note(self, name: str, default: Any) -> None:
        """What the help gives as a flag's default."""
        self._shown[name] = default

    def before_parsing(self, hook: Callable[[list[str]], list[str]]) -> None:
        """``hook`` takes the command line and gives what of it is parsed: it may define flags on its way."""
        self._hook = hook

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("DEFINE_"):
            raise AttributeError(name)
        define = getattr(flags, name)

        def into_own(flag: str, *args: Any, **options: Any) -> Any:
            self._groups[list(self._groups)[-1]].append(flag)
            if options.get("required"):
                self._required.add(flag)
            return define(flag, *args, flag_values=self.values, **options)

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
            left = self.values(self._hook(argv))
        except flags.Error as error:
            raise InputError(_reason(str(error))) from None
        except KineticsError as error:
            raise InputError(f"--config: {one_line(error)}") from None
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
        """What the command is for and its flags, group by group, as text."""
        parts = [about.strip()]
        for title, names in self._groups.items():
            if names:
                parts.append("\n".join([f"{title or 'flags'}:", *map(self._line, names)]))
        return "\n\n".join(parts) + "\n"

    def _line(self, name: str) -> str:
        flag = self.values[name]
        default = self._shown.get(name, flag.default)
        shown = "" if default is None else f" (default: {_spelled(default)})"
        shown = " (required)" if name in self._required else shown
        choices = getattr(flag.parser, "enum_values", None)
        kind = "|".join(choices) if choices else flag.flag_type()
        text = " ".join((flag.help or "").split())
        return textwrap.fill(
            f"--{name}=<{kind}>  {text}{shown}" if kind != "bool" else f"--[no]{name}  {text}{shown}",
            width=110,
            initial_indent="  ",
            subsequent_indent="      ",
        )


def _spelled(default: Any) -> str:
    """A default as one would write it behind a flag."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple):
        return ",".join(map(str, default)) or "none"
    return str(default) if default != "" else "none"


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
