"""Passages of real text, as token ids, from files that the user has: nothing is fetched or kept."""

import dataclasses
import json
import pathlib

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.models import Tokenizer

_PLAIN = (".txt", ".md", ".rst", ".py")


@dataclasses.dataclass(frozen=True, eq=False)
class Passage:
    """Consecutive tokens of one text."""

    text: str
    number: int
    tokens: np.ndarray


def read_text(path: pathlib.Path) -> str:
    """A text file, the text files of a folder in the order of their names, or a file of problems.

    Of a ``.jsonl`` file every line is a problem: its ``problem``, then its ``solution`` or ``answer``.
    Raises ``InputError`` naming the file, and the line.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in _PLAIN and p.is_file())
        if not files:
            raise InputError(f"{path}: holds no text file ({', '.join(_PLAIN)})")
        return "\n\n".join(read_text(file) for file in files)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    if path.suffix != ".jsonl":
        return text
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n\n".join(_problem(line, f"{path}:{n}") for n, line in enumerate(lines, 1))


def _problem(line: str, where: str) -> str:
    try:
        fields = json.loads(line)
        return f"{fields['problem']}\n{fields.get('solution') or fields['answer']}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{where}: not a JSON object with problem and solution or answer ({error})"
        ) from None


def cut_passages(name: str, text: str, tokenizer: Tokenizer, *, length: int, count: int) -> list[Passage]:
    """``count`` passages of ``length`` tokens that do not overlap, spread over the text.

    The first ones are the same whatever ``count`` is, so that a measurement can go on with more.
    Raises ``InputError`` where the text holds fewer; the message says how many.
    """
    tokens = np.asarray(tokenizer.encode(text), np.int32)
    most = len(tokens) // length
    if count < 1 or most < count:
        raise InputError(
            f"{name}: {len(tokens)} tokens hold {most} passages of {length} tokens, not "
            f"{count}; give a longer text, fewer passages or shorter contexts"
        )
    return [
        Passage(name, number, tokens[place * length : (place + 1) * length])
        for number, place in enumerate(_spread(most)[:count])
    ]


def _spread(places: int) -> list[int]:
    """All places, in an order whose every beginning is spread over them: by their bits reversed."""
    bits = (places - 1).bit_length()
    return sorted(range(places), key=lambda place: f"{place:0{bits}b}"[::-1])
