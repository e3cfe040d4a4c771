"""The units of a study: those that a user names, or drawn evenly over layers; and others, of the same layers, to tune on."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dreamopt.errors import DreamoptError, ShapeError, UsageError, in_brackets, suggest
from dreamopt.network import Network
from dreamopt.network.distinct import distinct_layers
from dreamopt.network.maps import maps_of, trunk
from dreamopt.objective import Objective, UnitObjective
from dreamopt.objectives import Channel
from dreamopt.parts.checks import check_whole
from dreamopt.recipes.targets import bound_samples, read_targets
from dreamopt.study.words.said import SaidNet

FEWEST, MOST = 4, 12
"""Tuning units: half as many as scored ones, but no fewer and no more than these."""
Size = tuple[int, int]


@dataclass(frozen=True)
class Unit:
    """One unit.

    Parameters
    ----------
    text : str
        As the target is said.
    objective : Objective
        Likewise, one image's.
    identity : tuple
        What tells it from others: layer and number, or the text.
    """

    text: str
    objective: Objective
    identity: tuple[Any, ...]


def units_of(network: Network, said: SaidNet, size: Size, seed: int, tuned: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the targets that contestants are scored on, and those that they are tuned on.

    Parameters
    ----------
    network : Network
        The net.
    said : SaidNet
        What the user says of it.
    size : (int, int)
        (H, W) of the images.
    seed : int
        By which units are drawn.
    tuned : bool
        Whether anybody is tuned; if not, there are no tuning units.

    Raises
    ------
    UsageError
        For targets that compare images, that stand twice, or that both are scored and tuned on.
    """
    rng = np.random.default_rng((seed, 1))
    if said.sample is not None and said.targets:
        raise UsageError("give targets, or how many are drawn by --sample, not both")
    if said.sample is not None:
        scored = drawn(network, said.layers, check_whole("--sample", said.sample), size, rng)
    elif said.targets:
        if said.layers:
            raise UsageError("--layers says of which layers --sample draws; give --sample 12, too")
        scored = read_units(network, said.targets, size)
    else:
        raise UsageError("say on which units contestants are compared: -t conv4:0-7, or --sample 12")
    twice = next((one for place, one in enumerate(scored) if one.identity in {other.identity for other in scored[:place]}), None)
    if twice is not None:
        raise UsageError(f"the unit {twice.text} stands twice among the targets")
    if not tuned:
        return tuple(one.text for one in scored), ()
    tuning = read_units(network, said.tune_on, size) if said.tune_on else neighbours(network, scored, size, rng)
    both = next((one for one in tuning if one.identity in {other.identity for other in scored}), None)
    if both is not None:
        raise UsageError(f"contestants are tuned on {both.text}, and scored on it, too; a fair comparison scores on other units")
    return tuple(one.text for one in scored), tuple(one.text for one in tuning)


def read_units(network: Network, targets: Sequence[Any], size: Size) -> list[Unit]:
    """Return the units that targets say, each its own image."""
    return [_unit(network, objective, size) for objective in read_targets(network, list(targets), size)]


def drawn(network: Network, patterns: Sequence[str], count: int, size: Size, rng: np.random.Generator) -> list[Unit]:
    """Return so many units, evenly over the layers that patterns name, or over the net's trunk and its classes."""
    counts = {layer: there for layer in _layers(network, patterns) if (there := _count(network, layer, size))}
    if not counts:
        raise UsageError("no layer that units could be drawn of can be computed at this size")
    if sum(counts.values()) < count:
        raise UsageError(f"there are {sum(counts.values())} units in {', '.join(counts)}, fewer than the {count} of --sample")
    layers = list(counts)
    if count < len(layers):
        layers = [layers[round((k + 0.5) * len(layers) / count - 0.5)] for k in range(count)]
    left = {layer: rng.permutation(counts[layer]).tolist() for layer in layers}
    units: list[Unit] = []
    while len(units) < count:
        for layer in layers:
            if left[layer] and len(units) < count:
                units.append(_unit(network, Channel(layer, int(left[layer].pop())), size))
    return sorted(units, key=lambda one: (layers.index(one.identity[0]), one.identity[1]))


def neighbours(network: Network, scored: Sequence[Unit], size: Size, rng: np.random.Generator) -> list[Unit]:
    """Return other units of the same layers, of class layers other classes: half as many, but at least four."""
    alone = [one for one in scored if isinstance(one.objective, UnitObjective)]
    if not alone:
        raise UsageError(
            f"no other units are like {scored[0].text}; name those that contestants are tuned on by --tune-on, or give --trials 1"
        )
    wanted, taken = min(max(FEWEST, (len(scored) + 1) // 2), MOST), {one.identity for one in scored}
    order = rng.permutation(len(alone)).tolist()
    free: dict[str, list[int]] = {}
    for one in alone:
        layer = one.identity[0]
        if layer not in free:
            count = _count(network, layer, size)
            free[layer] = [unit for unit in rng.permutation(count).tolist() if (layer, unit) not in taken]
    chosen: list[Unit] = []
    while len(chosen) < wanted and any(free.values()):
        for place in order:
            one = alone[place]
            if free[one.identity[0]] and len(chosen) < wanted:
                unit = int(free[one.identity[0]].pop())
                other: Objective = dataclasses.replace(cast(Any, one.objective), unit=unit)
                chosen.append(_unit(network, other, size))
    if len(chosen) < FEWEST:
        raise UsageError(
            f"only {len(chosen)} other units are left in {', '.join(free)} to tune on, and at least {FEWEST} are needed; name others by "
            "--tune-on, or fewer targets, or give --trials 1"
        )
    return chosen


def _unit(network: Network, objective: Objective, size: Size) -> Unit:
    if objective.coupled:
        raise UsageError(f"{objective} compares images with each other, and a study's units are of one image each")
    [(sample, bound)] = bound_samples(network, [objective], size)
    alone = isinstance(bound, UnitObjective) and isinstance(bound.unit, int)
    identity = (bound.layer, bound.unit) if alone and isinstance(bound, UnitObjective) else (sample.text,)
    return Unit(str(objective), objective, identity)


def _count(network: Network, layer: str, size: Size) -> int:
    try:
        return network.shape_of(layer, size)[0]
    except ShapeError:
        return 0


def _layers(network: Network, patterns: Sequence[str]) -> list[str]:
    distinct = distinct_layers(network)
    if not patterns:
        return _trunk(network, distinct)
    layers: list[str] = []
    for pattern in patterns:
        found = _matching(pattern, distinct) or [
            network.resolve(name) for name in _matching(pattern, [layer.name for layer in network.layers])
        ]
        if not found:
            hint = in_brackets(suggest(pattern, distinct, 1))
            raise UsageError(f"no layer of the net is called '{pattern}'{hint}; give a name or a pattern, as --layers 'conv*'")
        layers += found
    return list(dict.fromkeys(layers))


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _trunk(network: Network, distinct: Sequence[str]) -> list[str]:
    """Return the layers that every path of the net goes through, and the one with the classes."""
    try:
        maps = maps_of(network)
        end = max((value for value in maps if maps[value].depth > 0), key=lambda value: (maps[value].depth, value))
        names = [network.graph.name(*value) for value in trunk(network, maps, end)]
    except (DreamoptError, ValueError):  # no image, or nothing with a map
        names = list(distinct)
    classes = 0 if network.labels is None else len(network.labels)
    last = [layer for layer in distinct if classes and _count_or_none(network, layer) == classes and not _is_softmax(network, layer)]
    return list(dict.fromkeys([*names, *last[-1:]]))


def _count_or_none(network: Network, layer: str) -> int | None:
    try:
        return network.shape_of(layer)[0]
    except DreamoptError:
        return None


def _is_softmax(network: Network, layer: str) -> bool:
    return any(info.type == "Softmax" and layer in (info.name, *info.tops) for info in network.layers)
