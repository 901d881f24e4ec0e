r"""Whether two parsed expressions are the same number or function, without an absolute tolerance.

math-verify subtracts and calls what is left zero below 1e-15 or so: 2^{-99} = 2^{-98}. Here

* exact numbers are equal where their difference has no true digit among 2,000, and, where both are
  rational (of any size: nothing is written out), where they agree modulo two primes as well;
* a decimal equals what rounds to it: five places after the point, and three digits;
* expressions with variables are equal where they agree at every point at which both are defined.
"""

import functools
from collections.abc import Iterator

import sympy
from sympy.core.evalf import PrecisionExhausted

PLACES = 5
"""Decimals to which a decimal number must agree (docs/paper_facts.md, "Grading")."""
SMALL = sympy.Rational(1, 1000)
"""Largest relative difference of two numbers that rounding may call equal."""
MAX_ROUNDED = sympy.Integer(10) ** 100
"""A larger number is not written out to be rounded."""
DIGITS = 2000
"""How far a difference of elementary expressions is followed before it is called zero."""
FUNCTION_DIGITS = 300
"""The same at each point of a function."""
SLOW_DIGITS = 30
"""The same for integrals, series and factorials of anything but whole numbers."""
POINTS_NEEDED = 4
"""At so few points two expressions must be defined for their agreement to mean something."""

_ELEMENTARY = (
    sympy.Add,
    sympy.Mul,
    sympy.Pow,
    sympy.Number,
    sympy.NumberSymbol,
    sympy.Symbol,
    sympy.core.numbers.ImaginaryUnit,
    sympy.UnevaluatedExpr,
    sympy.exp,
    sympy.log,
    sympy.Abs,
    sympy.sign,
    sympy.floor,
    sympy.ceiling,
    sympy.Min,
    sympy.Max,
    sympy.functions.elementary.trigonometric.TrigonometricFunction,
    sympy.functions.elementary.trigonometric.InverseTrigonometricFunction,
    sympy.functions.elementary.hyperbolic.HyperbolicFunction,
    sympy.functions.elementary.hyperbolic.InverseHyperbolicFunction,
)
_Point = dict[sympy.Symbol, sympy.Expr]


def same(one: sympy.Basic, other: sympy.Basic) -> bool | None:
    """Whether two expressions are equal; None where it cannot be told from their values."""
    if not all(isinstance(e, sympy.Expr) and not isinstance(e, sympy.MatrixExpr) for e in (one, other)):
        return None
    if any(e.has(sympy.oo, -sympy.oo, sympy.zoo, sympy.nan) for e in (one, other)):
        return None
    rounded = _is_decimal(one) or _is_decimal(other)
    one, other = as_fractions(one), as_fractions(other)
    known = [_digits(one), _digits(other)]
    digits = SLOW_DIGITS if None in known else min(d for d in known if d is not None)
    symbols = one.free_symbols | other.free_symbols
    units = _imaginary(symbols)
    if symbols - set(units):
        if None in known:
            return None
        return _same_function(one, other, symbols - set(units), units, digits)
    if rounded and _round_alike(one, other, units):
        return True
    residues = [(_residue(one, p), _residue(other, p)) for p in _PRIMES]
    if all(a is not None and b is not None and a != b for a, b in residues):
        return False
    apart = _apart(one, other, units, digits)
    if apart is None or (apart and None in known):
        return None
    return not apart and all(a == b for a, b in residues if a is not None and b is not None)


def percent(expression: sympy.Basic) -> sympy.Basic | None:
    """The number before a sign of percent, as math-verify parses one; else None."""
    if isinstance(expression, sympy.Mul) and len(expression.args) == 2:
        number, hundredth = expression.args
        if hundredth == sympy.UnevaluatedExpr(sympy.Rational(1, 100)):
            return number
    return None


def _imaginary(symbols: set[sympy.Symbol]) -> _Point:
    """The symbols that stand for the imaginary unit: i, but not where it is one variable of several."""
    found = {s for s in symbols if s.name == "i"}
    if found == symbols or any(s.is_real is False for s in found):
        return {symbol: sympy.I for symbol in found}
    return {}


def _digits(expression: sympy.Expr) -> int | None:
    """How far differences of an expression can be followed quickly; None: its values are not enough."""
    digits = DIGITS
    for node in sympy.preorder_traversal(expression):
        if isinstance(node, (sympy.factorial, sympy.binomial)):
            if any(_integer(argument) is None for argument in node.args):
                digits = SLOW_DIGITS
        elif not isinstance(node, _ELEMENTARY):
            return None
    return digits


def _is_decimal(expression: sympy.Expr) -> bool:
    """Whether it is written with a decimal point and is a rational number: 0.33, 3.3 · 10^{-1}."""
    return expression.has(sympy.Float) and _residue(expression, _PRIMES[0]) is not None


def as_fractions(expression: sympy.Expr) -> sympy.Expr:
    """Each decimal as the fraction it is written as; nothing else is evaluated."""
    if isinstance(expression, sympy.Float):
        return sympy.Rational(str(expression))
    if not expression.has(sympy.Float, sympy.UnevaluatedExpr):
        return expression
    arguments = [as_fractions(argument) for argument in expression.args]
    if isinstance(expression, sympy.UnevaluatedExpr):
        return arguments[0]
    if isinstance(expression, (sympy.Add, sympy.Mul, sympy.Pow)):
        return expression.func(*arguments, evaluate=False)
    return expression.func(*arguments)


def _round_alike(one: sympy.Expr, other: sympy.Expr, units: _Point) -> bool:
    a, b = (e.evalf(40, subs=units) for e in (one, other))
    if not (a.is_number and b.is_number):
        return False
    size = max(abs(a), abs(b))
    if size > MAX_ROUNDED or abs(a - b) > SMALL * size:
        return False
    return bool(a.round(PLACES) == b.round(PLACES))


def _apart(one: sympy.Expr, other: sympy.Expr, point: _Point, digits: int) -> bool | None:
    """Whether the difference at a point has a true digit; None where it has no value."""
    difference = sympy.Add(one, sympy.Mul(-1, other, evaluate=False), evaluate=False)
    parts = value_at(difference, point, digits)
    sizes = [value_at(e, point, digits) for e in (one, other)]
    if parts is None or None in sizes:
        return None
    size = max(abs(part) for pair in sizes if pair for part in pair)
    return any(abs(part) > size * sympy.Float(10) ** (10 - digits) for part in parts)


def value_at(expression: sympy.Expr, point: _Point, digits: int) -> tuple[sympy.Number, sympy.Number] | None:
    """The real and the imaginary part at a point, noise taken for zero; None: no finite value."""
    try:
        value = sympy.Add(0, expression, evaluate=False).evalf(15, subs=point, maxn=digits)
    except (PrecisionExhausted, NotImplementedError, ArithmeticError, ValueError, TypeError):
        return None
    parts = value.as_real_imag()
    if not all(part.is_Number and part.is_finite for part in parts):
        return None
    # The precision of what ``evalf`` returns is the number of bits that it is sure of.
    real, imaginary = (p if getattr(p, "_prec", 53) > 4 else sympy.Integer(0) for p in parts)
    return real, imaginary


# Positive and small, positive and large, then both signs: where answers tend to be defined.
_VALUES = [
    [sympy.Rational(n, d) for n, d in row]
    for row in (
        [(2, 7), (3, 11), (5, 13), (1, 3), (4, 17), (7, 19)],
        [(5, 7), (9, 11), (8, 13), (2, 3), (13, 17), (11, 19)],
        [(17, 5), (23, 7), (43, 11), (31, 13), (29, 3), (61, 17)],
        [(43, 5), (67, 7), (37, 11), (101, 13), (58, 3), (53, 17)],
        [(-2, 7), (3, 11), (-5, 13), (1, 3), (-4, 17), (7, 19)],
        [(2, 7), (-3, 11), (5, 13), (-1, 3), (4, 17), (-7, 19)],
        [(-17, 5), (-23, 7), (-43, 11), (-31, 13), (-29, 3), (-61, 17)],
        [(-41, 9), (29, 4), (-19, 6), (47, 8), (-83, 9), (31, 4)],
    )
]


def _points(symbols: set[sympy.Symbol]) -> Iterator[_Point]:
    names = sorted({symbol.name for symbol in symbols})
    for row in _VALUES:
        values = {name: row[n % len(row)] + n for n, name in enumerate(names)}
        yield {symbol: values[symbol.name] for symbol in symbols}


def _same_function(
    one: sympy.Expr, other: sympy.Expr, symbols: set[sympy.Symbol], units: _Point, digits: int
) -> bool | None:
    agreed = 0
    for point in _points(symbols):
        if not (_is_real(one, point | units) and _is_real(other, point | units)):
            continue
        apart = _apart(one, other, point | units, min(digits, FUNCTION_DIGITS))
        if apart is None:
            return None
        if apart:
            return False
        agreed += 1
    return True if agreed >= POINTS_NEEDED else None


def _is_real(expression: sympy.Expr, point: _Point) -> bool:
    """Whether an expression, with all its roots and logarithms, is a real number at a point."""
    for node in sympy.preorder_traversal(expression):
        if node is expression or isinstance(node, (sympy.Pow, sympy.Function)):
            parts = value_at(node, point, SLOW_DIGITS)
            if parts is None or parts[1] != 0:
                return False
    return True


_PRIMES = (2**61 - 1, 2**89 - 1)
MAX_EXPONENT_BITS = 4096
MAX_FACTORIAL = 100_000


def _residue(expression: sympy.Basic, prime: int) -> int | None:
    """A rational number modulo a prime, however long it is; None where it is no such number."""
    if isinstance(expression, sympy.Float):
        expression = sympy.Rational(str(expression))
    if isinstance(expression, sympy.Rational):
        return _divide(int(expression.p), int(expression.q), prime)
    if isinstance(expression, sympy.Pow):
        base, exponent = _residue(expression.base, prime), _integer(expression.exp)
        if base is None or exponent is None or (base == 0 and exponent <= 0):
            return None
        return pow(base, exponent, prime)
    if isinstance(expression, sympy.factorial):
        return _factorial(_integer(expression.args[0]), prime)
    if isinstance(expression, sympy.binomial):
        top, bottom = map(_integer, expression.args)
        if top is None or bottom is None or not 0 <= bottom <= top:
            return None
        parts = [f for n in (top, bottom, top - bottom) if (f := _factorial(n, prime)) is not None]
        return _divide(parts[0], parts[1] * parts[2], prime) if len(parts) == 3 else None
    if isinstance(expression, (sympy.Add, sympy.Mul, sympy.UnevaluatedExpr)):
        result = int(isinstance(expression, sympy.Mul))
        for argument in expression.args:
            part = _residue(argument, prime)
            if part is None:
                return None
            result = (result * part if isinstance(expression, sympy.Mul) else result + part) % prime
        return result
    return None


def _divide(top: int, bottom: int, prime: int) -> int | None:
    return top * pow(bottom, -1, prime) % prime if bottom % prime else None


def _factorial(number: int | None, prime: int) -> int | None:
    if number is None or not 0 <= number <= MAX_FACTORIAL:
        return None
    return functools.reduce(lambda product, factor: product * factor % prime, range(1, number + 1), 1)


def _integer(expression: sympy.Basic) -> int | None:
    """The exact value of a whole number of at most ``MAX_EXPONENT_BITS`` bits; else None."""
    if isinstance(expression, sympy.Integer):
        value = int(expression)
    elif isinstance(expression, sympy.Pow):
        base, exponent = _integer(expression.base), _integer(expression.exp)
        if base is None or exponent is None or exponent < 0:
            return None
        if base.bit_length() * exponent > MAX_EXPONENT_BITS:
            return None
        value = base**exponent
    elif isinstance(expression, (sympy.Add, sympy.Mul, sympy.UnevaluatedExpr)):
        value = int(isinstance(expression, sympy.Mul))
        for argument in expression.args:
            part = _integer(argument)
            if part is None or value.bit_length() > MAX_EXPONENT_BITS:
                return None
            value = value * part if isinstance(expression, sympy.Mul) else value + part
    else:
        return None
    return value if value.bit_length() <= MAX_EXPONENT_BITS else None
