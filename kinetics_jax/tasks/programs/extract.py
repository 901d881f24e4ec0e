"""The program in a model's answer: its last fenced block of Python, by the rules of Markdown.

A fence may be indented, stand in a list or a quotation, be made of tildes, hold shorter fences, and
miss its end where the text was cut. Lines of a block lose the indentation of their fence.
"""

import dataclasses
import re
import textwrap

_FENCE = re.compile(r"(?P<before>[^`]*?)(?P<fence>`{3,}|~{3,})(?P<after>[^`]*)$")
_MARKERS = re.compile(r"[\s>]*(?:(?:[-*+]|\d+[.)])\s+)?")
_LABEL = re.compile(r"\{?\.?[A-Za-z][\w+#.-]*\}?")
_PYTHON = re.compile(r"\{?\.?i?(?:python|pypy|py)[\d.]*(?![\w+#-])", re.IGNORECASE)
_MARKDOWN = re.compile(r"(?:markdown|md)?$", re.IGNORECASE)
_STATEMENT = re.compile(
    r"^\s*(?:(?:def|class|import|from|for|while|if|with|try|print|async)\b|[\w, .\[\]]+[-+*/%]?=[^=])",
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Block:
    label: str
    """What follows the opening fence."""
    text: str


def last_program(text: str) -> str | None:
    """The last block labelled Python, cut short or not; without one, the last unlabelled block.

    Among unlabelled blocks those with a Python statement come first, so that an example of the output
    is not taken for the program; the last block of any label comes last. lighteval takes whatever
    stands between the last two lines with three backticks. None: no block.
    """
    blocks = _blocks(text)
    wanted = (
        lambda b: bool(_PYTHON.match(b.label)),
        lambda b: not b.label and bool(_STATEMENT.search(b.text)),
        lambda b: not b.label,
        lambda b: True,
    )
    for is_wanted in wanted:
        for block in reversed(blocks):
            if is_wanted(block) and block.text.strip():
                return block.text
    return blocks[-1].text if blocks else None


def _blocks(text: str, levels: int = 3) -> list[_Block]:
    """Fenced blocks in order; a block of Markdown is replaced by the blocks in it, if there are any."""
    lines = re.split(r"\r\n|\n|\r", text)
    found: list[_Block] = []
    number = 0
    while number < len(lines):
        match = _opening(lines[number])
        number += 1
        if match is None:
            continue
        label = match["after"].strip()
        content, number = _content(lines, number, match)
        holds_blocks = levels > 1 and _MARKDOWN.match(label) and "```" in content
        inside = _blocks(content, levels - 1) if holds_blocks else []
        found += inside or [_Block(label=label, text=content)]
    return found


def _opening(line: str) -> re.Match[str] | None:
    """A fence and its label at the end of a line, perhaps after words; not a fence within a line."""
    match = _FENCE.match(line)
    if match is None or (match["fence"][0] == "~" and not _MARKERS.fullmatch(match["before"])):
        return None
    return match


def _content(lines: list[str], number: int, opening: re.Match[str]) -> tuple[str, int]:
    """The lines of a block from ``number`` on, and the number of the line that follows it."""
    fence = opening["fence"]
    quoted = opening["before"].lstrip().startswith(">")
    indent = len(opening["before"]) if opening["before"].isspace() else 0
    content: list[str] = []
    while number < len(lines):
        line = lines[number]
        if quoted and not line.lstrip().startswith(">"):
            break
        number += 1
        end = _ends(line, fence)
        if end is not None:
            content += [end] if end else []
            number -= _reopens(line, fence)
            break
        content.append(line)
    if quoted:
        content = [re.sub(r"^\s*(?:> ?)+", "", line) for line in content]
    elif indent:
        content = [re.sub(rf"^[ \t]{{1,{indent}}}", "", line) for line in content]
    code = "\n".join(content)
    first = next((line for line in content if line.strip()), "")
    return textwrap.dedent(code) if first[:1].isspace() else code, number


def _ends(line: str, fence: str) -> str | None:
    """What stands before the fence that closes a block in this line; None where none does."""
    bare = line.lstrip(" \t>")
    if bare.startswith(fence):
        return ""
    if fence == "```" and line.count("`") == 3 and line.rstrip().endswith(fence):
        return line.rstrip()[:-3]  # at the end of the last statement
    return None


def _reopens(line: str, fence: str) -> bool:
    """Whether a fence has a label: the block before it was left open, and another begins."""
    rest = line.lstrip(" \t>").removeprefix(fence).strip()
    return bool(_LABEL.fullmatch(rest) or _PYTHON.match(rest))
