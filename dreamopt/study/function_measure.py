"""Plain functions as measures."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, get_args

from dreamopt.errors import UsageError
from dreamopt.parts.checks import Fields
from dreamopt.study.measure import Better, Finished, Measure


class FunctionMeasure(Measure):
    """A function of an image, or of a finished run, as a measure; `measure_of_function` makes the subclass of each."""

    function: ClassVar[Callable[..., Any]]
    takes_run: ClassVar[bool]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # each subclass is a dataclass
            if isinstance(field.default, bool):
                Fields(self).flag(field.name)
            elif isinstance(field.default, int | float):
                Fields(self).number(field.name)

    def measure(self, finished: Finished) -> float | None:
        """Call the function."""
        parameters = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]  # as above
        value: float | None = self.function(finished if self.takes_run else finished.rgb, **parameters)
        return value

    def written_in(self) -> str:
        """Return the function's file."""
        return inspect.getsourcefile(self.function) or self.function.__module__

    def __reduce__(self) -> tuple[Callable[[str], Measure], tuple[str]]:
        from dreamopt.study.measures_registry import parse_measure  # which knows this module

        return parse_measure, (str(self),)


@cache
def measure_of_function(function: Callable[..., Any], name: str) -> type[FunctionMeasure]:
    """Return the measure that a function is.

    Its first parameter is the image, (H, W, 3) of uint8, red, green, blue; where that parameter is called ``finished``, or annotated as a
    `Finished`, it is the finished run. All others have defaults, and are parameters of the measure. The function's attributes ``unit``
    and ``better``, where it has them, are those of the measure; without them the unit is "1" and higher is better.

    Parameters
    ----------
    function : callable
        Returns a number, or None where it does not apply.
    name : str
        The measure's.

    Raises
    ------
    UsageError
        For another signature, unit or direction, naming the function's file.

    Examples
    --------
    >>> def brightness(image):
    ...     return image.mean()
    >>> brightness.unit, brightness.better = "grey levels", "neither"
    >>> print(measure_of_function(brightness, "brightness")().unit)
    grey levels
    """
    where = f"{inspect.getsourcefile(function) or function.__module__}: measure function {name}"
    parameters = list(inspect.signature(function).parameters.values())
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    several = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.default is p.empty for p in parameters[1:])
    if not parameters or parameters[0].kind not in by_place or several:
        raise UsageError(f"{where} must take one image (or one finished run, as 'finished'), and defaults for all other parameters")
    unit, better = getattr(function, "unit", "1"), getattr(function, "better", "higher")
    if not isinstance(unit, str) or not unit:
        raise UsageError(f"{where}: its unit must be a text, not {unit!r}")
    if better not in get_args(Better):
        raise UsageError(f"{where}: better must be {', '.join(get_args(Better))}, not {better!r}")
    fields = [(p.name, Any, dataclasses.field(default=p.default)) for p in parameters[1:]]
    attributes = {
        "function": staticmethod(function),
        "takes_run": parameters[0].name == "finished" or _annotation(function, parameters[0]) is Finished,
        "unit": unit,
        "better": better,
        "examples": (name,),
        "__doc__": inspect.getdoc(function) or f"{name}.",
        "__module__": function.__module__,
    }
    try:
        return dataclasses.make_dataclass(name, fields, bases=(FunctionMeasure,), namespace=attributes, frozen=True)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"{where} has a parameter that no measure can have: {problem}") from problem


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> object:
    try:
        return typing.get_type_hints(function).get(parameter.name)
    except Exception:  # whatever a stranger's annotations raise when they are evaluated
        return parameter.annotation
