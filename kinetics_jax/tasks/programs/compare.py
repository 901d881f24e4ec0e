"""Whether what a program printed or returned is what the test expects; lighteval's rules."""

import decimal
import json


def same_output(expected: str, printed: str) -> bool:
    """Line by line, spaces at the ends ignored; a line of numbers may write them otherwise."""
    wanted, got = (text.strip().split("\n") for text in (expected, printed))
    return len(wanted) == len(got) and all(
        _same_line(a.strip(), b.strip()) for a, b in zip(wanted, got, strict=True)
    )


def _same_line(wanted: str, got: str) -> bool:
    if wanted == got:
        return True
    try:
        return _decimals(wanted) == _decimals(got)
    except decimal.InvalidOperation:  # words
        return False


def _decimals(line: str) -> list[decimal.Decimal]:
    return [decimal.Decimal(word) for word in line.split()]


def same_value(expected: str, returned: str) -> bool:
    """Two JSON values that Python calls equal (2 and 2.0 are), with integers of any length."""
    try:
        # Python's own reading of an integer stops at 4,300 digits.
        got, wanted = (json.loads(t, parse_int=decimal.Decimal) for t in (returned, expected))
        return bool(got == wanted)
    except (ValueError, RecursionError):
        return False
