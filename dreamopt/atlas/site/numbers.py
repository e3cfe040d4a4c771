"""How numbers stand on the pages."""

from __future__ import annotations


def shown_number(value: float | int | None) -> str:
    """Return a number with three digits, a dash for none.

    >>> shown_number(1234.56), shown_number(-0.01234), shown_number(None)
    ('1,235', '−0.0123', '–')
    """
    if value is None:
        return "–"
    written = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return written.replace("-", "−")
