"""Target strings of the command line: single objectives, lists, ranges and wildcards, as one sample for each image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dreamopt.errors import ShapeError, TargetError, UsageError
from dreamopt.network import Network, Size
from dreamopt.network.class_layer import classes_in
from dreamopt.objective import Objective, each
from dreamopt.objective.strings import PLACES, parse, unit_objective
from dreamopt.objectives import Channel, ClassScore
from dreamopt.parts.arguments import check_kind, check_several
from dreamopt.parts.checks import check_whole
from dreamopt.parts.limits import exceeds

_MANY = re.compile(r"(?!-)(?P<layer>[^\s|\"()*]+):(?P<units>\*|\d+(?:-\d+)?(?:\s*,\s*\d+(?:-\d+)?)*)(?P<place>@.+)?", re.DOTALL)
_SLUG = re.compile(r"[^\w.@,+=-]+")
_MINUS = re.compile(r"(^|(?<=[\s(|]))-\s*(?=[^\s-])")


@dataclass(frozen=True)
class Sample:
    """One image to make.

    Parameters
    ----------
    objective : Objective
        What it is optimized for, as it was given: a neuron in the centre is at another place at another size.
    item : int
        Its number among equal targets, which names its random streams. So an image does not depend on what else is rendered, and
        a target given twice gives two images.
    text : str
        The target with one unit, for files and captions; labels and centres as numbers.
    label : str or None
        The class's name, where the target is a unit of a layer with as many units as there are labels.
    """

    objective: Objective
    item: int
    text: str
    label: str | None = None

    @property
    def coupled(self) -> bool:
        """Whether its image is compared with others, and can only be made together with them."""
        return self.objective.coupled

    @property
    def slug(self) -> str:
        """A file name's stem: the text, with a class that was asked by its name as that name; see `target_slug`."""
        given = self.objective
        if isinstance(given, ClassScore) and isinstance(given.unit, str):
            return target_slug(f"{given.layer}:{given.unit}")
        return target_slug(self.text)

    @property
    def caption(self) -> str:
        """What a contact sheet says below the image: the text, and the class in a second line."""
        return self.text if self.label is None or self.label in self.text else f"{self.text}\n{self.label}"


def target_slug(text: str) -> str:
    """Return a target as a file name's stem: what file systems dislike is replaced, and a sign before a term is a word.

    >>> [target_slug(text) for text in ("conv4:7@3,5", "-scores:stars", "conv4:7 - 2*fc8:tabby cat")]
    ['conv4-7@3,5', 'minus-scores-stars', 'conv4-7-minus-2-fc8-tabby-cat']
    """
    return _SLUG.sub("-", _MINUS.sub("minus ", text).replace(":", "-")).strip("-.") or "target"


def read_targets(network: Network, targets: str | Objective | Sequence[str | Objective], size: Size = None) -> list[Objective]:
    """Return one objective for each target, as given; each string is read once.

    Raises
    ------
    TargetError
        For a range of units that the layer does not have.
    UsageError
        When there is none.
    """
    alone = isinstance(targets, str | Objective)
    several: Sequence[Any] = [targets] if alone else check_several("targets", targets, "targets, each a string or an objective")
    objectives: list[Objective] = []
    for target in several:
        many = _MANY.fullmatch(target.strip()) if isinstance(target, str) else None
        place = None if many is None or many["place"] is None else PLACES.fullmatch(f"{many['layer']}:0{many['place']}")
        if many is not None and not many["units"].isdecimal() and (place is not None or many["place"] is None):
            layer = network.resolve(many["layer"])
            shape = _shape(network, layer, size)
            for unit in _units(many["units"], shape[0], layer):
                check_images(len(objectives) + 1)
                objectives.append(unit_objective(layer, (unit,), None if place is None else place[2]))
            continue
        whole = parse(target) if isinstance(target, str) else check_kind("a target", target, Objective, "a string or an objective")
        classes = _several_classes(network, whole)
        if classes:
            objectives += classes
            continue
        objectives += [whole] if whole.batch is None or whole.coupled else [whole.item(index) for index in range(whole.batch)]
    if not objectives:
        raise UsageError("name at least one target, for instance conv4:7.")
    return objectives


def one_each(network: Network, targets: Sequence[str], size: Size = None) -> list[str]:
    """Return targets with one unit each, as strings: those that name several become as many, others stay as they were given.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> one_each(load_net(), ["scores:stars,moons", "conv2:0-1", "2*conv2:3"])
    ['scores:stars', 'scores:moons', 'conv2:0', 'conv2:1', '2*conv2:3']
    """
    found: list[str] = []
    for target in targets:
        objectives = read_targets(network, target, size)
        found += [target] if len(objectives) == 1 else map(str, objectives)
    return found


def bind_target(network: Network, objective: Objective, size: Size = None) -> Objective:
    """Return an objective bound to the network for an input of this size.

    Where the objective's layers cannot be reached with it, it is bound for the size in the net's file: transforms may show the net
    windows of a larger image, and a problem without such transforms says what does not fit.
    """
    try:
        return objective.bind(network, network.item_shape(size)[1:] or None)
    except ShapeError:
        if size is None:
            raise
        return bind_target(network, objective)


def bound_samples(
    network: Network, objectives: Sequence[Objective], size: Size = None, variants: int = 1
) -> list[tuple[Sample, Objective]]:
    """Return one sample for each image with its bound objective; each objective is bound once.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    UsageError
        For a single image of an objective that compares images.
    """
    samples: list[tuple[Sample, Objective]] = []
    count_of = Counter[str]()
    for objective in objectives:
        bound, count = bind_target(network, objective, size), check_whole("variants", variants)
        if objective.coupled and objective.batch is not None:
            count = objective.batch
        if objective.coupled and count < 2:
            raise UsageError(f"{objective} compares images with each other; ask for several of them with --variants 4 (variants=4)")
        text, label = str(bound), _label(network, bound, size)
        check_images(len(samples) + count)
        for _ in range(count):
            samples.append((Sample(objective, count_of[text], text, label), bound))
            count_of[text] += 1
    return samples


def check_images(count: int) -> None:
    """Refuse a job of more images than anybody looks at.

    Raises
    ------
    UsageError
        With what allows more.
    """
    allowed = exceeds("images", count)
    if allowed:
        raise UsageError(f"the job has {count} images or more, but {allowed}; name fewer units or variants")


def expand(network: Network, targets: str | Objective | Sequence[str | Objective], size: Size = None, variants: int = 1) -> list[Sample]:
    """Return one sample per image.

    Parameters
    ----------
    network : Network
        What the targets are looked up in.
    targets : str, Objective, or a sequence of them
        Anything `dreamopt.objective.strings.parse` reads, and ``layer:0-15``, ``layer:1,5,9-12``, ``layer:*``; an objective for several
        samples counts as one target for each.
    size : int or (int, int), optional
        The input's size in pixels.
    variants : int
        How many images of each target, at least 1, each from a start of its own.

    Returns
    -------
    list of Sample
        In the order given; an objective that compares the samples of a batch stands there once for each of them, the same object.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    UsageError
        When there is none.
    """
    return [sample for sample, _ in bound_samples(network, read_targets(network, targets, size), size, variants)]


def batch_objective(samples: Sequence[Sample]) -> Objective:
    """Return the objective of a batch, each sample's own; one gather where all are channels of one layer."""
    objectives = [sample.objective for sample in samples]
    return objectives[0] if samples[0].coupled else merged(objectives)


def merged(objectives: Sequence[Objective]) -> Objective:
    """Return one objective for a batch, item i of it ``objectives[i]``; of channels of one layer, one of several units."""
    first = objectives[0]
    if len(objectives) > 1 and isinstance(first, Channel):
        alike = [
            channel for channel in objectives if type(channel) is Channel and channel.layer == first.layer and isinstance(channel.unit, int)
        ]
        if len(alike) == len(objectives):
            return Channel(first.layer, tuple(channel.unit for channel in alike if isinstance(channel.unit, int)))
    return each(objectives)


def _several_classes(network: Network, objective: Objective) -> list[Objective]:
    """Return an objective for each of several classes that are named with commas between them; [] for one, whose name may hold commas.

    Raises
    ------
    TargetError
        Where one of the names is no class's.
    """
    if not isinstance(objective, ClassScore) or not isinstance(objective.unit, str) or "," not in objective.unit or network.labels is None:
        return []
    names = classes_in(network.labels, objective.unit)
    if len(names) == 1:
        return []
    several: list[Objective] = []
    for name in names:
        if name.isdecimal():
            several.append(unit_objective(objective.layer, (int(name),)))
        else:
            network.find_label(name)  # which says what is wrong with this one
            several.append(ClassScore(objective.layer, name))
    return several


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
    if _shape(network, objective.layer, size)[0] != len(network.labels):
        return None
    return network.labels[objective.unit]


def _shape(network: Network, layer: str, size: Size) -> tuple[int, ...]:
    try:
        return network.shape_of(layer, size)
    except ShapeError:
        return network.shape_of(layer)
