"""Standard output that takes every text: what a terminal's encoding lacks is spelled, not an error."""

import codecs
import contextlib
import io
import os
import sys

_SPELLED = {
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "·": "*",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "“": '"',
    "”": '"',
    "’": "'",
    "Φ": "Phi",
    "±": "+-",
    "≈": "~",
}
_NAME = "kinetics_jax.spelled"


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    spelled = (_SPELLED.get(c) or ascii(c)[1:-1] for c in letters)
    return "".join(spelled), error.end


def take_every_text() -> None:
    """Let ``sys.stdout`` and ``sys.stderr`` write any text, whatever their encoding."""
    codecs.register_error(_NAME, _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def discard_output() -> None:
    """After a broken pipe: what is still buffered goes nowhere, instead of failing again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
