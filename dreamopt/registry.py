"""Names of objectives and regularizers: file stems of this package, plugins of other packages, and your own.

Three sources, looked up in this order: what was registered in this process, the files of `dreamopt.objectives` and
`dreamopt.regularizers` (``class_score.py`` holds ``ClassScore``), and entry points of the groups of the same names::

    [project.entry-points."dreamopt.objectives"]
    energy = "mypackage.energy:Energy"

Each is checked against its contract when it is found, and an error names the file to mend.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from dreamopt.errors import DreamoptError, ObjectiveError, RegularizerError
from dreamopt.function import from_function
from dreamopt.objective import Objective
from dreamopt.regularizer import Penalty, Projection, Regularizer

P = TypeVar("P")


@dataclasses.dataclass(frozen=True)
class Plugin(Generic[P]):
    """One name that makes an objective or a regularizer.

    Parameters
    ----------
    name : str
        Its name in strings, in snake case.
    make : callable
        The class, or for a plain function the maker from `from_function`.
    origin : str
        The file it was written in.
    """

    name: str
    make: Callable[..., P]
    origin: str


def snake(name: str) -> str:
    """Return a class name as its file is called.

    >>> snake("ClassScore"), snake("L2"), snake("total_variation")
    ('class_score', 'l2', 'total_variation')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class Registry(Generic[P]):
    """The names of one kind of plugin.

    Parameters
    ----------
    package : str
        The package whose files are the built-in ones; also the entry-point group.
    base : type
        What a plugin must be a subclass of.
    error : type
        The error for a plugin that breaks the contract.
    """

    def __init__(self, package: str, base: type[P], error: type[DreamoptError]) -> None:
        self.package = package
        self.base = base
        self.error = error
        self._own: dict[str, Plugin[P]] = {}
        self._found: dict[str, Plugin[P]] = {}

    def register(self, plugin: Any, name: str | None = None) -> Any:
        """Make a class, or for objectives a plain function, known by name; usable as a decorator.

        Raises
        ------
        ObjectiveError, RegularizerError
            If it breaks the contract, naming its file.
        """
        checked = self.check(plugin, name)
        self._own[checked.name] = checked
        return plugin

    def unregister(self, name: str) -> None:
        """Forget a name given to `register`."""
        del self._own[snake(name)]

    def check(self, plugin: Any, name: str | None = None) -> Plugin[P]:
        """Return the plugin's entry if it keeps the contract, and raise with its file if not."""
        maker: Any
        own_name = name or getattr(plugin, "__name__", None) or type(plugin).__name__
        where = _file(plugin)
        label = f"{where}: {own_name}"
        if inspect.isfunction(plugin) and issubclass(Objective, self.base):
            maker = from_function(plugin, own_name)
            return Plugin(snake(own_name), maker, where)
        if not (isinstance(plugin, type) and issubclass(plugin, self.base)):
            raise self.error(f"{label} must be a subclass of {self.base.__module__}.{self.base.__name__}")
        if not (dataclasses.is_dataclass(plugin) and plugin.__dataclass_params__.frozen):  # type: ignore[attr-defined]  # no stub has it
            raise self.error(f"{label} must be immutable: decorate it with @dataclass(frozen=True)")
        for method, parameters in _contract(plugin):
            found = inspect.getattr_static(plugin, method)
            if any(found is inspect.getattr_static(base, method) for base in (Objective, Penalty, Projection) if hasattr(base, method)):
                raise self.error(f"{label} must define {method}")
            if parameters and len(inspect.signature(found).parameters) != len(parameters):
                raise self.error(f"{label}.{method} must take ({', '.join(parameters)})")
        maker = plugin
        return Plugin(snake(own_name), maker, where)

    def get(self, name: str) -> Plugin[P]:
        """Return the plugin called ``name``, in snake case or as its class is called.

        Raises
        ------
        ObjectiveError, RegularizerError
            For an unknown name, with the known ones; for a plugin that breaks the contract, with its file.
        """
        key = snake(name)
        if key in self._own:
            return self._own[key]
        if key not in self._found:
            self._found[key] = self._load(key, name)
        return self._found[key]

    def _load(self, key: str, name: str) -> Plugin[P]:
        if key in _stems(self.package):
            module = importlib.import_module(f"{self.package}.{key}")
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module.__name__ and snake(value.__name__) == key:
                    return self.check(value)
            raise self.error(f"{module.__file__}: the file must hold a class named as the file, in capitals")
        for point in self._points():
            if point.name == key:
                return dataclasses.replace(self.check(self._import(point)), name=key)
        near = difflib.get_close_matches(key, self.names(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise self.error(f"no {self.package.rpartition('.')[2][:-1]} is called '{name}'{hint}; there are {', '.join(self.names())}")

    def _points(self) -> list[EntryPoint]:
        return list(entry_points(group=self.package))

    def _import(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as problem:
            package = point.dist.name if point.dist is not None else "an installed package"
            raise self.error(f"entry point {point.name} = {point.value} of {package} cannot be imported: {problem}") from problem

    def names(self) -> list[str]:
        """Return all names in alphabetical order, without importing the plugins."""
        return sorted({*self._own, *_stems(self.package), *(point.name for point in self._points())})

    def __iter__(self) -> Iterator[Plugin[P]]:
        return (self.get(name) for name in self.names())


@cache
def _stems(package: str) -> tuple[str, ...]:
    return tuple(m.name for m in pkgutil.iter_modules(importlib.import_module(package).__path__))


def _contract(plugin: type) -> list[tuple[str, tuple[str, ...]]]:
    """Return the methods that a plugin class must define, with their parameters."""
    if issubclass(plugin, Objective):
        return [("layers", ()), ("value", ("self", "acts"))]
    if issubclass(plugin, Penalty):
        return [("penalty", ("self", "image", "moment"))]
    return [("project", ("self", "image", "moment"))]


def _file(plugin: Any) -> str:
    try:
        found = inspect.getsourcefile(plugin)
    except TypeError:
        found = None
    return found or str(getattr(plugin, "__module__", "<unknown file>"))


objectives: Registry[Objective] = Registry("dreamopt.objectives", Objective, ObjectiveError)
"""All objectives by name."""
regularizers: Registry[Regularizer] = Registry("dreamopt.regularizers", Regularizer, RegularizerError)
"""All regularizers by name."""
