"""From what a user says to a `Request` and its open nets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from dreamopt.errors import UsageError, printable
from dreamopt.network import Network
from dreamopt.network.opening import open_network
from dreamopt.parts.arguments import check_flag, check_seed, check_text
from dreamopt.parts.checks import check_whole, several
from dreamopt.parts.net_words import NET_KEYS
from dreamopt.study.budget import Budget
from dreamopt.study.measure import SeedsMeasure
from dreamopt.study.measures_registry import measures as all_measures
from dreamopt.study.measures_registry import parse_measure
from dreamopt.study.request import Request, Search, StudyNet
from dreamopt.study.words.contestants import contestants_of, default_budget
from dreamopt.study.words.said import Said, SaidNet
from dreamopt.study.words.units import units_of

CRITERION = "held_out"
_CHOICES = {"device": "auto", "backend": "auto"}


@dataclass(frozen=True, eq=False)
class Resolved:
    """A study that is ready to be run.

    Parameters
    ----------
    request : Request
        What is compared on what.
    networks : mapping of str to Network
        Its nets, and those that measure, by name, where one of them was given open: other processes cannot load that.
    """

    request: Request
    networks: Mapping[str, Network] = field(default_factory=dict)


def resolve(said: Said, allow_python_layers: bool = False) -> Resolved:
    """Return the study that a user says: contestants made, nets opened, units drawn.

    Parameters
    ----------
    said : Said
        What the user says.
    allow_python_layers : bool
        Whether modules that Python layers name are imported.

    Raises
    ------
    UsageError
        For what does not fit.
    """
    seed = 0 if said.seed is None else check_seed("the study's seed", said.seed)
    trials = 5 if said.trials is None else check_whole("trials", said.trials)
    search = "grid" if said.search is None else said.search
    if search not in get_args(Search):
        raise UsageError(f"search must be grid, random or sequential, not '{printable(search, 80)}'")
    budget = None if said.budget is None else Budget.read(said.budget if isinstance(said.budget, str) else str(said.budget))
    criterion, measures = _measures(said)
    contestants, reference = contestants_of(said, trials)
    if any(one.name == reference.name for one in contestants):
        raise UsageError(f"a contestant is called '{reference.name}', which is the name of what sets the targets; give it another one")
    tuned = any(one.axes for one in contestants)
    nets, networks, loadable = [], dict[str, Network](), True
    for place, one in enumerate(said.nets or (SaidNet(),)):
        name = _name(one, networks)
        network, load = _opened(one, allow_python_layers)
        size = _size(network, one)
        units, tuning_units = units_of(network, one, size, seed + place, tuned)
        nets.append(StudyNet(name, load, network.describe(), units, tuning_units, size))
        networks[name] = network
        loadable = loadable and one.network is None
    also = []
    for one in said.also:
        name = _name(one, networks)
        networks[name], load = _opened(one, allow_python_layers)
        also.append({"name": name, "load": load, "described": dict(networks[name].describe())})
        loadable = loadable and one.network is None
    request = Request(
        title=_title(said, nets),
        nets=tuple(nets),
        contestants=contestants,
        reference=reference,
        budget=Budget(default_budget(reference)) if budget is None else budget,
        seeds=3 if said.seeds is None else check_whole("seeds", said.seeds),
        seed=seed,
        trials=trials,
        tuning_seeds=1 if said.tuning_seeds is None else check_whole("tuning_seeds", said.tuning_seeds),
        search=search,  # type: ignore[arg-type]  # checked above
        race=check_flag("race", said.race) if said.race is not None else False,
        criterion=criterion,
        measures=measures,
        also=tuple(also),
    )
    return Resolved(request, {} if loadable else networks)


def _measures(said: Said) -> tuple[str, tuple[str, ...]]:
    """Return the criterion, and all measures that are taken; all that there are where none are named."""
    criterion = CRITERION if said.criterion is None else check_text("the criterion", said.criterion)
    parts = [parse_measure(criterion), *(parse_measure(text) for text in said.measures)]
    names = [str(part) for part in parts]
    if isinstance(parts[0], SeedsMeasure):
        raise UsageError(f"{criterion} compares the images of a unit, so that it is no number of one run, and cannot choose a winner")
    if parts[0].better == "neither":
        raise UsageError(f"{criterion} says of no image that it is better than another one, and cannot choose a winner")
    # The objective reached and what was spent are in every report.
    added = ("objective", "evaluations", "seconds") if said.measures else all_measures.names()
    names += [str(parse_measure(name)) for name in added]
    return names[0], tuple(dict.fromkeys(names))


def _name(said: SaidNet, taken: Mapping[str, Network]) -> str:
    by_file = "tiny" if said.net is None else Path(said.net).stem if os.path.splitext(said.net)[1] else said.net
    stem = printable(said.name or (by_file if said.network is None else "net"), 80)
    if said.name is not None and said.name in taken:
        raise UsageError(f"two nets are called '{stem}'; give them different names")
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem} {number}", number + 1
    return name


def _opened(said: SaidNet, allow_python_layers: bool) -> tuple[Network, dict[str, Any]]:
    if said.network is not None:
        return said.network, {}
    options: dict[str, Any] = {key: said.options.get(key) for key in NET_KEYS}
    options |= {key: value for key, value in _CHOICES.items() if options[key] is None}
    network, repeat, _ = open_network(said.net, _pair(said.size), **options, allow_python_layers=allow_python_layers)
    return network, {"net": said.net} | repeat


def _size(network: Network, said: SaidNet) -> tuple[int, int]:
    """Return (H, W) at which a net's images are made and measured: as said, or as in the net's file."""
    item = network.item_shape(_pair(said.size))
    if not network.has_image_input or len(item) != 3:
        raise UsageError(f"a study compares images, and the input of this net is {network.input_shape}")
    return int(item[1]), int(item[2])


def _pair(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    many: Sequence[Any] = several(size) or (size, size)
    if len(many) != 2:
        raise UsageError(f"size must be a number of pixels or (height, width), not {size}")
    return check_whole("size", many[0]), check_whole("size", many[1])


def _title(said: Said, nets: Sequence[StudyNet]) -> str:
    return said.title if said.title is not None else f"Which settings are best for {', '.join(net.name for net in nets)}"
