"""Names of parametrized tests."""

from types import FunctionType


def name_of(value: object) -> str | None:
    """Return a value's string; for a function None (pytest numbers it), since its string holds an address, another in every process."""
    return None if isinstance(value, FunctionType) else str(value)
