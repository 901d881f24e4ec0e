r"""Characters that keyboards and chat windows put for those of ASCII and LaTeX: ５, ，, −, ², ½, √, ∞.

math-verify reads ASCII and LaTeX only; a number written otherwise is no number to it, or another one.
"""

import re
import unicodedata

_PLAIN = {
    "−": "-",
    "﹣": "-",
    "‐": "-",
    "‑": "-",
    "‒": "-",
    "⁄": "/",
    "∕": "/",
    "∶": ":",
    "…": "...",
    "。": ". ",
    "、": ",",
    "，": ",",
    "；": ";",
    "【": " ",
    "】": " ",
    "「": " ",
    "」": " ",
    "｛": r"\{",
    "｝": r"\}",
    "＄": r"\$",
    "￥": "¥",
    "￡": "£",
    "﹩": r"\$",
    "﹪": "%",
    "٪": "%",
    "٫": ".",
    "٬": ",",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "∞": r"\infty ",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "˚": r"^\circ ",
    "℃": r"^\circ C",
    "℉": r"^\circ F",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "∖": r"\setminus ",
}
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₖᵢ", "0123456789+-=()nki", strict=True))
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}

_RUN = re.compile(
    rf"([{''.join(_RAISED)}]+)|([{''.join(_LOWERED)}]+)"
    rf"|([{''.join(_ROOTS)}])\s?(\d+|[A-Za-z]|\([^()]{{0,99}}\)|\{{[^{{}}]{{0,99}}\}})?"
    r"|([^\x00-\x7f])"
)
_COLON = re.compile(r"：(?!(?<=\d：)\d)")
_DASH = re.compile(r"(?<![\w)}])–\s?(?=[\d.\\$(A-Za-z])")
_WORD_THEN_NUMBER = re.compile(r"(?<=[^\W\d_\x00-\u03ff])(?=[-$\\\d])")


def fold(text: str) -> str:
    r"""The text with each such character as ASCII or LaTeX, in linear time.

    Digits of every script become ASCII digits, spaces of every width a space; characters without
    width vanish. A number right after a word in a script without spaces (``答案是5``) is set off.
    """
    if text.isascii():
        return text
    text = _DASH.sub("-", _COLON.sub(": ", text))
    return _WORD_THEN_NUMBER.sub(" ", _RUN.sub(_folded, text))


def _folded(match: re.Match[str]) -> str:
    raised, lowered, root, radicand, character = match.groups()
    if raised:
        return f"^{{{''.join(map(_RAISED.__getitem__, raised))}}}"
    if lowered:
        return f"_{{{''.join(map(_LOWERED.__getitem__, lowered))}}}"
    if root:
        return f"{_ROOTS[root]}{{{fold(radicand or '').strip('(){}')}}}" if radicand else _ROOTS[root]
    if character in _PLAIN:
        return _PLAIN[character]
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    return _by_kind(character)


def _by_kind(character: str) -> str:
    kind, plain = unicodedata.category(character), unicodedata.normalize("NFKC", character)
    if kind == "Zs":
        return " "
    if kind == "Cf":
        return ""
    if kind == "No" and "⁄" in plain:  # ½
        top, _, bottom = plain.partition("⁄")
        return rf"\frac{{{top}}}{{{bottom}}}" if bottom else character
    if "\uff01" <= character <= "\uff5e" or "\U0001d400" <= character <= "\U0001d7ff":
        return plain if plain.isascii() else character
    return character
