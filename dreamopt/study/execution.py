"""Making runs: each a plan like any other, with a clock, a trace and a budget; what comes of it is a row and an image."""

from __future__ import annotations

import json
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamopt.errors import DreamoptError, DreamoptWarning, OutOfMemoryError, UsageError
from dreamopt.image.channels import channels_path
from dreamopt.image.covering import covering
from dreamopt.image.writing import eight_bits
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.optimize import Progress
from dreamopt.optimize.optimizer import LineSearch
from dreamopt.parts.memory import release_memory
from dreamopt.recipes import Plan, Rendered, execute_batch, plan_render
from dreamopt.recipes.memory import in_memory
from dreamopt.recipes.rendered import write_rendered
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.targets import bind_target
from dreamopt.study.clock import Clock
from dreamopt.study.commands import replay_command
from dreamopt.study.finished import as_finished
from dreamopt.study.machine import describe_machine
from dreamopt.study.measures_registry import take
from dreamopt.study.networks import StudyNetworks
from dreamopt.study.peak import PeakMemory
from dreamopt.study.run import Row, Run, Trace
from dreamopt.study.spending import Spending, with_steps_of_each, within_evaluations, within_seconds
from dreamopt.study.tracing import ApartError, Probe, Tracer, at_size

IMAGES = "images"
"""The folder of a study's images, in its own."""
_WARM, _TIMED = 1, 9
"""Steps of an untimed run before the first of its kind, and of one by which the rate is known: two periods of what acts every fourth."""
Stop = Callable[[], bool] | None


@dataclass(frozen=True, eq=False)
class RunOutput:
    """What a run gave.

    Parameters
    ----------
    row : Row
        Its numbers.
    image : bytes or None
        The image's file; None where there is none.
    channels : bytes or None
        The file beside it that keeps all channels, where the colours do not.
    """

    row: Row
    image: bytes | None = None
    channels: bytes | None = None


class RunMaker:
    """Makes runs in this process.

    Parameters
    ----------
    networks : StudyNetworks
        The nets.
    machine : mapping
        More for rows to say of the machine: how many processes.
    """

    def __init__(self, networks: StudyNetworks, machine: Mapping[str, Any] | None = None) -> None:
        self.networks, self.machine = networks, dict(machine or {})
        self._warm: set[str] = set()
        self._rates: dict[str, list[float]] = {}

    def make(self, runs: Sequence[Run], stop: Stop = None) -> list[RunOutput]:
        """Make runs, as one batch where they can be.

        Parameters
        ----------
        runs : sequence of Run
            With equal settings, net, budget and measures; they differ in the unit.
        stop : callable, optional
            Asked after each step; once it returns True, KeyboardInterrupt is raised.

        Raises
        ------
        UsageError
            For weights that have changed since the study began. What fails in a run itself is in its row.
        """
        network, _ = self.networks.network(runs[0].net), self.networks.others(runs[0].also)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DreamoptWarning)  # what they say is in rows
            if len(runs) > 1 and can_share(runs[0]):
                try:
                    return self._attempt(runs, network, stop)
                except (ApartError, DreamoptError):
                    release_memory(reserves=True)
            return [self._alone(run, network, stop) for run in runs]

    def _alone(self, run: Run, network: Network, stop: Stop) -> RunOutput:
        for last in (False, True):
            try:
                return self._attempt([run], network, stop)[0]
            except OutOfMemoryError as problem:
                if last:
                    return RunOutput(failed(run, str(problem), self._describe(network, 1)))
                release_memory(reserves=True)
            except DreamoptError as problem:
                return RunOutput(failed(run, str(problem), self._describe(network, 1)))
        raise AssertionError

    def _attempt(self, runs: Sequence[Run], network: Network, stop: Stop) -> list[RunOutput]:
        first = runs[0]
        units = [run.unit for run in runs]
        settings = replace(first.settings, batch_size=len(runs))
        spending = self._spending(first, units, settings, network)
        plan = plan_render(network, units, spending.settings)
        if len(plan.samples) != len(runs):
            raise UsageError(f"a unit of a study is one image, and {', '.join(units)} are {len(plan.samples)}")
        plan = replace(plan, evaluations=spending.evaluations, provenance=self.networks.provenance(first.net))
        outputs: dict[int, RunOutput] = {}
        for number, places in enumerate(plan.batches):
            outputs |= self._batch([runs[place] for place in places], plan, number, network, stop)
        return [outputs[place] for place in range(len(runs))]

    def _spending(self, run: Run, units: Sequence[str], settings: Settings, network: Network) -> Spending:
        """Return the settings for the budget; what they begin with is warm then."""
        short = with_steps_of_each(settings, _WARM)
        kind = _kind(run, units, settings, network)
        if run.budget.kind == "evals":
            spending = within_evaluations(settings, int(run.budget.amount))
            if kind not in self._warm:
                _try(network, units, short)
            self._warm.add(kind)
            return spending
        key = json.dumps([kind, {**settings.describe(), "seed": 0}], sort_keys=True)
        if key not in self._rates:
            _try(network, units, short)
            self._rates[key] = _rates(network, units, settings)
        return within_seconds(settings, run.budget.amount, self._rates[key])

    def _batch(self, runs: Sequence[Run], plan: Plan, number: int, network: Network, stop: Stop) -> dict[int, RunOutput]:
        places, size = plan.batches[number], runs[0].size
        network = in_memory(plan, network)
        probe = Probe(network, [_objective(plan, network, place, size) for place in places], size)
        limit = runs[0].budget.amount if runs[0].budget.kind == "seconds" else None
        peak, clock = PeakMemory(network.device), Clock(network.device)
        tracer = Tracer(clock, probe, [stage.views for stage in plan.stages], limit)
        rendered = execute_batch(plan, network, number, callbacks=[tracer], trial=tracer, stop=stop, begin=tracer.begin)
        memory = peak.bytes()
        _check_interrupt(rendered)
        if len(runs) > 1 and any(one.dead is not None or one.metadata["stopped"] for one in rendered):
            raise ApartError
        with clock.stopped():
            last = _written(rendered[0], network, size) if rendered[0].metadata["stopped"] else None
        seconds = tracer.end(rendered[0].metadata["evaluations_made"], last)
        facts = {"seconds": seconds / len(runs)} | ({} if memory is None else {"memory": float(memory)})
        outputs = (
            self._finish(run, one, tracer.trace(k), network, facts, len(runs))
            for k, (run, one) in enumerate(zip(runs, rendered, strict=True))
        )
        return dict(zip(places, outputs, strict=True))

    def _finish(self, run: Run, rendered: Rendered, trace: Trace, network: Network, facts: Mapping[str, float], batch: int) -> RunOutput:
        machine = self._describe(network, batch)
        reason = rendered.dead if rendered.dead is not None else _why_not_finite(rendered, trace)
        metadata = rendered.metadata
        spent: dict[str, Any] = {
            "evaluations": metadata["evaluations_made"],
            "steps": metadata["steps_made"],
            "seconds": facts["seconds"],
            "trace": trace,
        }
        if reason is not None:
            return RunOutput(replace(failed(run, reason, machine), **spent, label=rendered.sample.label))
        path = f"{IMAGES}/{run.key}.png"
        rendered = replace(rendered, metadata={**metadata, "command": replay_command(path, metadata["load"])})
        facts = {**facts, "evaluations": float(metadata["evaluations_made"]), "start": trace.values[0]}
        image, others = _written(rendered, network, run.size), self.networks.others(run.also)
        finished = as_finished(network, run.unit, rendered.image, run.size, image=image, others=others, facts=facts)
        try:
            measures, features = take(run.measures, finished)
        except DreamoptError as problem:
            return RunOutput(replace(failed(run, str(problem), machine), **spent, label=rendered.sample.label))
        with tempfile.TemporaryDirectory() as folder:
            file = write_rendered(rendered, Path(folder) / f"{run.key}.png")
            beside = channels_path(file)
            files = file.read_bytes(), beside.read_bytes() if rendered.channels is not None else None
        taken: dict[str, Any] = {"measures": measures, "features": features, "image": path, "label": rendered.sample.label}
        return RunOutput(Row.of(run, reason=metadata["stopped"] or "", machine=machine, **taken, **spent), *files)

    def _describe(self, network: Network, batch: int) -> dict[str, Any]:
        return {**describe_machine(network.device), **self.machine, "batch": batch}


def can_share(run: Run) -> bool:
    """Return whether a run can be made in a batch: not where each sample spends in its own way."""
    searches = any(isinstance(run.settings.stage(number).optimizer, LineSearch) for number in range(run.settings.runs))
    return run.budget.kind == "evals" and not searches


def failed(run: Run, reason: str, machine: Mapping[str, Any] | None = None) -> Row:
    """Return the row of a run that failed."""
    return Row.of(run, "failed", reason=reason, measures=dict.fromkeys(run.measures), machine=dict(machine or {}))


def _objective(plan: Plan, network: Network, place: int, size: tuple[int, int]) -> Objective:
    objective = bind_target(network, plan.samples[place].objective, size)
    return objective if plan.init is None else objective.of_image(plan.init.value)


def _check_interrupt(rendered: Sequence[Rendered]) -> None:
    """Raise KeyboardInterrupt again, which a run takes as the sign to end with its best."""
    if any(one.interrupted for one in rendered):
        raise KeyboardInterrupt


def _written(rendered: Rendered, network: Network, size: tuple[int, int]) -> Tensor:
    """Return an image as its file has it, (1, C, H, W) of the net's input space, at a size."""
    if rendered.channels is not None:
        return at_size(network, torch.from_numpy(rendered.channels).to(network.mean), size)[None]
    return network.from_rgb(covering(eight_bits(rendered.image)[..., :3], size))[None]


def _why_not_finite(rendered: Rendered, trace: Trace) -> str | None:
    if not math.isfinite(trace.values[-1]):
        return "the objective of the last image is not finite"
    return None if math.isfinite(rendered.value) else rendered.metadata["stopped"] or "the value of the last image is not finite"


def _kind(run: Run, units: Sequence[str], settings: Settings, network: Network) -> str:
    """Return what decides which code a run uses, and which memory it takes."""
    parts: list[object] = [type(settings.parametrization).__name__]
    for number in range(settings.runs):
        stage = settings.stage(number)
        parts += [type(part).__name__ for part in (stage.optimizer, *stage.transforms, *stage.regularizers)]
        parts.append(stage.views)
    layers = sorted({unit.partition(":")[0] for unit in units})
    return repr((run.net, settings.size, settings.octaves, len(units), layers, parts, str(network.device)))


def _try(network: Network, units: Sequence[str], settings: Settings) -> None:
    """Run a job whose images nobody wants, with all that is made once in a process."""
    try:
        plan = plan_render(network, units, settings)
        network = in_memory(plan, network)
        for number in range(len(plan.batches)):
            _check_interrupt(execute_batch(plan, network, number))
    except DreamoptError:
        return  # the run itself says it


def _rates(network: Network, units: Sequence[str], settings: Settings) -> list[float]:
    """Return the seconds of an evaluation of all views, for each octave or stage."""
    plan = plan_render(network, units, with_steps_of_each(settings, _TIMED))
    network = in_memory(plan, network)
    began = time.perf_counter()
    points: list[tuple[int, int, float]] = []

    def note(progress: Progress) -> None:
        points.append((progress.octave, progress.evaluations, time.perf_counter()))

    for number in range(len(plan.batches)):
        _check_interrupt(execute_batch(plan, network, number, callbacks=[note]))
    rates: list[float] = []
    for octave in range(len(plan.stages)):
        mine = [(evaluations, moment) for number, evaluations, moment in points if number == octave]
        before = max((moment for number, _, moment in points if number < octave), default=began)
        # The first step of an octave is not like the others; of a search there may be but one.
        first = mine[0] if len(mine) > 1 else (0, before)
        rates.append((mine[-1][1] - first[1]) / (mine[-1][0] - first[0]) if mine else 0.0)
    return [rate or max(rates) or 1.0 for rate in rates]  # an octave without a gradient makes no steps
