"""How a command begins and ends: ``Command(about, flags, main)()``.

Exit codes: 0 done · 1 the machine failed (disk, memory, a device, a package) or a gate of training did · 2
the input is wrong · 128 + n ended by signal n (130 interrupted, 143 preempted; 141 nobody reads the output
any more). Every one but 0 and 141 comes with one line on stderr; only a fault of this library itself keeps
its traceback.
"""

import dataclasses
import errno
import sys
import warnings
from collections.abc import Callable
from typing import Any

from absl import app

from kinetics_jax import references
from kinetics_jax.commands.flags import Flags, one_line, program
from kinetics_jax.commands.requirements import explain_import, unmet
from kinetics_jax.commands.terminal import discard_output, take_every_text
from kinetics_jax.errors import InputError, KineticsError

MACHINE, INPUT, INTERRUPTED, UNREAD = 1, 2, 130, 141
_MACHINE_ERRNO = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command of ours. Called, it parses ``sys.argv``, runs and leaves the process with its exit code."""

    about: str
    """What it is for: the first part of its help, its first line in the list of commands."""
    flags: Flags
    main: Callable[[list[str]], Any]
    """Takes what is left of ``argv``; what it returns is the exit code, None for 0."""
    prefix: str = ""
    """What a line on an error begins with; the command's name unless given."""
    leave: Callable[[int], None] = sys.exit
    """Ends the process with an exit code."""

    def __call__(self) -> None:
        """Never returns."""
        take_every_text()
        said = self.prefix or program()
        warnings.showwarning = _warn
        if self.flags.asks_for_help(sys.argv):
            sys.exit(_guarded(lambda: print(self.flags.help(self.about)), said))

        def parse(words: list[str]) -> list[str]:
            left: list[str] = []
            if status := _guarded(lambda: left.extend(self.flags.parse(words)), said):
                sys.exit(status)
            return left

        def begin(left: list[str]) -> Any:
            for place in self.flags["load"]:
                references.load_module(place)
            return self.main(left)

        app.run(lambda left: self.leave(_guarded(lambda: begin(left), said)), flags_parser=parse)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as one line: where in the library it arose tells a user nothing."""
    print(f"{program()}: warning: {one_line(message)}", file=sys.stderr)


def _guarded(act: Callable[[], Any], said: str) -> int:
    """Run ``act``; an error that ``describe`` knows becomes a line and an exit code."""
    try:
        status = act() or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        discard_output()
        return UNREAD
    except KeyboardInterrupt:
        line, status = "interrupted", INTERRUPTED
    except Exception as error:
        found = describe(error)
        if found is None:
            raise
        line, status = found
    print(f"{said}: {line}", file=sys.stderr)
    return status


def describe(error: Exception) -> tuple[str, int] | None:
    """(one line, exit code) for an error that has a cause outside this library; None for any other."""
    text = one_line(error)
    if isinstance(error, KineticsError | app.UsageError):
        wrong = isinstance(error, InputError | app.UsageError) and not _of_machine(error)
        return text, INPUT if wrong else MACHINE
    if _is_own(error, "pallas_kernels"):
        return text, INPUT
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        return _memory(text), MACHINE
    if isinstance(error, OSError) and error.errno is not None:
        return _system(error), MACHINE
    if isinstance(error, RuntimeError) and "nable to initialize backend" in text:
        reason = text.partition(" (set JAX_PLATFORMS")[0]
        return f"{reason} (leave JAX_PLATFORMS unset to use the devices that are here)", MACHINE
    if (isinstance(error, ImportError) or unmet()) and (line := explain_import(error)):
        return line, MACHINE
    return None


def _of_machine(error: BaseException) -> bool:
    """Whether an ``InputError`` says what a disk or the memory did, not what the user wrote."""
    cause = error.__cause__ or error.__context__
    return isinstance(cause, OSError) and cause.errno in _MACHINE_ERRNO


def _is_own(error: Exception, room: str) -> bool:
    return any(kind.__module__.partition(".")[0] == room for kind in type(error).__mro__)


def _memory(text: str) -> str:
    first = text.partition(": while ")[0][:300] or "an allocation failed"
    return (
        f"not enough memory ({first}); ask for less (decoding: fewer --slots, a shorter --max_context, "
        "--quantize=int8, a smaller model), or use more devices"
    )


def _system(error: OSError) -> str:
    where = error.filename if error.filename2 is None else f"{error.filename} → {error.filename2}"
    reason = error.strerror or one_line(error)
    hint = "; make room and run it again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"{where}: {reason}{hint}" if where else f"{reason}{hint}"
