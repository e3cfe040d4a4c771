"""Runs of studies on the embedded net, small and quick."""

from __future__ import annotations

from typing import Any

from dreamopt.recipes.settings import Settings
from dreamopt.study.budget import Budget
from dreamopt.study.execution import RunMaker
from dreamopt.study.networks import NetWords, StudyNetworks
from dreamopt.study.request import Contestant, Request, StudyNet
from dreamopt.study.run import Run

LOAD = {"net": "tiny", "device": "cpu"}
UNITS = ("conv2:1", "conv2:2", "scores:3")


def run_of(settings: Settings | None = None, unit: str = "conv2:1", budget: str = "12evals", **changes: Any) -> Run:
    """Return a run of 28 x 24 pixels, measured at 30 x 32, unless the settings say otherwise."""
    settings = Settings(size=(28, 24)) if settings is None else settings
    given = {"phase": "score", "net": "tiny", "contestant": "one", "trial": {}, "number": 0, "measures": ("objective",)}
    given |= {"unit": unit, "settings": settings, "budget": Budget.read(budget), "size": (30, 32)}
    return Run(**given | changes)


def networks() -> StudyNetworks:
    """Return the embedded net as a study's."""
    return StudyNetworks({"tiny": NetWords(LOAD)})


def maker() -> RunMaker:
    """Return what makes runs in this process."""
    return RunMaker(networks())


def request_of(*contestants: Contestant, **changes: Any) -> Request:
    """Return a small study of the embedded net."""
    several = contestants or (Contestant("adam", Settings(size=24)), Contestant("ascent", Settings(size=24, optimizer="ascent")))
    net = StudyNet("tiny", LOAD, {}, UNITS, ("conv2:5",), (24, 24))
    given = {"title": "a small study", "nets": (net,), "contestants": several, "reference": several[0], "budget": Budget(6)}
    return Request(**given | {"seeds": 1, "measures": ("objective",), "criterion": "objective"} | changes)


def score_runs(request: Request) -> list[Run]:
    """Return the scoring runs of a small study, each contestant on each unit with each seed."""
    [net] = request.nets
    return [
        Run("score", net.name, one.name, {}, unit, number, one.tuned({"seed": 100 + number}), request.budget, net.size, request.measures)
        for unit in net.units
        for number in range(request.seeds)
        for one in request.contestants
    ]
