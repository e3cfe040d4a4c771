"""The parts, their examples and the checks of their kind, one by one or all of a part's."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

from dreamopt.atlas.piece import Piece
from dreamopt.engine.layer import Layer
from dreamopt.errors import UsageError
from dreamopt.parts.part import origin_of
from dreamopt.parts.registry import Registry, snake
from dreamopt.parts.schedule import Schedule
from dreamopt.testing.atlas_pieces import piece_cases_of
from dreamopt.testing.backends import backend_cases_of
from dreamopt.testing.bench import bench, fill
from dreamopt.testing.kind import Kind, PartError
from dreamopt.testing.layers import LayerCase, layer_cases_of
from dreamopt.testing.plain_case import PlainCase
from dreamopt.testing.schedules import schedule_cases_of


@cache
def part_kinds() -> dict[str, Kind]:
    """Return all kinds of parts by name: the modules of ``dreamopt/testing/kinds/``, a package whose name this function must not have."""
    package = importlib.import_module("dreamopt.testing.kinds")
    modules = [importlib.import_module(f"{package.__name__}.{module.name}") for module in pkgutil.iter_modules(package.__path__)]
    return {module.KIND.name: module.KIND for module in modules if hasattr(module, "KIND")}


def registries() -> dict[str, Registry[Any]]:
    """Return the registries of all kinds of parts by the kind's name."""
    return {name: kind.registry for name, kind in part_kinds().items()}


@dataclass(frozen=True)
class Case:
    """One check of one part.

    Parameters
    ----------
    kind : Kind
        The part's kind.
    part : type
        The part's class.
    examples : tuple of str
        The example that is checked; for a check of the class all of them.
    check : callable or None
        The check; None where the class says no examples, which fails.
    """

    kind: Kind
    part: type
    examples: tuple[str, ...]
    check: Callable[..., None] | None

    def run(self) -> None:
        """Run the check.

        Raises
        ------
        PartError
            Naming the part's file, the example and what does not hold.
        """
        where = f"{origin_of(self.part)}: {self.part.__name__}"
        if self.check is None:
            raise PartError(f'{where} says no examples: add examples: ClassVar = ("name(...)",) to the class, strings that make it')
        where = f"{where}, example {' and '.join(self.examples)}"
        of_class = self.check in self.kind.class_checks
        try:
            made = [self._make(example) for example in self.examples]
            if of_class:
                self.check(self.part, made, bench())
            else:
                self.check(made[0], bench())
        except PartError as problem:
            raise PartError(f"{where}: {problem}") from problem
        except Exception as problem:
            what = (self.check.__doc__ or self.check.__name__).splitlines()[0].removeprefix("Require that ").rstrip(".")
            text = str(problem).strip().partition("\n")[0]  # torch says the numbers in further lines
            raise PartError(f"{where}: {what}: {type(problem).__name__}: {text}") from problem

    def _make(self, example: str) -> Any:
        made = self.kind.parse(fill(example, bench().values))
        if type(made) is not self.part:
            raise PartError(f"the string makes {type(made).__name__}")
        return made

    def __str__(self) -> str:
        if self.check is None:
            return f"{self.kind.name}-{snake(self.part.__name__)}-has_examples"
        return f"{self.examples[0] if len(self.examples) == 1 else snake(self.part.__name__)}-{self.check.__name__}"


def cases_of(kind: Kind, part: type) -> Iterator[Case]:
    """Yield every check of a part with every example of it; one that fails where it has no example."""
    examples: tuple[str, ...] = tuple(getattr(part, "examples", ()))
    if not examples:
        yield Case(kind, part, (), None)
        return
    for example in examples:
        for check in kind.checks:
            yield Case(kind, part, (example,), check)
    for class_check in kind.class_checks:
        yield Case(kind, part, examples, class_check)


AnyCase = Case | LayerCase | PlainCase
OPENER = "open_net"
"""What the function is called by which a backend opens a net."""
_OTHER_KINDS: tuple[tuple[type, str, Callable[[Any], Iterator[AnyCase]]], ...] = (
    (Layer, "layers", layer_cases_of),
    (Schedule, "schedules", schedule_cases_of),
    (Piece, "atlas pieces", piece_cases_of),
)
"""Kinds whose parts have no strings of a registry: the contract, the name, what yields the checks of a part."""


def cases() -> Iterator[Case]:
    """Yield every check of every part of every kind with every example of it."""
    for kind in part_kinds().values():
        for plugin in kind.registry:
            if isinstance(plugin.make, type):
                yield from cases_of(kind, plugin.make)


def check_part(part: Any) -> None:
    """Check a part by all that its kind promises: strings, immutability, gradients, batches, numbers out of range.

    Parameters
    ----------
    part : type or callable
        The class, with ``examples``; its kind is that of its base class, which may be `dreamopt.engine.Layer`,
        `dreamopt.parts.schedule.Schedule` or `dreamopt.atlas.piece.Piece` too. It need not be registered. Or the function ``open_net`` of
        a backend.

    Raises
    ------
    UsageError
        For a class of no kind.
    PartError
        Naming the part's file, the example and what does not hold.

    Examples
    --------
    >>> from dreamopt.objectives import Channel
    >>> check_part(Channel)
    """
    with checks_of(part) as (_, found):
        for case in found:
            case.run()


@contextmanager
def checks_of(part: Any) -> Iterator[tuple[str, list[AnyCase]]]:
    """Make a part known by its name while the block runs, and yield its kind's name and its checks.

    Parameters
    ----------
    part : type or callable
        A class, or the function ``open_net`` of a backend.

    Raises
    ------
    UsageError
        For a class of no kind.
    """
    other = other_kind_of(part)
    if other is not None:
        name, cases_of_it = other
        yield name, list(cases_of_it(part))
        return
    kind = kind_of(part)
    if kind is None:
        bases = [kind.registry.base.__name__ for kind in part_kinds().values()] + [base.__name__ for base, _, _ in _OTHER_KINDS]
        raise UsageError(f"{part!r} is no part: it must be a subclass of one of {', '.join(bases)}, or a function {OPENER}")
    known = any(plugin.make is part for plugin in kind.registry)
    with nullcontext() if known else kind.registry.registered(part):
        yield kind.name, list(cases_of(kind, part))


def other_kind_of(part: object) -> tuple[str, Callable[[Any], Iterator[AnyCase]]] | None:
    """Return the name and what yields the checks of a kind without a registry of strings; None for a part of another, or of none."""
    if not isinstance(part, type):
        return ("backends", backend_cases_of) if callable(part) and getattr(part, "__name__", "") == OPENER else None
    return next(((name, cases_of_it) for base, name, cases_of_it in _OTHER_KINDS if issubclass(part, base)), None)


def kind_of(part: object) -> Kind | None:
    """Return the kind whose contract a class inherits; None for a class of no kind, and for one of `other_kind_of`."""
    return next((kind for kind in part_kinds().values() if isinstance(part, type) and issubclass(part, kind.registry.base)), None)
