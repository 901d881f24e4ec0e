r"""Where the answer stands in a text, and how to write it so that math-verify reads it right.

Pure text in linear time: the last ``\boxed``, LaTeX noise, answers in words, numerals with a base.
"""

import decimal
import re
from collections.abc import Callable

from kinetics_jax.tasks.maths import characters, qualifiers

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
_TEXT = r"\\(?:text|mathrm|textrm|textup|mbox)\s?"
_DIGITS_OF_THREE = r"(?=\d{3}(?!\d))"
_Mend = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
_NOISE: list[_Mend] = [
    (re.compile(r"\\(?:fbox|framebox)\b"), r"\\boxed"),
    (re.compile(r"</?answer>"), " "),
    (re.compile(r"\\(?:left|right)\s*\."), ""),
    (re.compile(r"\\(?:text)?color\s*\{[a-zA-Z]*\}"), ""),
    (re.compile(r"\\(?:boldsymbol|bm|pmb|underline)\s?\{([^{}]*)\}"), r"{\1}"),
    (re.compile(r"\\(?:tiny|small|normalsize|[lL]arge|LARGE|[hH]uge)(?![A-Za-z])"), ""),
    # Thousands: 1\,234, 1{,}234, 1'234. A comma and a space is a list.
    (re.compile(rf"(?<=\d)(?:\{{,\}}(?:\\!)?|,\\!|\\[,;:! ]|~)\s*{_DIGITS_OF_THREE}"), ""),
    (re.compile(rf"(?<=\d)['’]{_DIGITS_OF_THREE}"), ""),
    # Money: a sign that is written out, escaped, in text, or between the minus and the number.
    (re.compile(r"\\(?:text|mathrm|mbox)\s?\{\s?\\?[$€£¥₹]\s?\}|\\(?:text|math)dollar(?![A-Za-z])"), ""),
    (re.compile(r"(?<![\w$)}])-\s?\$(?=\d[\d,.]*(?![\d,.$]))"), "-"),
    (re.compile(r"(?:\bUS)?\\\$\s?(?=[\d.])"), ""),
    (re.compile(r"(?<!\\)\\[;: ]|~|\\q?quad\b"), " "),
    (re.compile(r"(?:\\,|\s){1,4}(?=\\?%)"), ""),
    (re.compile(r"\\degree(?![A-Za-z])"), r"^\\circ "),
    # math-verify drops the sign of degrees, which is right but for the argument of a function.
    (
        re.compile(
            rf"({_TRIGONOMETRIC}\s?(?:\\left)?\s?\(?\s?)(\d{{1,9}})\s?\^\s?(?:\{{\s?\\circ\s?\}}|\\circ)"
        ),
        r"\1{\\frac{\2\\pi}{180}}",
    ),
    (re.compile(r"\\(?:mathrm|operatorname)\s?\{\s?([ei])\s?\}"), r"{\1}"),
    (re.compile(r"\\sqrt\s?\(([^()]{0,99})\)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![\\A-Za-z])sqrt(?=\s?\{)"), r"\\sqrt"),
    (re.compile(r"\\([dt]?)binom\s?(\d)\s?(\d)"), r"\\\1binom{\2}{\3}"),
    (re.compile(r"(?<![\w.)}])(\d{1,9}!)\s?\^"), r"{(\1)}^"),
    (re.compile(r"\\langle(?![A-Za-z])"), "("),
    (re.compile(r"\\rangle(?![A-Za-z])"), ")"),
    (re.compile(r"(?<=\d)\{:\}(?=\d)"), ":"),
    (
        re.compile(
            r"(\d{0,30})\.(\d{0,30})\\(?:overline|bar|dot)\s?(?:\{(\d{1,30})\}|(\d))"
            r"(?:(\d{0,30})\\dot\s?\{(\d)\})?(?:\.\.\.|\\l?dots)?"
        ),
        lambda m: _repeating(m[1], m[2], "".join(part or "" for part in m.groups()[2:])),
    ),
    # A fraction that ends a sentence is read as a division by a decimal.
    (re.compile(r"(?<![\d.])(\d+\s?/\s?\d+)\.(?=\s|$)"), r"\1 ;"),
    # A number in quotation marks or emphasis, or right after "Answer:".
    (re.compile(r"(?i)\b(answer\s?:)(?=[-$\\\d])"), r"\1 "),
    (re.compile(r"(?<!\S)([*_`\"“]{1,3})(-?[$€£¥₹]?\d[\d.,/]{0,99}%?)[*_`\"”]{1,3}(?![\w$])"), r"\2 "),
]
_UNIT = (
    r"(?!(?:pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|and|or|mod|inf|infinity|factorial)\b)"
    r"[A-Za-z]{2,}(?:\s?\^\s?\{?[23]\}?)?"
)
_WHOLE_ANSWER: list[_Mend] = [
    # math-verify takes a letter after a space for a unit, after an operator too: x + m.
    (re.compile(r"(?<=[-+*/=^(,])\s+(?=[A-Za-z](?![A-Za-z]))"), ""),
    (re.compile(r"^\\text\s*\{[^{}]*\b(?:is|are|equals)\s*:?\s*\}\s*(?=\S)"), ""),
    (re.compile(r"^\\text\s?\{\s?(-?[\d.,]*\d\s[^{}\d]*)\}$"), r"\1"),
    (re.compile(r"^(\*\*|`)(.+)\1$"), r"\2"),
    (re.compile(r"^\\?#\s?(?=\d)"), ""),
    (re.compile(r"^[€£¥₹]\s*(?=\d)"), ""),
    (re.compile(r"^(?:USD?|EUR|GBP|Rs\.?)\s?\$?\s?(?=\d)"), ""),
    (re.compile(r"(?<=\d)\s?(?:[€£¥₹¢]|\\?\$|\\(?:cent|euro|pounds)(?![A-Za-z]))$"), ""),
    (re.compile(r"(?<=\d)\s?[^\W\d_\x00-\u03ff]{1,6}$"), ""),  # a unit in another script
    (re.compile(r"^(-?\d{1,3}(?: \d{3})+(?:\.\d+)?)$"), lambda m: m[1].replace(" ", "")),
    (re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])"), r"\\pi"),
    (re.compile(r"^(-?\d+)\s+(\d+)\s?/\s?(\d+)$"), r"\1\\frac{\2}{\3}"),
    (re.compile(rf"^(-?[\d.,]*\d)\s+{_UNIT}(?:\s+{_UNIT})*$"), r"\1"),
    (re.compile(rf"^(-?[\d.,]*\d)\s?\\frac(?:\s?\{{\s?{_TEXT}\{{[^{{}}]*\}}\s?(?:\^\d)?\}}){{2}}$"), r"\1"),
    (re.compile(r"(\^\s?\{?\s?\\circ\s?\}?)\s?[CF]$"), r"\1"),
    (re.compile(rf"^(\d+)\s?\^?\s?\{{?\s?(?:{_TEXT}\{{)?\s?(?:st|nd|rd|th)\s?\}}?\s?\}}?$"), r"\1"),
    (re.compile(r"^([-+]?)\s?(?:\\text\s?\{\s?)?infinity\s?\}?$"), r"\1\\infty"),
    (re.compile(r"^(-?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})$"), lambda m: _scientific(m[1], int(m[2]))),
    (re.compile(r"^(-?\d+(?:\.\d+)?)\s?[xX*]\s?(?=10\s?\^)"), r"\1\\cdot "),
    (
        re.compile(r"^(-?)(\d*)\.(\d{0,30}?)(\d{1,12}?)\4{1,30}(?:\.\.\.|\\l?dots)$"),
        lambda m: m[1] + _repeating(m[2], m[3], m[4]),
    ),
    (re.compile(r"(?<![\\A-Za-z])exp(?=\s?[({])"), r"\\exp"),
    # ]0, 1[ is how half of Europe writes (0, 1).
    (re.compile(r"^\](?=[^\[\]]+[,;][^\[\]]+[\[\])]$)"), "("),
    (re.compile(r"(?<=[^\[\]])\[$"), ")"),
]


def _repeating(whole: str, digits: str, period: str) -> str:
    r"""``0.1\overline{6}`` as the fraction it is."""
    nines = 10 ** len(period) - 1
    top = int((whole + digits) or "0") * nines + int(period)
    return rf"{{\frac{{{top}}}{{{nines * 10 ** len(digits)}}}}}"


def _scientific(number: str, exponent: int) -> str:
    """``1.2e-5`` written out, or as a product where that is long."""
    if abs(exponent) > 40:
        return rf"{number}\cdot 10^{{{exponent}}}"
    return f"{decimal.Decimal(f'{number}e{exponent}'):f}"


def tidy(text: str) -> str:
    """The text without spacing, colour and delimiters that say nothing, each box tidied as well."""
    text = qualifiers.without_modulus(characters.fold(text))
    for pattern, replacement in _NOISE:
        text = pattern.sub(replacement, text)
    parts, at = [], 0
    for start, end in boxes(text):
        parts += [text[at:start], tidy_answer(text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


_TRAILING = re.compile(r"(?:\\[\\,;:! ]|[\s.,;:])+$")


def tidy_answer(answer: str) -> str:
    """Mends that are right only where ``answer`` is the whole answer: units in words, 1 234, 2 1/2."""
    answer = qualifiers.unqualified(answer.strip()).replace("–", "-")
    if not answer.endswith("..."):
        answer = _TRAILING.sub("", answer)
    for pattern, replacement in _WHOLE_ANSWER:
        answer = pattern.sub(replacement, answer)
    return answer


_TEXT_COMMAND = re.compile(r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|mathrm|mathbf|mathit|mbox|operatorname)\b")


def in_words(answer: str) -> str | None:
    r"""An answer in words (``\text{(C)}``, ``an ellipse``), folded for comparison; else None."""
    bare = re.sub(r"[{}()$\"“”]|\\[,;:! ]", " ", _TEXT_COMMAND.sub(" ", answer))
    words = bare.replace("~", " ").strip(" .").casefold().split()
    if not words or not all(re.fullmatch(r"[a-z]+(?:['’-][a-z]+)*|\d+(?:st|nd|rd|th)?", w) for w in words):
        return None
    if words[0].isdigit():
        return None
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    return " ".join(words)


def is_text(answer: str) -> bool:
    r"""Whether LaTeX marks the whole answer as words: ``\text{Friday}``."""
    return bool(re.fullmatch(rf"\s*(?:{_TEXT_COMMAND.pattern}\s*\{{[^{{}}]*\}}\s*)+", answer))


_CHOICE = re.compile(r"\(?([A-J])\)?")
_LABELLED_CHOICE = re.compile(r"(?:\(([A-J])\)|([A-J])[).:])\s*\S")


def choice(answer: str, *, labelled: bool = False) -> str | None:
    r"""The letter of ``\text{(B)}``; with ``labelled``, of ``\textbf{(B)} 12``, where more follows."""
    bare = re.sub(r"[{}$]|\\[,;:! ]", " ", _TEXT_COMMAND.sub(" ", answer)).strip()
    if labelled:
        match = _LABELLED_CHOICE.match(bare)
        return (match[1] or match[2]) if match else None
    match = _CHOICE.fullmatch(bare)
    return match[1] if match else None


_BASES = {
    name: base
    for base, name in enumerate(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), 2
    )
} | {"sixteen": 16}


def numeral(answer: str) -> tuple[str, int] | None:
    r"""Digits and base of ``2516_8``, ``52_{(8)}`` or ``4343_{\text{six}}``; else None."""
    match = re.fullmatch(r"\s*\(?\s?(?=[A-Za-z]*\d)([0-9A-Za-z]+)\s?\)?\s*_\s*(.+?)\s*", answer)
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
