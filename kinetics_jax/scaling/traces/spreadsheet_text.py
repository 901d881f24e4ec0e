"""Texts as CSV cells that a spreadsheet shows and never runs, and back.

A cell that begins with ``=``, ``+``, ``-`` or ``@`` is a formula to Excel, LibreOffice and Sheets, wherever
the text came from. It is written with an apostrophe before it, which spreadsheets take as "this is text".
"""

import re

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""First characters that make a cell a formula; the wide ones do in East Asian locales."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def to_cell(text: str) -> str:
    """``text`` as it is written: with one apostrophe more where it would be run. Numbers stay numbers."""
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def from_cell(cell: str) -> str:
    """The text of which ``to_cell`` made this cell."""
    escaped = cell.startswith("'") and _is_formula(cell.lstrip("'"))
    return cell[1:] if escaped else cell


def _is_formula(text: str) -> bool:
    return text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
