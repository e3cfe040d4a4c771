"""Target strings of the command line: single objectives, lists, ranges and wildcards, as one objective per picture."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dreamopt.errors import ShapeError, TargetError, UsageError
from dreamopt.network import Network, Size
from dreamopt.objective import Objective, each, parse
from dreamopt.objectives import Channel, ClassScore

_MANY = re.compile(r"(?!-)(?P<layer>[^\s|\"()*]+):(?P<units>\*|\d+(?:-\d+)?(?:\s*,\s*\d+(?:-\d+)?)*)(?P<place>@.+)?", re.DOTALL)
_SLUG = re.compile(r"[^\w.@,+=-]+")


@dataclass(frozen=True)
class Target:
    """One picture to make.

    Parameters
    ----------
    text : str
        The string that makes it, with one unit.
    objective : Objective
        Bound to the network.
    label : str or None
        The class's name, where the target is a unit of a layer with as many units as there are labels.
    source : Objective or None
        As it was given, for pictures of another size: a neuron in the centre is at another place there.
    """

    text: str
    objective: Objective
    label: str | None = None
    source: Objective | None = None

    @property
    def coupled(self) -> bool:
        """Whether its pictures are compared with each other, and can only be made together."""
        return self.objective.coupled

    @property
    def given(self) -> Objective:
        """The objective as it was given, before it was bound."""
        return self.objective if self.source is None else self.source

    @property
    def slug(self) -> str:
        """A file name's stem: the text with what file systems dislike replaced."""
        return _SLUG.sub("-", self.text.replace(":", "-")).strip("-.") or "target"

    @property
    def caption(self) -> str:
        """What a contact sheet says below the picture: the text, and the class in a second line."""
        return self.text if self.label is None or self.label in self.text else f"{self.text}\n{self.label}"


def _units(spec: str, count: int, layer: str) -> Iterable[int]:
    if spec == "*":
        yield from range(count)
        return
    for part in spec.split(","):
        first, _, last = part.strip().partition("-")
        low, high = int(first), int(last or first)
        if high < low:
            raise TargetError(f"the range {low}-{high} of layer '{layer}' runs backwards; write {high}-{low}.")
        if high >= count:
            raise TargetError(f"layer '{layer}' has no unit {high}: it has {count}, numbered 0 to {count - 1}")
        yield from range(low, high + 1)


def _label(network: Network, objective: Objective, size: Size) -> str | None:
    if network.labels is None or not isinstance(objective, Channel | ClassScore) or not isinstance(objective.unit, int):
        return None
    if network.shape_of(objective.layer, size)[0] != len(network.labels):
        return None
    return network.labels[objective.unit]


def _shape(network: Network, layer: str, size: Size) -> tuple[int, ...]:
    try:
        return network.shape_of(layer, size)
    except ShapeError:
        return network.shape_of(layer)


def one_target(network: Network, objective: Objective, size: Size = None) -> Target:
    """Return the target of an objective, bound to the network for an input of this size.

    Where the objective's layers cannot be reached with it, it is bound for the size in the net's file: transforms may show the net
    windows of a larger picture, and a problem without such transforms says what does not fit.
    """
    try:
        whole = objective.bind(network, network.item_shape(size)[1:] or None)
    except ShapeError:
        if size is None:
            raise
        return one_target(network, objective)
    return Target(str(whole), whole, _label(network, whole, size), objective)


def expand(network: Network, targets: str | Objective | Sequence[str | Objective], size: Size = None, variants: int = 1) -> list[Target]:
    """Return one bound target per picture.

    Parameters
    ----------
    network : Network
        What the targets are looked up in.
    targets : str, Objective, or a sequence of them
        Anything `dreamopt.parts.calls.parse` reads, and ``layer:0-15``, ``layer:1,5,9-12``, ``layer:*``; an objective for several
        items counts as one target for each.
    size : int or (int, int), optional
        The input's size in pixels.
    variants : int
        How many pictures of each target, at least 1, each from a start of its own.

    Returns
    -------
    list of Target
        In the order given; an objective that compares the items of a batch stands there once for each item, the same object.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    UsageError
        When there is none.
    """
    single = isinstance(targets, str | Objective)
    wanted: Sequence[str | Objective] = [targets] if single else targets  # type: ignore[list-item, assignment]
    objectives: list[Objective] = []
    for one in wanted:
        many = _MANY.fullmatch(one.strip()) if isinstance(one, str) else None
        if many is not None:
            layer = network.resolve(many["layer"])
            shape = _shape(network, layer, size)
            if not shape:
                raise TargetError(f"layer '{layer}' has no channels: it is a single number")
            objectives += [parse(f"{layer}:{unit}{many['place'] or ''}") for unit in _units(many["units"], shape[0], layer)]
            continue
        whole = parse(one) if isinstance(one, str) else one
        objectives += [whole] if whole.batch is None or whole.coupled else [whole.item(index) for index in range(whole.batch)]
    if not objectives:
        raise UsageError("name at least one target, for instance conv4:7.")
    found = []
    for objective in objectives:
        target, count = one_target(network, objective, size), variants
        if target.coupled and objective.batch is not None:
            count = objective.batch
        if target.coupled and count < 2:
            raise UsageError(f"{objective} compares pictures with each other; ask for several of them with --variants 4 (variants=4)")
        found += [target] * count
    return found


def together(targets: Sequence[Target]) -> Objective:
    """Return the objective of a batch in which item i climbs target i; one gather where all are channels of one layer."""
    objectives = [target.given for target in targets]
    first = objectives[0]
    if targets[0].coupled:
        return first
    if len(objectives) > 1 and isinstance(first, Channel):
        alike = [one for one in objectives if type(one) is Channel and one.layer == first.layer and isinstance(one.unit, int)]
        if len(alike) == len(objectives):
            return Channel(first.layer, tuple(one.unit for one in alike if isinstance(one.unit, int)))
    return each(objectives)
