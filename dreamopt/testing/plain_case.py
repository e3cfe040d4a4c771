"""A check that needs no example's string: of a schedule, a piece of an atlas, a backend or a preset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dreamopt.testing.kind import PartError


@dataclass(frozen=True)
class PlainCase:
    """One check.

    Parameters
    ----------
    where : str
        The file and the part, and the example where there is one.
    name : str
        Of the check.
    check : callable
        Raises `PartError` by `require`, or any error.
    """

    where: str
    name: str
    check: Callable[[], object]

    def run(self) -> None:
        """Run the check.

        Raises
        ------
        PartError
            Naming the part's file and what does not hold.
        """
        try:
            self.check()
        except PartError as problem:
            raise PartError(f"{self.where}: {problem}") from problem
        except Exception as problem:
            text = str(problem).strip().partition("\n")[0]
            raise PartError(f"{self.where}: {self.name.replace('_', ' ')}: {type(problem).__name__}: {text}") from problem

    def __str__(self) -> str:
        return self.name
