"""Studies without a net: requests, and plausible rows with small images, as an executor would have given them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamopt.image.writing import write_image
from dreamopt.recipes.settings import Settings
from dreamopt.study.axis import Axis
from dreamopt.study.budget import Budget
from dreamopt.study.request import Contestant, Request, StudyNet
from dreamopt.study.run import Row, Run, Trace

MACHINE = {"cpu": "a CPU of tests", "device": "cpu", "threads": 1, "processes": 2, "batch": 1, "torch": "2.4.0", "dreamopt": "0.1.0"}
MEASURES = ("held_out", "objective", "total_variation", "seconds")
SETTINGS = {
    "adam": Settings(),
    "ascent": Settings(optimizer="ascent"),
    "lbfgs": Settings(optimizer="lbfgs", views=2),
    "lucid": Settings(optimizer="adam(12.75)", transforms="lucid", blur=0, jitter=0),
}


def contestant(name: str, tuned: bool = True, settings: Settings | None = None) -> Contestant:
    """Return a contestant of a name; where it is tuned, by its step size."""
    own = settings or SETTINGS.get(name, Settings(views=1 + sum(map(ord, name)) % 3))
    axes = (Axis("optimizer.step_size", 0.5, 8.0),) if tuned and name != "lbfgs" else ()
    return Contestant(name, own, axes, {"optimizer": name})


def request(
    names: Sequence[str] = ("adam", "ascent", "lucid"), *, units: int = 8, nets: int = 1, seeds: int = 3, tuned: bool = True, **more: Any
) -> Request:
    """Return a request of so many units on each net; the other fields as of `Request`."""
    kinds = [
        StudyNet(
            name=f"net{number}" if number else "squeezenet",
            load={"net": f"net{number}.prototxt"},
            described={"weights_sha256": f"{number:064x}"},
            units=tuple(f"conv{1 + unit % 4}:{unit}" for unit in range(units)),
            tuning_units=tuple(f"conv{1 + unit % 4}:{100 + unit}" for unit in range(4)),
            size=(24, 20),
        )
        for number in range(nets)
    ]
    fields = {
        "title": "Which optimizer",
        "nets": tuple(kinds),
        "contestants": tuple(contestant(name, tuned) for name in names),
        "reference": Contestant("default", Settings()),
        "budget": Budget(512),
        "seeds": seeds,
        "measures": MEASURES,
    }
    return Request(**fields | more)


def points(budget: int) -> list[int]:
    """Return evaluations at which a trace has its points: 0, and from 1 on about 2**(1/4) apart."""
    counts = [round(2 ** (k / 4)) for k in range(int(4 * math.log2(budget)) + 1)]
    return [0, *dict.fromkeys([*counts, budget])]


def rows(
    asked: Request,
    quality: Mapping[str, float],
    *,
    folder: Path | None = None,
    seed: int = 0,
    noise: float = 0.05,
    failed: Mapping[tuple[str, str, int], str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> list[Row]:
    """Return the rows of a whole study.

    Parameters
    ----------
    asked : Request
        What was compared.
    quality : mapping of str to float
        Each contestant's part of the reference's gain, tuned best; 1 as good as the reference.
    folder : Path, optional
        Where images are written; none: rows name images that are not there.
    seed : int
        Of all chance in it.
    noise : float
        Spread between seeds, of a unit's gain; a unit's own scale is anything.
    failed : mapping
        Reasons by contestant, unit and number.
    labels : mapping
        Classes by unit.
    """
    rng = np.random.default_rng(seed)
    scales = {(net.name, unit): tuple(rng.uniform(0.5, 40, 2)) for net in asked.nets for unit in (*net.units, *net.tuning_units)}
    reasons = failed or {}
    named = labels or {}

    def made(run: Run, share: float) -> Row:
        low, gain = scales[run.net, run.unit]
        reason = reasons.get((run.contestant, run.unit, run.number), "") if run.phase == "score" else ""
        value = max(share + noise * rng.normal(), 0.02)
        rate = 90.0 * (1.2 if run.contestant == "lbfgs" else 1.0)
        at = points(int(asked.budget.amount) if asked.budget.kind == "evals" else 256)
        trace = Trace(
            tuple(at),
            tuple(round(float(count * 0.011 * (1 + 0.2 * share)), 6) for count in at),
            tuple(float(low + gain * value * (1 - math.exp(-count / rate)) / (1 - math.exp(-at[-1] / rate))) for count in at),
        )
        if reason:
            trace = Trace(trace.evaluations[:1], trace.seconds[:1], trace.values[:1])
        values: dict[str, float | None] = {
            "held_out": low + gain * value * (1 + 0.02 * rng.normal()),
            "objective": trace.values[-1],
            "total_variation": 24 * value + rng.normal(),
            "seconds": trace.seconds[-1],
            "probability": None,
        }
        image = f"images/{run.key}.png" if not reason else ""
        if folder is not None and image:
            path = folder / image
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, pattern(run, value), {"study": run.key})
        return Row.of(
            run,
            "failed" if reason else "done",
            reason=reason,
            evaluations=trace.evaluations[-1],
            seconds=trace.seconds[-1],
            steps=0 if reason else trace.evaluations[-1] // run.settings.views,
            measures={} if reason else {name: _plain(values.get(name)) for name in asked.measures},
            trace=trace,
            label=named.get(run.unit),
            image=image,
            machine=MACHINE,
        )

    return [made(run, share) for run, share in _runs(asked, quality)]


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)


def pattern(run: Run, value: float) -> Any:
    """Return a small image that differs between runs."""
    y, x = np.mgrid[: run.size[0], : run.size[1]]
    phase = int(run.key[:6], 16) / 2**24
    waves = [np.sin((2 + channel + 3 * phase) * x / 4 + value * y / 3 + 6 * phase) for channel in range(3)]
    return np.round(127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def _runs(asked: Request, quality: Mapping[str, float]) -> Iterator[tuple[Run, float]]:
    """Yield runs, each with the part of the reference's gain that it reaches."""

    def run(phase: Any, net: StudyNet, who: Contestant, trial: Mapping[str, Any], unit: str, number: int) -> Run:
        seed = 1000 * (phase == "tune") + number
        settings = dataclasses.replace(who.tuned(trial), seed=seed)
        sha = str(net.described["weights_sha256"])
        return Run(phase, net.name, who.name, trial, unit, number, settings, asked.budget, net.size, asked.measures, (), sha)

    for net in asked.nets:
        for unit in net.units:
            yield from ((run("reference", net, asked.reference, {}, unit, number), 1.0) for number in range(asked.seeds))
    for who in asked.contestants:
        best, most = dict[str, Any](), -math.inf
        for step in who.axes[0].grid(asked.trials) if who.axes else ():
            away = math.log2(float(step) / 2)  # 2 is the best step size
            share = quality[who.name] * math.exp(-0.08 * away**2)
            trial = {who.axes[0].name: step}
            for net in asked.nets:
                for unit in net.tuning_units:
                    yield from ((run("tune", net, who, trial, unit, number), share) for number in range(asked.tuning_seeds))
            if share > most:
                best, most = trial, share
        for net in asked.nets:
            for unit in net.units:
                for number in range(asked.seeds):
                    yield run("score", net, who, best, unit, number), quality[who.name] if not who.axes else most
