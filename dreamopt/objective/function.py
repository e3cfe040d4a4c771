"""Plain functions of activations as objectives."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective.objective import Activations, Objective
from dreamopt.objective.units import require_choice
from dreamopt.parts.part import literal, origin


@dataclasses.dataclass(frozen=True)
class Function(Objective):
    """A plain function of activations as an objective; `from_function` makes it.

    Parameters
    ----------
    function : callable
        Called with the activations of the layers in their order and with ``parameters`` by name; returns (N,).
    inputs : tuple of str
        The layers.
    parameters : tuple of (str, object) pairs
        Keyword arguments of every call.
    name : str
        The name in strings.
    compares : bool
        Whether an item's score depends on the other items on purpose.
    over_places : {"sum", "mean"}, optional
        `Objective.additive`.
    """

    function: Callable[..., Tensor]
    inputs: tuple[str, ...]
    parameters: tuple[tuple[str, Any], ...] = ()
    name: str = ""
    compares: bool = False
    over_places: Literal["sum", "mean"] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers, each once."""
        return tuple(dict.fromkeys(self.inputs))

    def value(self, activations: Activations) -> Tensor:
        """Call the function."""
        return self.function(*(activations[layer] for layer in self.inputs), **dict(self.parameters))

    @property
    def coupled(self) -> bool:
        """As said when it was made."""
        return self.compares

    @property
    def additive(self) -> Literal["sum", "mean"] | None:
        """As said when it was made; of several layers, None."""
        return self.over_places if len(self.inputs) == 1 else None

    def written_in(self) -> str:
        """Return the function's file."""
        found = inspect.getsourcefile(self.function) if inspect.isfunction(self.function) else None
        return origin(self.function) if found is None else found

    def __str__(self) -> str:
        arguments = [literal(layer) for layer in self.inputs] + [f"{k}={literal(v)}" for k, v in self.parameters]
        return f"{self.name or self.function.__name__}({', '.join(arguments)})"


def from_function(
    function: Callable[..., Tensor], name: str | None = None, *, coupled: bool = False, additive: Literal["sum", "mean"] | None = None
) -> Callable[..., Function]:
    """Turn a function of activations into a maker of objectives.

    Parameters
    ----------
    function : callable
        ``function(a, b, ..., **parameters)``: one positional parameter per layer read, each (N, C, ...); returns (N,).
    name : str, optional
        The name in strings; the function's own by default.
    coupled : bool
        Whether it compares the items of a batch on purpose, so that an item has no score alone.
    additive : {"sum", "mean"}, optional
        Whether the value of a map is the sum of those of its blocks, or their mean, so that large images are computed in one sweep over
        tiles; see `Objective.additive`. For functions of one layer.

    Returns
    -------
    callable
        Called with as many layer names, and the function's keyword parameters, it returns a `Function`.

    Raises
    ------
    ObjectiveError
        If the function takes no activation, naming its file.

    Examples
    --------
    >>> energy = from_function(lambda a, power=2: (a.abs() ** power).flatten(1).mean(1), name="energy")
    >>> print(energy("conv4", power=3))
    energy("conv4", power=3)
    """
    where = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    kinds = [p.kind for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    count = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    label = name or function.__name__
    if additive is not None:
        require_choice("additive", additive, ("sum", "mean"))
    if count == 0 and inspect.Parameter.VAR_POSITIONAL not in kinds:
        raise ObjectiveError(f"{where}: objective function {label} must take at least one activation, (N, C, ...), as positional parameter")

    def make(*layers: str, **parameters: Any) -> Function:
        if count and len(layers) != count:
            raise ObjectiveError(f"objective {label} reads {count} layer(s), but was given {len(layers)}: {', '.join(layers) or 'none'}")
        return Function(function, layers, tuple(parameters.items()), label, coupled, additive)

    make.__name__ = label
    return make
