"""Numbers and names as a person reads them: units, intervals, and text that is safe to show anywhere."""

import math
from collections.abc import Callable

from kinetics_jax.scaling.law.deployment_words import RULES
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.statistics.intervals import Estimate

MISSING = "–"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_QUANTITIES = {
    "dense_share": "share of dense attention",
    "kv_budget": "KV budget",
    "length": "generation length",
    "tokens": "generated tokens",
}
_STATISTICS = {"b": "exponent b", "per_doubling": "factor per doubling of cost"}
_SECONDS = ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (3600.0, "h"), (86400.0, "d"))


def printable(text: object) -> str:
    """Text with control, bidirectional and unencodable characters shown as �.

    Names come from files that anyone may have written; they end in terminals, XML and HTML.
    """
    return "".join(char if char.isprintable() else "�" for char in str(text))


def shorten(text: object, width: int) -> str:
    """``printable`` text cut to ``width`` characters, with … where something was cut."""
    clean = printable(text)
    return clean if len(clean) <= width else clean[: max(width - 1, 0)] + "…"


def number(value: float | None, digits: int = 3) -> str:
    """About ``digits`` significant digits, thousands set apart: 0.0123, 4.5, 12,300, 3.2·10¹⁷."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        power = f"10{superscript(int(exponent))}"
        return power if mantissa == "1" else f"{mantissa}·{power}"
    decimals = 0 if size == 0 else max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def superscript(exponent: int) -> str:
    """An exponent in raised digits."""
    return str(exponent).translate(_SUPERSCRIPTS)


def seconds(value: float | None, digits: int = 2) -> str:
    """Seconds in the unit that suits their size: 40 ms, 1.2 s, 3 h."""
    if value is None or not math.isfinite(value):
        return MISSING
    unit, name = _SECONDS[0]
    for unit_, name_ in _SECONDS:
        if abs(value) >= 0.9999 * unit_:
            unit, name = unit_, name_
    return f"{number(value / unit, digits)} {name}"


def cost(law: Law, value: float | None) -> str:
    """A cost of a law's ``shown`` grid: US$, or seconds in the unit that suits their size."""
    return dollars(value) if law.measure == "dollars" else seconds(value)


def dollars(value: float | None) -> str:
    """US dollars."""
    return MISSING if value is None or not math.isfinite(value) else f"${number(value, 2)}"


def known_range(law: Law, low: float, high: float) -> str:
    """An interval of a law's costs in brackets, or that there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "(not determined)"
    return f"[{cost(law, low)} … {cost(law, high)}]"


def per_thousand(law: Law, shown: float) -> float | None:
    """US$ of 1,000 questions at a cost of the ``shown`` grid; None where the law knows no dollars."""
    if law.measure == "dollars":
        return 1000 * shown
    if law.measure == "latency" or not law.usd_per_hour:
        return None
    return shown * (1000 * law.usd_per_hour / 3600)


def rule_of_deployment(rule: str) -> str:
    """Why a deployment is the one that is priced."""
    return RULES.get(rule, printable(rule))


def percent(share: float | None, decimals: int = 1) -> str:
    """A share in [0, 1] as per cent."""
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{100 * share:.{decimals}f} %"


def params(count: float | None) -> str:
    """Parameters: 0.6 B, 14.8 B."""
    if count is None or not math.isfinite(count):
        return MISSING
    return f"{number(count / 1e9)} B" if count >= 1e8 else f"{number(count / 1e6)} M"


def interval(estimate: Estimate, shown: Callable[[float], str] = number) -> str:
    """The interval of an estimate, each end as ``shown``, or a dash where it has none."""
    if estimate.low is None or estimate.high is None:
        return MISSING
    if math.isinf(estimate.high):
        return f"{shown(estimate.low)} and more"
    return f"{shown(estimate.low)} … {shown(estimate.high)}"


def counted(count: int, noun: str) -> str:
    """``1 question``, ``30 questions``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def fit(name: str) -> str:
    """A fit by name, such as ``tokens.b``: generated tokens: exponent b."""
    quantity, _, statistic = name.partition(".")
    named = _QUANTITIES.get(quantity, quantity)
    return f"{named}: {_STATISTICS.get(statistic, statistic)}" if statistic else named


def costs(law: Law, span: tuple[float, float] | None) -> str:
    """Costs of a law from … to, as they are shown, or a dash."""
    if span is None:
        return MISSING
    return f"{cost(law, span[0] / law.per_shown)} … {cost(law, span[1] / law.per_shown)}"
