"""An answer as the text that equal answers share, so that samples can vote without knowing the right one.

Equality of the grader is not transitive (.333 is 1/3, and so is .33333), so a text can only follow the
clear cases: rational numbers exactly, other numbers to twelve digits, words and choices folded, expressions
as sympy sorts their terms. What is larger than a person would write is taken as it stands.
"""

import fractions
import itertools
import math
from typing import Any

import sympy

from kinetics_jax.tasks.maths import answers, numbers

MOST_PARTS = 64
"""Nodes of an expression that is looked at."""
MOST_BITS = 256
"""Of a whole number in it."""
MOST_EXPONENT = 64
MOST_BITS_OF_VALUE = 4096
"""Of a whole number that it comes to. Python writes no integer of 14,300 bits as text."""
_DIGITS = 60
"""How far a number that is not rational is followed."""


def canonical(answer: str | None, found: list[Any]) -> str | None:
    """The text to vote by; None where ``answer`` itself is that text, or is None.

    Args:
        answer: as it was written, tidied.
        found: what math-verify read in it: expressions first, then texts.
    """
    if answer is None:
        return None
    text = _text(answer, found)
    return None if text == answer else text


def _text(answer: str, found: list[Any]) -> str:
    words = answers.choice(answer) or answers.in_words(answer)
    if words and not words.isdigit():
        return words
    if answers.numeral(answer) is None:  # 2516_8 is no product
        expression = next((one for one in found if isinstance(one, sympy.Basic)), None)
        read = None if expression is None else _of_expression(expression)
        if read is not None:
            return read
    return "".join(answer.casefold().split())


def _of_expression(expression: sympy.Basic) -> str | None:
    share = numbers.percent(expression)
    expression = expression if share is None else share  # 50 and 50 % are equal
    nodes = list(itertools.islice(sympy.preorder_traversal(expression), MOST_PARTS + 1))
    if len(nodes) > MOST_PARTS or not all(map(_is_small, nodes)):
        return None
    exact = _fraction(expression)
    if exact is not None:
        return str(exact)
    if isinstance(expression, sympy.Expr) and not expression.free_symbols:
        value = numbers.value_at(numbers.as_fractions(expression), {}, _DIGITS)
        if value is not None and all(math.isfinite(float(part)) for part in value):
            real, imaginary = (f"{float(part):.12g}" for part in value)
            return real if imaginary in ("0", "-0") else f"{real}+{imaginary}i"
    return str(expression)


def _is_small(node: sympy.Basic) -> bool:
    if isinstance(node, sympy.Rational):
        return max(abs(node.p).bit_length(), node.q.bit_length()) <= MOST_BITS
    if isinstance(node, sympy.Pow):
        power = node.exp
        return not power.is_number or (power.is_Rational and abs(power.p) <= MOST_EXPONENT)
    return not isinstance(node, (sympy.factorial, sympy.binomial, sympy.Integral, sympy.Sum, sympy.Product))


def _fraction(expression: sympy.Basic) -> fractions.Fraction | None:
    """The exact value of a rational number, however it is written; None where it is none, or too large."""
    value = _rational(expression)
    return None if value is None or _bits(value) > MOST_BITS_OF_VALUE else value


def _bits(value: fractions.Fraction) -> int:
    return max(abs(value.numerator).bit_length(), value.denominator.bit_length())


def _rational(expression: sympy.Basic) -> fractions.Fraction | None:
    if isinstance(expression, sympy.Float):
        return fractions.Fraction(str(expression))
    if isinstance(expression, sympy.Rational):
        return fractions.Fraction(int(expression.p), int(expression.q))
    if isinstance(expression, sympy.UnevaluatedExpr):
        return _fraction(expression.args[0])
    if not isinstance(expression, (sympy.Add, sympy.Mul, sympy.Pow)):
        return None
    parts = [_fraction(argument) for argument in expression.args]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if isinstance(expression, sympy.Pow):
        base, power = known
        whole = power.denominator == 1 and abs(power) <= MOST_EXPONENT and (base or power > 0)
        return base ** int(power) if whole else None
    if isinstance(expression, sympy.Add):
        return sum(known, fractions.Fraction(0))
    product = fractions.Fraction(1)
    for part in known:
        product *= part
    return product
