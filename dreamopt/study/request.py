"""What a study compares on what: its nets, contestants, units, budget and rules. It holds no tensor and no network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from dreamopt.recipes.settings import Settings
from dreamopt.study.axis import Axis, Value
from dreamopt.study.budget import Budget
from dreamopt.study.tuned import tuned_settings

Trial = Mapping[str, Value]
"""What a trial sets: values by the names of axes."""
Search = Literal["grid", "random", "sequential"]


@dataclass(frozen=True)
class Contestant:
    """A setting, and how it is tuned.

    Parameters
    ----------
    name : str
        In tables and file names; one study's contestants have different ones.
    settings : Settings
        Before tuning.
    axes : tuple of Axis
        What is tuned; none: it takes part as it is.
    says : mapping
        What the user said of it (preset, assignments), fit for JSON, for the report.
    """

    name: str
    settings: Settings
    axes: tuple[Axis, ...] = ()
    says: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def tuned(self, trial: Trial) -> Settings:
        """Return the settings of a trial; a schedule is multiplied so that it begins with the number tried."""
        return tuned_settings(self.settings, trial)

    def describe(self) -> dict[str, Any]:
        """Return the contestant fit for JSON."""
        return {
            "name": self.name,
            "settings": self.settings.describe(),
            "axes": [axis.describe() for axis in self.axes],
            "says": dict(self.says),
        }


@dataclass(frozen=True)
class StudyNet:
    """A net of a study, its units, and the nets that measure for it.

    Parameters
    ----------
    name : str
        In tables; one study's nets have different ones.
    load : mapping
        The net's name or path, ``net``, and the options that load it, as `dreamopt.recipes.replay.net_of` knows them; fit for JSON.
    described : mapping
        What the network says of itself (`Network.describe`), its weights' sha256 among it.
    units : tuple of str
        Targets that contestants are scored on, each one image: ``"conv4:7"``.
    tuning_units : tuple of str
        Others, that they are tuned on.
    size : (int, int)
        (H, W) at which images are measured, whatever their own size.
    """

    name: str
    load: Mapping[str, Any]
    described: Mapping[str, Any]
    units: tuple[str, ...]
    tuning_units: tuple[str, ...]
    size: tuple[int, int]

    def describe(self) -> dict[str, Any]:
        """Return the net fit for JSON."""
        return {
            "name": self.name,
            "load": dict(self.load),
            "net": dict(self.described),
            "units": list(self.units),
            "tuning_units": list(self.tuning_units),
            "size": list(self.size),
        }


@dataclass(frozen=True)
class Request:
    """What a study compares on what.

    Parameters
    ----------
    title : str
        Above the report.
    nets : tuple of StudyNet
        At least one.
    contestants : tuple of Contestant
        At least two.
    reference : Contestant
        Whose runs set the targets, and what 1 is on a unit's scale: the preset ``default`` as it is where nothing else is said.
    budget : Budget
        Of each run.
    seeds : int
        Runs of each contestant on each unit, at least 1; each from a start of its own, the same for all contestants.
    seed : int
        Of the study: starts, transforms' draws, sampled units and orders.
    trials : int
        Of each contestant that is tuned, at least 1.
    tuning_seeds : int
        Runs of each trial on each tuning unit, at least 1; their starts are no scored run's.
    search : {"grid", "random", "sequential"}
        How trials are chosen.
    race : bool
        Whether contestants that are behind beyond chance are stopped early while scoring, too; losing trials always are.
    criterion : str
        The measure by which trials are chosen and a winner is named.
    measures : tuple of str
        All that are taken of each image, by name, the criterion among them.
    also : tuple of mapping
        Other nets that images of classes are shown to: ``name``, ``load`` and ``described`` as of `StudyNet`.
    """

    title: str
    nets: tuple[StudyNet, ...]
    contestants: tuple[Contestant, ...]
    reference: Contestant
    budget: Budget
    seeds: int = 3
    seed: int = 0
    trials: int = 5
    tuning_seeds: int = 1
    search: Search = "grid"
    race: bool = False
    criterion: str = "held_out"
    measures: tuple[str, ...] = ("held_out",)
    also: tuple[Mapping[str, Any], ...] = ()

    def contestant(self, name: str) -> Contestant:
        """Return the contestant of a name; the reference has one of its own."""
        return next(one for one in (*self.contestants, self.reference) if one.name == name)

    def net(self, name: str) -> StudyNet:
        """Return the net of a name."""
        return next(net for net in self.nets if net.name == name)

    def describe(self) -> dict[str, Any]:
        """Return the request fit for JSON."""
        plain = ("title", "seeds", "seed", "trials", "tuning_seeds", "search", "race", "criterion")
        return {
            **{name: getattr(self, name) for name in plain},
            "budget": str(self.budget),
            "nets": [net.describe() for net in self.nets],
            "contestants": [contestant.describe() for contestant in self.contestants],
            "reference": self.reference.describe(),
            "measures": list(self.measures),
            "also": [dict(net) for net in self.also],
        }

    @cached_property
    def key(self) -> str:
        """The sha256 of `describe`."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()
