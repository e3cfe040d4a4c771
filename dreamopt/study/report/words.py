"""Sentences of a report: what was compared, how it was fair, how it is run again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.study.analysis import Analysis
from dreamopt.study.report.numbers import number, seconds
from dreamopt.study.request import Request
from dreamopt.study.run import Row

AGAIN = "again.toml"
"""The study file in a study's folder, from which it is run again."""


def several(count: int, what: str) -> str:
    """Return a count with its noun.

    >>> several(1, "unit"), several(3, "unit")
    ('1 unit', '3 units')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def spend(request: Request) -> str:
    """Return the budget of a run in words."""
    amount = number(request.budget.amount)
    return f"{amount} evaluations" if request.budget.kind == "evals" else f"{amount} seconds"


def subtitle(request: Request, analysis: Analysis) -> str:
    """Return what was compared on what, in one line."""
    units = sum(len(net.units) for net in request.nets)
    nets = request.nets[0].name if len(request.nets) == 1 else several(len(request.nets), "net")
    parts = (several(len(request.contestants), "contestant"), f"{several(units, 'unit')} of {nets}", several(request.seeds, "seed"))
    return f"{', '.join(parts)}, {spend(request)} a run; judged by {analysis.criterion}"


def kind_of(analysis: Analysis) -> str:
    """Return the heading of the verdict."""
    if not analysis.complete:
        return "So far"
    return "A winner" if analysis.winner is not None else "No winner"


def fairness(request: Request) -> str:
    """Return how contestants were compared."""
    tuned = [one for one in request.contestants if one.axes]
    tuning = max((len(net.tuning_units) for net in request.nets), default=0)
    sentences = ["Every contestant saw the same units, each from the same starts and through the same draws of the transforms."]
    if tuned:
        who = "Each" if len(tuned) == len(request.contestants) else f"{len(tuned)} of {len(request.contestants)} contestants"
        sentences.append(
            f"{who} had {several(request.trials, 'trial')} ({request.search} search) on {several(tuning, 'tuning unit')}, "
            "and was scored on other units with other seeds."
        )
        if len(tuned) < len(request.contestants):
            sentences.append("The others take part as they are.")
    else:
        sentences.append("None was tuned: all take part as they are.")
    return " ".join(sentences)


def range_ends(analysis: Analysis) -> list[str]:
    """Return a sentence for each tuned value at the end of its range, beyond which a better one may lie."""
    return [
        f"{tuning.contestant}: the best {one.axis}, {one.chosen}, is at the end of its range; a better one may lie beyond."
        for tuning in analysis.tuning
        for one in tuning.sensitivity
        if one.at_end
    ]


def facts(request: Request, analysis: Analysis, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return how the study was run, as names and values."""
    saved = analysis.saved
    evaluations, spent = sum(row.evaluations for row in rows), math.fsum(row.seconds for row in rows)
    parts: list[tuple[str, Any]] = [
        ("budget", f"{spend(request)} for each run; an evaluation is one view of one image through the net, forward and backward"),
        ("clock", "stands still while images are measured and saved; the first run of each process is made once before, untimed"),
        ("criterion", f"{analysis.criterion}, {analysis.better} is better"),
        ("measures", ", ".join(request.measures)),
        ("reference", f"{analysis.reference}, in {several(request.seeds, 'run')} on each unit"),
        ("seeds", f"{request.seeds} a unit, from study seed {request.seed}; tuning has others"),
        ("tuning", f"{request.search} search, {several(request.trials, 'trial')} each, {several(request.tuning_seeds, 'seed')} a unit"),
        ("stopping early", f"losing trials{', and contestants that are behind' if request.race else ''}"),
        ("saved by stopping early", f"{several(saved.runs, 'run')}, {several(saved.evaluations, 'evaluation')}"),
        ("spent", f"{several(len(rows), 'run')}, {several(evaluations, 'evaluation')}, {seconds(spent)} of computing"),
        ("statistics", f"{analysis.confidence:.0%} intervals by {analysis.resamples:,} bootstrap draws, seed {analysis.seed}"),
    ]  # fmt: skip
    for net in request.nets:
        loaded = ", ".join(f"{name} {value}" for name, value in net.load.items() if value is not None)
        weights = str(net.described.get("weights_sha256", ""))[:16]
        parts.append((f"net {net.name}", f"{loaded}; weights {weights}; images measured at {net.size[0]} x {net.size[1]}"))
        parts.append((f"tuning units of {net.name}", ", ".join(net.tuning_units) or "none"))
    parts += [("other net", str(net.get("name"))) for net in request.also]
    return parts


def again(request: Request, files: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return how the study is run again, and the commands and the study file for it."""
    words = f"In this folder; the study's key is {request.key[:16]}."
    if AGAIN not in files:
        return f"{words} Its settings name files, so it has no study file.", ["dreamopt bench report ."]
    words += f" {AGAIN} says the whole study, units and settings as they were; the other command makes this page again, from the rows."
    return words, [f"dreamopt bench {AGAIN} -o again", "dreamopt bench report .", files[AGAIN]]
