"""A table of a catalogue, each of whose fields is checked as it is read."""

from __future__ import annotations

from typing import Any

from dreamopt.errors import ModelError, printable
from dreamopt.parts.checks import ANY, COUNT, Range, check_number, check_whole

_SHOWN = 60


class Table:
    """What stands under one name in a catalogue.

    Parameters
    ----------
    values : object
        As TOML gave it.
    where : str
        Names the table in errors, as "models.lenet of the model catalogue mine.toml".
    """

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, dict):
            raise ModelError(f"{where} must be a table, not {_shown(values)}")
        self._values: dict[str, Any] = values
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def table(self, key: str) -> Table:
        """Return a table inside this one."""
        return Table(self._required(key), f"{key} of {self.where}")

    def tables(self, key: str) -> list[tuple[str, Table]]:
        """Return the names and tables inside a table of this one, in the file's order."""
        inner = self.table(key)
        return [(name, inner.table(name)) for name in inner._values]

    def text(self, key: str) -> str:
        """Return a text."""
        return self._text(key, self._required(key))

    def optional_text(self, key: str) -> str | None:
        """Return a text, or None where there is none."""
        return self._text(key, self._values[key]) if key in self._values else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return texts; none where the field is missing."""
        return tuple(self._text(key, value) for value in self._list(key))

    def number(self, key: str, default: float) -> float:
        """Return a finite number."""
        return float(check_number(f"{key} of {self.where}", self._values.get(key, default), ANY, ModelError))

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return finite numbers; none where the field is missing."""
        return tuple(float(check_number(f"{key} of {self.where}", value, ANY, ModelError)) for value in self._list(key))

    def counts(self, key: str) -> tuple[int, ...]:
        """Return whole numbers of at least 1; none where the field is missing."""
        return tuple(check_whole(f"{key} of {self.where}", value, COUNT, ModelError) for value in self._list(key))

    def size(self, key: str) -> int | None:
        """Return a number of bytes, or None where there is none."""
        value = self._values.get(key)
        if value is None:
            return None
        return int(check_number(f"{key} of {self.where}", value, Range(1, 2**63), ModelError))

    def _required(self, key: str) -> Any:
        if key not in self._values:
            raise ModelError(f"{self.where} lacks the field {key!r}")
        return self._values[key]

    def _list(self, key: str) -> list[Any]:
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise ModelError(f"{key} of {self.where} must be a list, not {_shown(value)}")
        return value

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise ModelError(f"{key} of {self.where} must be a text, not {_shown(value)}")
        return value


def _shown(value: object) -> str:
    return printable(repr(value), _SHOWN)
