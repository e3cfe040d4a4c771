"""Numbers as a report writes them."""

from __future__ import annotations

import math

from dreamopt.statistics import Estimate

NONE = "–"
_SMALLEST = 0.001


def number(value: float | int | None, like: float | None = None) -> str:
    """Return a number with three digits, or as many as a larger one has that it stands beside.

    Parameters
    ----------
    value : float or None
        None and what is not a number: a dash.
    like : float, optional
        The larger one.

    Examples
    --------
    >>> number(0.98765), number(1234.5), number(-0.5), number(-math.inf), number(None), number(0.0123, like=1.5)
    ('0.988', '1,234', '−0.5', '−∞', '–', '0.01')
    >>> number(0.0323456, like=0.0923)
    '0.032'
    """
    if value is None or math.isnan(value):
        return NONE
    sign = "−" if value < 0 else ""
    size = abs(value)
    if math.isinf(size):
        return f"{sign}∞"
    largest = max(size, abs(like)) if like is not None and math.isfinite(like) else size
    if 0 < largest < _SMALLEST:
        return f"{sign}{size:.1e}"
    digits = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    if like is not None and largest > 10 * _SMALLEST:
        digits = min(digits, 3)
    shown = f"{size:,.{digits}f}"
    if like is None and "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return f"{sign}{shown}" if float(shown.replace(",", "")) else shown


def interval(estimate: Estimate) -> str:
    """Return the interval of an estimate: ``[0.91, 1.02]``; nothing where there is none.

    >>> interval(Estimate(1, 0.914, 1.02))
    '[0.91, 1.02]'
    """
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return ""
    return f"[{number(estimate.low, largest(estimate))}, {number(estimate.high, largest(estimate))}]"


def middle(estimate: Estimate) -> str:
    """Return the value of an estimate, with as many digits as its interval has.

    >>> middle(Estimate(1, 0.914, 1.02))
    '1.00'
    """
    return number(estimate.value, largest(estimate))


def largest(estimate: Estimate) -> float:
    """Return the largest of an estimate's finite numbers without their signs."""
    return max((abs(value) for value in (estimate.value, estimate.low, estimate.high) if math.isfinite(value)), default=0.0)


def probability(p: float) -> str:
    """Return a probability as papers print it.

    >>> probability(0.0004), probability(0.0312), probability(0.5), probability(math.nan)
    ('< .001', '.031', '.50', '–')
    """
    if math.isnan(p):
        return NONE
    if p < 0.001:
        return "< .001"
    return f"{p:.3f}"[1:] if p < 0.1 else f"{p:.2f}".removeprefix("0")


def seconds(value: float) -> str:
    """Return a time: ``12 s``, ``3 min``, ``2.5 h``.

    >>> seconds(12.3), seconds(200), seconds(9000)
    ('12.3 s', '3.33 min', '2.5 h')
    """
    for length, unit in ((3600, "h"), (60, "min")):
        if value >= 2 * length:
            return f"{number(value / length)} {unit}"
    return f"{number(value)} s"
