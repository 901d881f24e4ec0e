"""Law fits: power laws as the paper fits them, exponentiated power laws of failure, extrapolation error.

SciPy does the fitting. A fit that its points do not pin down says so in ``note``.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.errors import InputError

Floats = NDArray[np.float64]
_CONDITION_LIMIT = 1e5


class Law(Protocol):
    """Anything fitted that predicts y from x."""

    def predict(self, x: ArrayLike) -> Floats:
        """The y of the law at x."""


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """y = a·x^b + c."""

    a: float
    b: float
    c: float
    rms: float
    """Root mean square residual, in y's unit (of log y where fitted in log space)."""
    b_error: float
    """Standard error of b if points were independent, which points of a frontier are not: for those
    bootstrap over questions. inf where the points do not determine it."""
    note: str = ""
    """What a reader must know about the fit; empty when there is nothing."""

    @property
    def per_doubling(self) -> float:
        """2^b: how y − c grows when x doubles."""
        return 2.0**self.b

    @property
    def identifiable(self) -> bool:
        """Whether the points pin the parameters down."""
        return not self.note

    def predict(self, x: ArrayLike) -> Floats:
        """a·x^b + c at x."""
        return self.a * np.asarray(x, np.float64) ** self.b + self.c


def fit_power_law(
    x: ArrayLike,
    y: ArrayLike,
    offset: float | Literal["free"] = 0.0,
    space: Literal["linear", "log"] = "linear",
) -> PowerLaw:
    """Least-squares fit of y = a·x^b + c.

    Args:
        x: positive, [n].
        y: [n]; above the offset where ``space`` is ``log``.
        offset: c, or ``"free"`` to fit it too. The paper's KV-budget fit has it fixed at −212.
        space: ``linear`` minimises residuals of y (what the paper's figures show), ``log`` those of
            log(y − c) (of log y where the offset is free).

    Raises:
        InputError: too few distinct x, values that are not finite, or a sign the fit cannot take.
    """
    x, y = _points(x, y)
    free = offset == "free"
    if not free and (isinstance(offset, str) or not np.isfinite(offset)):
        raise InputError(f'offset={offset!r} must be a finite number or "free"')
    if space not in ("linear", "log"):
        raise InputError(f"space={space!r} must be linear or log")
    needed = 3 if free else 2
    if len(np.unique(x)) < needed:
        raise InputError(
            f"{len(np.unique(x))} distinct x cannot determine {needed} parameters: give more points"
        )
    fixed = 0.0 if free else float(offset)
    if space == "log" and not (y > fixed).all():
        raise InputError(f"y must exceed the offset {fixed:g} to be fitted in log space")
    if space == "log" and not free:
        return _log_fit(x, y, fixed)
    return _search(x, y, None if free else fixed, space)


def _points(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"x and y must be equally many numbers, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all()):
        raise InputError("x must be positive and x and y finite: leave out the points that are not")
    return x, y


def _log_fit(x: Floats, y: Floats, c: float) -> PowerLaw:
    """The closed form: a straight line through (log x, log(y − c))."""
    u, v = np.log(x), np.log(y - c)
    centred = u - u.mean()
    spread = float(centred @ centred)
    b = float(centred @ v) / spread
    residual = v - v.mean() - b * centred
    sum_of_squares = float(residual @ residual)
    error = np.sqrt(sum_of_squares / (len(x) - 2) / spread) if len(x) > 2 else np.inf
    a = float(np.exp(v.mean() - b * u.mean()))
    return PowerLaw(a, b, c, float(np.sqrt(sum_of_squares / len(x))), float(error))


def _search(x: Floats, y: Floats, fixed: float | None, space: str) -> PowerLaw:
    """Iterative least squares, in units in which x and y are about 1."""
    from scipy.optimize import least_squares

    middle = float(np.exp(np.log(x).mean()))
    scale = float(np.abs(y - (fixed or 0.0)).max()) or 1.0
    u, v, log_u = x / middle, y / scale, np.log(x / middle)

    def parts(p: Floats) -> tuple[Floats, Floats]:
        c = p[2] if fixed is None else fixed / scale
        power = u ** p[1]
        return power, p[0] * power + c

    def residual(p: Floats) -> Floats:
        _, fitted = parts(p)
        if space == "linear":
            return fitted - v
        return np.log(np.maximum(fitted, 1e-300)) - np.log(v)

    def jacobian(p: Floats) -> Floats:
        power, fitted = parts(p)
        columns = [power, p[0] * power * log_u] + [np.ones_like(u)] * (fixed is None)
        slope = 1.0 if space == "linear" else 1.0 / np.maximum(fitted, 1e-300)
        return np.stack(columns, axis=1) * np.reshape(slope, (-1, 1))

    found = least_squares(residual, _start(u, v, fixed, scale), jacobian, x_scale="jac")
    amplitude, b = float(found.x[0]), float(found.x[1])
    c = float(found.x[2] * scale) if fixed is None else fixed
    rms, error, note = _quality(found, len(x), fixed is None)
    rms *= scale if space == "linear" else 1.0
    return PowerLaw(amplitude * scale / middle**b, b, c, rms, error, note)


def _start(u: Floats, v: Floats, fixed: float | None, scale: float) -> Floats:
    """A first guess: the straight line in log space through the points above the offset."""
    c = fixed / scale if fixed is not None else float(v.min() - 0.1 * (np.ptp(v) or 1.0))
    above = v > c
    if len(np.unique(u[above])) >= 2:
        line = _log_fit(u[above], v[above], c)
        return np.array([line.a, line.b, c][: 2 + (fixed is None)])
    return np.array([float(np.mean(v - c)), 0.0, c][: 2 + (fixed is None)])


def _quality(found: object, points: int, free: bool) -> tuple[float, float, str]:
    """Residual, standard error of b and what is wrong with the fit, if anything."""
    jacobian, residual = found.jac, found.fun  # type: ignore[attr-defined]
    rms = float(np.sqrt(np.mean(residual**2)))
    norms = np.linalg.norm(jacobian, axis=0)
    if (norms == 0).any() or np.linalg.cond(jacobian / norms) > _CONDITION_LIMIT:
        return (rms, np.inf, "the points do not tell the parameters apart: fix the offset or add points")
    freedom = points - jacobian.shape[1]
    covariance = np.linalg.inv(jacobian.T @ jacobian)
    error = float(np.sqrt(covariance[1, 1] * np.sum(residual**2) / freedom)) if freedom else np.inf
    if not found.success:  # type: ignore[attr-defined]
        return rms, error, "the search did not converge"
    b = float(found.x[1])  # type: ignore[attr-defined]
    if free and error > 0.5 * abs(b):
        return rms, error, f"b={b:.3g} ± {error:.2g} is not determined once the offset is free"
    return rms, error, ""


@dataclasses.dataclass(frozen=True)
class ExponentiatedPowerLaw:
    """Failure that is exponential in a power of the resource.

    ``of="success"``: solved = exp(−a·x^−b), pass@k of a set of questions against k (Large Language
    Monkeys, arXiv:2407.21787). ``of="failure"``: 1 − solved = exp(−a·x^b).
    """

    a: float
    b: float
    of: Literal["success", "failure"]
    rms: float
    """Root mean square residual of log(−log)."""
    used: int
    """Points fitted: those that are neither 0 nor 1, where the double logarithm ends."""

    def predict(self, x: ArrayLike) -> Floats:
        """Share solved at x."""
        x = np.asarray(x, np.float64)
        if self.of == "success":
            return np.exp(-self.a * x**-self.b)
        return -np.expm1(-self.a * x**self.b)


def fit_exponentiated_power_law(
    x: ArrayLike, solved: ArrayLike, of: Literal["success", "failure"] = "success"
) -> ExponentiatedPowerLaw:
    """Straight line through log(−log solved), or log(−log(1 − solved)), against log x.

    Args:
        x: trials or cost, positive, [n].
        solved: share of questions solved, in 0…1, [n]. Points at 0 or 1 are left out.
        of: which quantity is the exponential; see ``ExponentiatedPowerLaw``.

    Raises:
        InputError: fewer than two usable points, or shares outside 0…1.
    """
    x, solved = _points(x, solved)
    if of not in ("success", "failure"):
        raise InputError(f"of={of!r} must be success or failure")
    if ((solved < 0) | (solved > 1)).any():
        raise InputError("solved must be shares in 0…1")
    usable = (solved > 0) & (solved < 1)
    if len(np.unique(x[usable])) < 2:
        raise InputError("fewer than two points lie between 0 and 1: there is no line to fit")
    kept = solved[usable]
    depth = -np.log(kept) if of == "success" else -np.log1p(-kept)
    line = _log_fit(x[usable], depth, 0.0)
    b = -line.b if of == "success" else line.b
    return ExponentiatedPowerLaw(line.a, b, of, line.rms, int(usable.sum()))


@dataclasses.dataclass(frozen=True)
class Extrapolation:
    """How well a law fitted to the cheap part predicts the expensive part."""

    boundary: float
    """Largest x that was fitted."""
    relative_rms: float
    """Root mean square of (predicted − y)/y beyond it."""
    worst: float
    """Largest |predicted − y|/y beyond it."""
    baseline_rms: float
    """``relative_rms`` of predicting the last fitted y for ever, the law to beat."""


def extrapolation_error(
    x: ArrayLike, y: ArrayLike, fit: Callable[[Floats, Floats], Law] = fit_power_law, train_share: float = 0.6
) -> Extrapolation:
    """Fit the points with the smallest x, predict the others.

    Args:
        x: positive, [n].
        y: not zero, [n].
        fit: x, y → a law.
        train_share: share of the points that is fitted.

    Raises:
        InputError: a share that leaves nothing to fit or to predict, or y = 0; or as ``fit``.
    """
    x, y = _points(x, y)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    cut = round(train_share * len(x))
    if not 2 <= cut < len(x):
        raise InputError(f"train_share={train_share} of {len(x)} points leaves too few on a side")
    if (y == 0).any():
        raise InputError("y = 0 has no relative error: leave such points out")
    error = (fit(x[:cut], y[:cut]).predict(x[cut:]) - y[cut:]) / y[cut:]
    baseline = y[cut - 1] / y[cut:] - 1.0
    return Extrapolation(
        float(x[cut - 1]),
        float(np.sqrt(np.mean(error**2))),
        float(np.abs(error).max()),
        float(np.sqrt(np.mean(baseline**2))),
    )
