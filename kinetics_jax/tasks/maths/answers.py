r"""Where the answer stands in a text, and how to write it so that math-verify reads it right.

Pure text in linear time: the last ``\boxed``, LaTeX noise, answers in words, numerals with a base.
"""

import re
from collections.abc import Callable

_THINK_END = "</think>"


def final_part(text: str) -> str:
    """What follows the reasoning block; the whole text where none was closed."""
    return text.rpartition(_THINK_END)[2]


def boxes(text: str) -> list[tuple[int, int]]:
    r"""Start and end of the content of every outermost closed ``\boxed{…}``, in order."""
    found: list[tuple[int, int]] = []
    opened: list[int] = []  # content start of a box, or -1 for any other brace
    for match in re.finditer(r"\\boxed\s*\{|(?<!\\)[{}]", text):
        if match[0] != "}":
            opened.append(match.end() if len(match[0]) > 1 else -1)
        elif opened:
            start = opened.pop()
            if start >= 0:
                while found and found[-1][0] > start:  # inside this one
                    found.pop()
                found.append((start, match.start()))
    return found


def last_box(text: str) -> str | None:
    r"""Content of the last closed ``\boxed{…}``."""
    found = boxes(text)
    return text[found[-1][0] : found[-1][1]] if found else None


_TRIGONOMETRIC = r"\\(?:sin|cos|tan|cot|sec|csc)"
_NOISE = [
    (re.compile(r"\\(?:fbox|framebox)\b"), r"\\boxed"),
    (re.compile(r"\\(?:left|right)\s*\."), ""),
    (re.compile(r"\\(?:text)?color\s*\{[a-zA-Z]*\}"), ""),
    (re.compile(r"(?<=\d)(?:\\[,;:! ]|~)\s*(?=\d{3}(?!\d))"), ""),  # 1\,234
    (re.compile(r"(?<!\\)\\[;: ]|~|\\q?quad\b"), " "),
    (re.compile(r"(?:\\,|\s){1,4}(?=\\?%)"), ""),
    # math-verify drops the sign of degrees, which is right but for the argument of a function.
    (
        re.compile(
            rf"({_TRIGONOMETRIC}\s?(?:\\left)?\s?\(?\s?)(\d{{1,9}})\s?\^\s?(?:\{{\s?\\circ\s?\}}|\\circ)"
        ),
        r"\1{\\frac{\2\\pi}{180}}",
    ),
    # A fraction that ends a sentence is read as a division by a decimal.
    (re.compile(r"(?<![\d.])(\d+\s?/\s?\d+)\.(?=\s|$)"), r"\1 ;"),
]
_UNIT = r"(?!(?:pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|and|or|mod|inf|infinity|factorial)\b)[A-Za-z]{2,}"
_WHOLE_ANSWER: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"^\\text\s*\{[^{}]*\b(?:is|are|equals)\s*:?\s*\}\s*(?=\S)"), ""),
    (re.compile(r"^[€£¥₹]\s*(?=\d)"), ""),
    (re.compile(r"^(-?\d{1,3}(?: \d{3})+(?:\.\d+)?)$"), lambda m: m[1].replace(" ", "")),
    (re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])"), r"\\pi"),
    (re.compile(r"^(-?\d+)\s+(\d+)\s?/\s?(\d+)$"), r"\1\\frac{\2}{\3}"),
    (re.compile(rf"^(-?[\d.,]*\d)\s+{_UNIT}(?:\s+{_UNIT})*$"), r"\1"),
]


def tidy(text: str) -> str:
    """The text without spacing, colour and delimiters that say nothing, each box tidied as well."""
    for pattern, replacement in _NOISE:
        text = pattern.sub(replacement, text)
    parts, at = [], 0
    for start, end in boxes(text):
        parts += [text[at:start], tidy_answer(text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def tidy_answer(answer: str) -> str:
    """Mends that are right only where ``answer`` is the whole answer: units in words, 1 234, 2 1/2."""
    answer = answer.strip().rstrip(" .,;:")
    for pattern, replacement in _WHOLE_ANSWER:
        answer = pattern.sub(replacement, answer)
    return answer


_TEXT_COMMAND = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|mathrm|mathbf|mathit|mbox|operatorname)\b"
)


def in_words(answer: str) -> str | None:
    r"""An answer in words (``\text{(C)}``, ``an ellipse``), folded for comparison; else None."""
    bare = re.sub(r"[{}()$\"“”]|\\[,;:! ]", " ", _TEXT_COMMAND.sub(" ", answer))
    words = bare.replace("~", " ").strip(" .").casefold().split()
    if not words or not all(
        re.fullmatch(r"[a-z]+(?:['’-][a-z]+)*|\d+(?:st|nd|rd|th)?", w) for w in words
    ):
        return None
    if words[0].isdigit():
        return None
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    return " ".join(words)


def is_text(answer: str) -> bool:
    r"""Whether LaTeX marks the whole answer as words: ``\text{Friday}``."""
    return bool(re.fullmatch(rf"\s*(?:{_TEXT_COMMAND.pattern}\s*\{{[^{{}}]*\}}\s*)+", answer))


_BASES = {name: base for base, name in enumerate(
    ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), 2
)} | {"sixteen": 16}  # fmt: skip


def numeral(answer: str) -> tuple[str, int] | None:
    r"""Digits and base of ``2516_8``, ``52_{(8)}`` or ``4343_{\text{six}}``; else None."""
    match = re.fullmatch(r"\s*(?=[A-Za-z]*\d)([0-9A-Za-z]+)\s*_\s*(.+?)\s*", answer)
    if not match:
        return None
    name = re.sub(r"[{}()\s]", "", _TEXT_COMMAND.sub("", match[2])).lower()
    base = _BASES.get(name) or (int(name) if re.fullmatch(r"\d{1,2}", name) else 0)
    if not 2 <= base <= 36:
        return None
    try:
        int(match[1], base)
    except ValueError:  # a digit that the base does not have
        return None
    return match[1], base
