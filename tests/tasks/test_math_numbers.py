"""Equality of numbers and functions without an absolute tolerance, and its bounds."""

import time
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("math_verify", reason="math-verify is not installed (extra: tasks)")

import math_verify
import sympy

from kinetics_jax.tasks.maths import numbers

LATEX = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
N, X, Y = (sympy.Symbol(name, real=True) for name in "nxy")


def read(latex):
    return math_verify.parse(rf"\boxed{{{latex}}}", LATEX, parsing_timeout=None)[0]


def latex_fraction(x):
    return rf"\frac{{{x.numerator}}}{{{x.denominator}}}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 10**6), st.integers(-5, 5), st.integers(-400, 400), st.integers(2, 9))
def test_numbers_of_any_size_are_equal_iff_their_difference_is_zero(top, step, power, base):
    """A step in the last place counts at every magnitude; so does another way to write a number."""
    one = read(rf"{top} \cdot {base}^{{{power}}}")
    assert numbers.same(one, read(rf"{top + step} \cdot {base}^{{{power}}}")) is (step == 0)
    assert numbers.same(one, read(rf"\frac{{{top * base}}}{{{base}^{{{1 - power}}}}}")) is True
    near = read(rf"1 + \frac{{{step}}}{{{base}^{{{abs(power) + 1}}}}}")
    assert numbers.same(sympy.Integer(1), near) is (step == 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.builds(Fraction, st.integers(-999, 999), st.integers(1, 99)), st.integers(0, 9))
def test_a_decimal_equals_what_rounds_to_it(fraction, places):
    rounded = f"{float(round(fraction, places)):.{places}f}"
    small = abs(Fraction(rounded) - fraction) > abs(fraction) / 1000
    alike = round(Fraction(rounded), 5) == round(fraction, 5) and not small
    exact = Fraction(rounded) == fraction
    assert numbers.same(read(latex_fraction(fraction)), read(rounded)) is (alike or exact)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (r"10^{10^{12}}", r"10^{10^{12}} + 1", False),
        (r"\frac{3^{10^9} + 1}{3^{10^9}}", "1", False),
        (r"\frac{3^{10^9} + 1}{3^{10^9}}", r"1 + 3^{-10^9}", True),
        (r"\binom{4000}{2000}", r"\frac{4000!}{2000! \cdot 2000!}", True),
        (r"\binom{4000}{2000}", r"\frac{4000!}{2000! \cdot 2001!}", False),
        (r"\frac{1}{5000!}", r"\frac{1}{5001!}", False),
        (r"\sqrt{10^{60} + 1}", r"10^{30}", False),
        (r"\sqrt{7 + 4\sqrt{3}}", r"2 + \sqrt{3}", True),
        (r"1 - e^{-300}", "1", False),
        (r"2^{61}", "1", False),  # equal modulo one of the primes
        (rf"5 + {(2**61 - 1) * (2**89 - 1)}", "5", False),  # equal modulo both
        (r"\int_0^1 x^3 \, dx", r"\frac{1}{4}", True),
    ],
)
def test_exact_numbers(one, other, equal):
    began = time.process_time()
    assert numbers.same(read(one), read(other)) is equal
    assert numbers.same(read(other), read(one)) is equal
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (sympy.sqrt(1 / N), 1 / sympy.sqrt(N), True),
        (sympy.sqrt(X * Y), sympy.sqrt(X) * sympy.sqrt(Y), True),
        (sympy.sqrt(X**2), X, False),
        (sympy.sqrt(X**2), sympy.Abs(X), True),
        (sympy.log(1 / X), -sympy.log(X), True),
        (X + sympy.Rational(1, 10**90), X, False),
        (sympy.Rational(1, 10**90) * X, sympy.Rational(1, 10**91) * X, False),
        (sympy.factorial(N), N * sympy.factorial(N - 1), True),
        (X**10**8, X ** (10**8 + 1), False),
        (X, sympy.Symbol("x", complex=True), True),  # how a letter was read does not matter
        (sympy.Function("f")(X), sympy.Function("f")(X) + 1, None),
        (sympy.oo, sympy.Integer(5), None),
        (sympy.sqrt(-1 - X**2), sympy.sqrt(-2 - X**2), None),  # defined nowhere
    ],
)
def test_functions(one, other, equal):
    assert numbers.same(one, other) is equal
    assert numbers.same(other, one) is equal


def test_percent():
    hundredth = sympy.UnevaluatedExpr(sympy.Rational(1, 100))
    share = sympy.Mul(sympy.Integer(7), hundredth, evaluate=False)
    assert numbers.percent(share) == 7
    assert numbers.percent(sympy.Rational(7, 100)) is None
    assert numbers.same(share, sympy.Rational(7, 100)) is True
