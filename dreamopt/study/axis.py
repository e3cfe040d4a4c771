"""An axis: one number of a contestant's settings that is tuned, and the values that may be tried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.parts.checks import check_number

Value = float | int | str


@dataclass(frozen=True)
class Axis:
    """One setting that is tuned.

    Parameters
    ----------
    name : str
        As before the sign in ``--set``: ``optimizer.step_size``, ``tv.weight``, ``noise``.
    low, high : float
        The ends of its range, both tried by a grid; ``low`` below ``high``. On a logarithmic axis both are above 0.
    log : bool
        Whether equal ratios are equal distances.
    whole : bool
        Whether only whole numbers are tried.
    values : tuple
        Instead of a range: the values to try, in this order.

    Examples
    --------
    >>> Axis("optimizer.step_size", 0.5, 8).grid(5)
    (0.5, 1.0, 2.0, 4.0, 8.0)
    >>> Axis("views", values=(1, 2, 4)).at(0.5)
    2
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = True
    whole: bool = False
    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if self.values:
            return
        for end in ("low", "high"):
            object.__setattr__(self, end, check_number(f"the {end} end of {self.name}", getattr(self, end)))
        if self.low >= self.high or (self.log and self.low <= 0):
            above = " above 0" if self.log else ""
            raise UsageError(f"the range of {self.name} must run from a smaller number{above} to a larger one, not {self}")

    def at(self, place: float) -> Value:
        """Return the value at a place from 0, the low end, to 1, the high end."""
        if self.values:
            return self.values[min(int(place * len(self.values)), len(self.values) - 1)]
        if self.log:
            value = math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + place * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(f"{value:.4g}")

    def grid(self, count: int) -> tuple[Value, ...]:
        """Return so many values at equal distances, both ends among them; of listed values, those at equal distances."""
        if self.values:
            return self.values[:count] if count >= len(self.values) else tuple(self.at(k / count) for k in range(count))
        return (self.at(0.5),) if count == 1 else tuple(dict.fromkeys(self.at(k / (count - 1)) for k in range(count)))

    def describe(self) -> dict[str, Any]:
        """Return the axis fit for JSON."""
        if self.values:
            return {"name": self.name, "values": list(self.values)}
        return {"name": self.name, "low": self.low, "high": self.high, "log": self.log, "whole": self.whole}

    def __str__(self) -> str:
        return f"{self.name}={','.join(map(str, self.values))}" if self.values else f"{self.name}={self.low:g}..{self.high:g}"
