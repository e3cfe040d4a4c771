"""Names of objectives, regularizers, optimizers, parametrizations and transforms: file stems, plugins of other packages, your own.

Three sources, looked up in this order: what was registered in this process, the files of the plugins' folder
(``objectives/class_score.py`` holds ``ClassScore``), and entry points of the group ``dreamopt.KIND``::

    [project.entry-points."dreamopt.objectives"]
    energy = "mypackage.energy:Energy"

An entry point is imported when a user names it; where a file names it, only if the user allows it (`dreamopt.parts.trust`). Each is
checked against its contract when it is found, and an error names the file to correct.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from dreamopt.errors import DreamoptError, in_brackets, suggest
from dreamopt.parts.importing import foreign_import, package_of
from dreamopt.parts.part import call_string
from dreamopt.parts.trust import check_plugin

P = TypeVar("P")
Contract = Mapping[type, Mapping[str, tuple[str, ...]]]


@dataclasses.dataclass(frozen=True)
class Plugin(Generic[P]):
    """One name that makes a part.

    Parameters
    ----------
    name : str
        Its name in strings, in snake case.
    make : callable
        The class, or for a plain function what the registry's ``adapt`` made of it.
    origin : str
        The file it was written in.
    """

    name: str
    make: Callable[..., P]
    origin: str


def snake(name: str) -> str:
    """Return a class name as its file is called.

    >>> snake("ClassScore"), snake("L2"), snake("total_variation"), snake("GradientXInput")
    ('class_score', 'l2', 'total_variation', 'gradient_x_input')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z][A-Z])(?=[A-Z][a-z])", "_", name).lower()


def name_string(part: object) -> str:
    """Return a part as its name in strings, with the parameters that are not at their default: saliency, smoothgrad(samples=50)."""
    name, _, arguments = call_string(part).partition("(")
    return snake(name) + ("" if arguments == ")" else f"({arguments}")


class Registry(Generic[P]):
    """The names of one kind of plugin.

    Parameters
    ----------
    kind : str
        What one of them is called.
    package : str
        The package whose files are the built-in ones.
    base : type
        What a plugin must be a subclass of.
    error : type
        The error for a plugin that breaks the contract.
    methods : mapping of type to mapping
        For each kind of base class the methods that a plugin must define, with their parameters (none: a property).
    adapt : callable, optional
        Turns a plain function and its name into a maker, for kinds that take plain functions.
    group : str, optional
        The group of entry points; by default ``dreamopt.``, the kind and an s.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        base: type[P],
        error: type[DreamoptError],
        methods: Contract,
        adapt: Callable[[Callable[..., Any], str], Callable[..., P]] | None = None,
        group: str | None = None,
    ) -> None:
        self.kind = kind
        self.group = f"dreamopt.{kind}s" if group is None else group
        self.package = package
        self.base = base
        self.error = error
        self.methods = methods
        self.adapt = adapt
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

    @contextmanager
    def registered(self, plugin: Any, name: str | None = None) -> Iterator[Plugin[P]]:
        """Make a class known by name while the block runs; what had the name before has it again afterwards."""
        plugins = dict(self._own)
        self.register(plugin, name)
        try:
            yield self.check(plugin, name)
        finally:
            self._own = plugins

    def check(self, plugin: Any, name: str | None = None) -> Plugin[P]:
        """Return the plugin's entry if it keeps the contract, and raise with its file if not."""
        maker: Any
        own_name = name or getattr(plugin, "__name__", None) or type(plugin).__name__
        where = _file(plugin)
        label = f"{where}: {own_name}"
        if self.adapt is not None and inspect.isfunction(plugin):
            maker = self.adapt(plugin, own_name)
            return Plugin(snake(own_name), maker, where)
        if not (isinstance(plugin, type) and issubclass(plugin, self.base)):
            package = self.base.__module__.rpartition(".")[0]  # which gives the contract to others
            raise self.error(f"{label} must be a subclass of {package}.{self.base.__name__}")
        if not (dataclasses.is_dataclass(plugin) and plugin.__dataclass_params__.frozen):  # type: ignore[attr-defined]  # no stub has it
            raise self.error(f"{label} must be immutable: decorate it with @dataclass(frozen=True)")
        base = next((base for base in self.methods if issubclass(plugin, base)), None)
        if base is None:
            raise self.error(f"{label} must be a subclass of {' or '.join(base.__name__ for base in self.methods)}")
        for method, parameters in self.methods[base].items():
            found = inspect.getattr_static(plugin, method)
            if found is inspect.getattr_static(base, method):
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
        key = self._key(name)
        if key in self._own:
            return self._own[key]
        if key not in _stems(self.package):
            self._check_allowed(key)
        if key not in self._found:
            self._found[key] = self._load(key, name)
        return self._found[key]

    def _key(self, name: str) -> str:
        """Return the name in snake case; underscores may be left out or stand elsewhere, as in AdamW, adamw and adam_w."""
        key = snake(name)
        bare = key.replace("_", "")
        return next((one for one in self.names() if one.replace("_", "") == bare), key) if key not in self._own else key

    def _check_allowed(self, key: str) -> None:
        """Raise for a plugin that a file's words name and the user did not allow, also for one that is imported already."""
        point = next((point for point in self._points() if point.name == key), None)
        if point is not None:
            check_plugin(self.kind, key, package_of(point), self.error)

    def _load(self, key: str, name: str) -> Plugin[P]:
        if key in _stems(self.package):
            return dataclasses.replace(self.check(self._class_in(key)), name=key)
        for point in self._points():
            if point.name == key:
                plugin = self._import(point)
                # A function prints the name that it is made with, which has to be the one that is found.
                return dataclasses.replace(self.check(plugin, key if inspect.isfunction(plugin) else None), name=key)
        hint = in_brackets(suggest(key, self.names(), 1))
        raise self.error(f"no {self.kind} is called '{name}'{hint}; there are {', '.join(self.names())}")

    def _class_in(self, stem: str) -> type[P]:
        module = importlib.import_module(f"{self.package}.{stem}")
        for value in vars(module).values():
            # ZPlus is z_plus, RMSprop rmsprop: where the underscores stand, the file says.
            if isinstance(value, type) and value.__module__ == module.__name__ and value.__name__.lower() == stem.replace("_", ""):
                return value
        raise self.error(f"{module.__file__}: the file must hold a class named as the file, in capitals")

    def _points(self) -> tuple[EntryPoint, ...]:
        return _installed(self.group, tuple(sys.path))

    def _import(self, point: EntryPoint) -> Any:
        with foreign_import(f"entry point {point.name} = {point.value} of {package_of(point)}", self.error):
            return point.load()

    def built_in(self) -> list[type[P]]:
        """Return the classes of the package's own files in the order of their names."""
        return [self._class_in(stem) for stem in sorted(_stems(self.package))]

    def built_in_class(self, name: str) -> type[P] | None:
        """Return the class of exactly this name in the package's own files; None where there is none."""
        for stem in _stems(self.package):
            if stem.replace("_", "") == name.lower():
                part = self._class_in(stem)
                return part if part.__name__ == name else None
        return None

    def names(self) -> list[str]:
        """Return all names in alphabetical order, without importing the plugins."""
        return sorted({*self._own, *_stems(self.package), *(point.name for point in self._points())})

    def __iter__(self) -> Iterator[Plugin[P]]:
        return (self.get(name) for name in self.names())


@cache
def _stems(package: str) -> tuple[str, ...]:
    return tuple(m.name for m in pkgutil.iter_modules(importlib.import_module(package).__path__))


@cache
def _installed(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return a group's entry points; finding them reads a file of every installed package, and strings of parts ask often."""
    return tuple(entry_points(group=group))


def _file(plugin: Any) -> str:
    try:
        found = inspect.getsourcefile(plugin)
    except TypeError:
        found = None
    return found or str(getattr(plugin, "__module__", "<unknown file>"))
