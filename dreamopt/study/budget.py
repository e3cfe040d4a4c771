"""How much each run of a study may spend: evaluations, or seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

from dreamopt.errors import UsageError
from dreamopt.parts.arguments import check_text
from dreamopt.parts.checks import POSITIVE, check_number, check_whole
from dreamopt.parts.part import number_string

Kind = Literal["evals", "seconds"]
_UNITS: dict[str, Kind] = {"": "evals", "eval": "evals", "evals": "evals", "evaluations": "evals", "s": "seconds", "seconds": "seconds"}


@dataclass(frozen=True)
class Budget:
    """What each run may spend.

    An evaluation is one view of the image seen by the net, forward and backward; a step with four views, or a line search that tries four
    times, makes four. Seconds are those of the run alone: the clock stands still while images are measured and saved.

    Parameters
    ----------
    amount : float
        Above 0; whole for evaluations.
    kind : {"evals", "seconds"}
        What is counted.

    Examples
    --------
    >>> print(Budget.read("500evals"), Budget.read("30s"))
    500evals 30s
    """

    amount: float
    kind: Kind = "evals"

    def __post_init__(self) -> None:
        if self.kind == "evals":
            object.__setattr__(self, "amount", check_whole("a budget's evaluations", self.amount))
        else:
            object.__setattr__(self, "amount", check_number("a budget's seconds", self.amount, POSITIVE))

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the budget that a text says: ``500evals``, ``500`` or ``30s``.

        Raises
        ------
        UsageError
            For any other text.
        """
        check_text("a budget", text)
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
        if match is None or match[2] not in _UNITS:
            raise UsageError(f"a budget is a number of evaluations or of seconds, as 500evals or 30s, not '{text}'")
        return cls(float(match[1]), _UNITS[match[2]])

    def __str__(self) -> str:
        return f"{number_string(self.amount)}{'evals' if self.kind == 'evals' else 's'}"
