r"""What stands after an answer and is no part of it: a modulus, "for all x", ``k \in \mathbb{Z}``.

Conditions are dropped, not compared; a modulus is compared where both answers have one.
"""

import re

_TEXT = r"\\(?:text|mbox|mathrm|textrm|textit)\s?\{\s?"
_CONDITION = (
    r"(?:for|where|whenever|such\s+that|given|assuming|provided|as\s+long\s+as|if|when"
    r"|with(?!\s+remainder))\b"
)
_VARIABLES = r"[A-Za-z](?:_\{?\w\}?)?(?:\s?,\s?[A-Za-z](?:_\{?\w\}?)?){0,5}"
_RELATION = r"(?:\\(?:geq?|leq?|geqslant|leqslant|neq?)(?![A-Za-z])|[<>≥≤≠])"
_QUALIFIERS = [
    re.compile(rf"[\s,;(]{{0,8}}{_TEXT}[,;(]?\s?{_CONDITION}"),
    re.compile(rf"\s{{0,8}}{_TEXT}\("),
    re.compile(r"[\s,;(]{1,8}(?:for\s+(?:all|any|every|each|some)|where|such\s+that)\b"),
    re.compile(r"[\s,;(]{0,8}\\forall(?![A-Za-z])"),
    re.compile(
        rf"[,;(\s]\s{{0,4}}{_VARIABLES}\s?\\in(?![A-Za-z])\s?(?:\\(?:mathbb|mathbf|Z|N|R|Q|C|\{{)|[ZNRQC]\b)"
    ),
]
_RESTRICTION = re.compile(rf"\s?[,;(]\s{{0,4}}([A-Za-z])\s?{_RELATION}\s?-?\d{{1,9}}\s?\)?$")


def unqualified(answer: str) -> str:
    r"""The answer without a condition after it; unchanged where the condition is the answer."""
    for pattern in _QUALIFIERS:
        match = pattern.search(answer)
        if match and _is_whole(answer[: match.start()]):
            answer = answer[: match.start()].rstrip(" ,;")
    match = _RESTRICTION.search(answer)
    if match and _is_whole(answer[: match.start()]):
        head = answer[: match.start()]
        if match[1] in head and not re.search(_RELATION, head):
            return head
    return answer


def _is_whole(head: str) -> bool:
    """Whether what stands before a condition can be an answer: not empty, every bracket closed."""
    pairs = ((r"\{", r"\}"), (r"[(\[]", r"[)\]]"), (r"\\begin", r"\\end"))  # [0, 1) is closed
    return bool(head.strip(" ,;(")) and all(
        len(re.findall(a, head)) == len(re.findall(b, head)) for a, b in pairs
    )


_WIDER = re.compile(
    r"\b(?:or|and)\s+(?:more|less|fewer|greater|larger|smaller|above|below|higher|lower|cyclic"
    r"|(?:its|their|all|any)\s+permutations?|permutations?)\b|\bat\s+(?:least|most)\b"
)


def is_wider(answer: str) -> bool:
    """Whether words after a number make it a bound or one of several: ``5 or more``."""
    return bool(_WIDER.search(answer))


_MOD = r"(?:\\(?:pmod|bmod|mod|pod)(?![A-Za-z])|\\(?:text|mathrm|operatorname)\s?\{\s?mod\s?\}|\bmod\b)"
_GAP = r"(?:\\[,;:! ]|\s|~){0,4}"
_NUMBER = r"(\{\s?\d{1,40}\s?\}|\d{1,40})"
_IN_BRACKETS = re.compile(
    rf"{_GAP}\({_GAP}(?:{_MOD}|\\(?:text|mathrm)\s?\{{\s?mod\s?){_GAP}{_NUMBER}\s?\}}?{_GAP}\)"
    rf"|{_GAP}\\(?:pmod|pod)\s?{_NUMBER}"
)
_REMAINDER = re.compile(rf"(?<![\w.}}^)\\])(-?\d{{1,400}}){_GAP}{_MOD}{_GAP}{_NUMBER}")


def without_modulus(text: str) -> str:
    r"""The text with 3 for ``3 \pmod 7`` and for ``17 \bmod 7``, ``x = 3`` for ``x \equiv 3 \pmod 7``."""
    plain, count = _IN_BRACKETS.subn("", text)
    if count:
        plain = re.sub(r"\\equiv(?![A-Za-z])", "=", plain)
    return _REMAINDER.sub(_remainder, plain)


def _remainder(match: re.Match[str]) -> str:
    modulus = int(match[2].strip("{} "))
    return str(int(match[1]) % modulus) if modulus else match[0]


def modulus(answer: str) -> tuple[int | None, int] | None:
    r"""The residue (None where it is no whole number) and the modulus of ``x \equiv 3 \pmod 7``."""
    match = _IN_BRACKETS.search(answer)
    if match is None:
        return None
    rest = re.fullmatch(r"\s*(?:[A-Za-z]\w?\s?(?:=|\\equiv)\s?)?(-?\d{1,400})\s*", answer[: match.start()])
    digits = next(group for group in match.groups() if group)
    return (int(rest[1]) if rest else None), int(digits.strip("{} "))
