"""How many images are best optimized together: measured once for a net, its layers, a size and a machine, and remembered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dreamopt.errors import DreamoptError, OutOfMemoryError
from dreamopt.models.cache import cache_folder
from dreamopt.network import Network
from dreamopt.parts.atomic import atomic_write
from dreamopt.parts.memory import free_memory, release_memory
from dreamopt.parts.reading import parse_json, read_bytes
from dreamopt.recipes.memory import need_of
from dreamopt.recipes.targets import Sample
from dreamopt.version import __version__

if TYPE_CHECKING:
    from dreamopt.recipes.plan import Plan

AUTO = "auto"
"""What settings say where the batch size is to be measured, or remembered."""
USUAL = 8
"""Images together where nothing is measured."""
WORTH = 60.0
"""Seconds of a job below which nothing is measured."""
MOST = 256
"""The most images together that are tried."""
_FEW = 500  # evaluations of images below which not even one is timed
_GROWS = 1.05  # times the best so far, or more images together are not worth their memory
_PART = 0.05  # of the job's time that measuring may take
_SHARE = 0.8  # of the memory that is free
_LARGEST_FILE = 2**16  # bytes
Say = Callable[[str], None] | None


@dataclass(frozen=True)
class Rates:
    """Evaluations of images per second by how many are evaluated together.

    Parameters
    ----------
    rates : mapping of int to float
        Powers of two, from 1 on.
    complete : bool
        Whether larger batches are known to give no more; else the job had no more images, or no more time.
    """

    rates: Mapping[int, float]
    complete: bool = False

    @property
    def best(self) -> int:
        """The smallest number that gives as much as the best, up to 5 %.

        >>> Rates({1: 10.0, 2: 14.0, 4: 16.0, 8: 16.5}).best
        4
        """
        most = max(self.rates.values())
        return min(count for count, rate in self.rates.items() if rate * _GROWS >= most)

    def serves(self, count: int) -> bool:
        """Whether nothing more has to be measured for a job of so many images."""
        return self.complete or 2 * max(self.rates) > min(count, MOST)

    def __str__(self) -> str:
        shown = ", ".join(f"{count}: {rate:.3g}" for count, rate in sorted(self.rates.items()))
        return f"evaluations per second by batch size {shown}"


def measured_rates(seconds: Callable[[int], float], most: int, budget: float = math.inf, known: Rates | None = None) -> Rates:
    """Return rates measured for 1, 2, 4, ... images, until two sizes in a row do not grow the rate by 5 %.

    Parameters
    ----------
    seconds : callable
        Gets a number of images, and returns the seconds of one evaluation of all of them; raises OutOfMemoryError where they do not fit.
    most : int
        The most images.
    budget : float
        Seconds after which nothing larger is begun.
    known : Rates, optional
        What was measured before, which goes on.

    Examples
    --------
    >>> measured_rates(lambda count: 0.5 + 0.1 * count, 64).best  # half a second of overhead
    64
    >>> print(measured_rates(lambda count: 0.01 + 0.1 * count, 64))
    evaluations per second by batch size 1: 9.09, 2: 9.52, 4: 9.76, 8: 9.88, 16: 9.94
    """
    rates, began = dict(known.rates) if known is not None else {}, time.monotonic()
    best, idle = max(rates.values(), default=0.0), 0
    count = 2 * max(rates) if rates else 1
    while count <= min(most, MOST):
        try:
            rates[count] = count / max(seconds(count), 1e-9)
        except OutOfMemoryError:
            return Rates(rates or {1: 1.0}, complete=True)
        # Against the last that was worth its memory: small gains add up.
        best, idle = (rates[count], 0) if rates[count] >= _GROWS * best else (best, idle + 1)
        if idle == 2:
            return Rates(rates, complete=True)
        # The next size takes twice as long, three times.
        if time.monotonic() - began + 6 * count / rates[count] > budget:
            return Rates(rates)
        count *= 2
    return Rates(rates, complete=count > MOST)


class Remembered:
    """The file of what was measured for one net, layers, size and machine; what is damaged, foreign or cannot be written is as none.

    Parameters
    ----------
    key : mapping
        What the rates depend on, fit for JSON.
    folder : path, optional
        By default ``batches`` in the cache (``DREAMOPT_CACHE``).
    """

    def __init__(self, key: Mapping[str, Any], folder: Path | None = None) -> None:
        self.key = json.loads(json.dumps(dict(key)))
        name = hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:32]
        self.path = (cache_folder() / "batches" if folder is None else folder) / f"{name}.json"

    def read(self) -> Rates | None:
        """Return what is remembered; None for nothing that can be used."""
        try:
            found = parse_json(read_bytes(self.path, "the measured batch sizes", DreamoptError, _LARGEST_FILE), "it", DreamoptError)
            if found["key"] != self.key or not isinstance(found["complete"], bool):
                return None
            rates = {int(count): float(rate) for count, rate in found["rates"].items()}
        except (DreamoptError, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None
        sizes = [2**power for power in range(len(rates))]
        sound = rates and sorted(rates) == sizes and sizes[-1] <= MOST and all(0 < rate < math.inf for rate in rates.values())
        return Rates(rates, found["complete"]) if sound else None

    def write(self, rates: Rates) -> bool:
        """Remember rates; return whether they are, as in a home that can be written."""
        text = json.dumps({"key": self.key, "rates": {str(count): rate for count, rate in rates.rates.items()}, "complete": rates.complete})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as stream:
                stream.write(text.encode())
        except OSError:
            return False
        return True


def batch_rates(plan: Plan, network: Network, say: Say = None, folder: Path | None = None) -> Rates | None:
    """Return how fast batches of a plan's images are, of which `Rates.best` is to be taken; None where nothing is measured.

    Parameters
    ----------
    plan : Plan
        In any batches. Where the work is short, or no two images can be made together, nothing is measured.
    network : Network
        Its net.
    say : callable, optional
        Gets one sentence on what was chosen, and by what.
    folder : path, optional
        As of `Remembered`.
    """
    samples, number = _largest_group(plan), _costliest(plan)
    most = sum(not sample.coupled for sample in plan.samples)  # also of different layers
    # An evaluation of a stage counts by its image's pixels.
    costs = [stage.steps * stage.views * math.prod(stage.size) for stage in plan.stages]
    evaluations = len(plan.samples) * sum(costs) / math.prod(plan.stages[number].size)
    if most < 2 or evaluations < _FEW:
        return None
    remembered = Remembered(_key(plan, network, samples, number), folder)
    rates = remembered.read()
    if rates is None or not rates.serves(most):
        views = plan.stages[number].views
        seconds = _timer(plan, network, samples, number)
        try:
            job = evaluations / views * (seconds(1) if rates is None else 1 / rates.rates[1])
            if job < WORTH and rates is None:
                return None
            if job >= WORTH:
                rates = measured_rates(seconds, most, _PART * job, rates)
        except DreamoptError:  # the run itself says what is wrong
            return None
        assert rates is not None
        where = f"remembered in {remembered.path}" if remembered.write(rates) else f"not remembered: {remembered.path} cannot be written"
    else:
        where = f"measured before, {remembered.path}"
    if say is not None:
        say(f"batches of {rates.best} images: {rates} ({where})")
    return rates


def _largest_group(plan: Plan) -> list[Sample]:
    """Return the samples of the largest batch that could be made."""
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for sample in plan.samples:
        if not sample.coupled:
            groups.setdefault(sample.objective.layers, []).append(sample)
    return max(groups.values(), key=len, default=[])


def _costliest(plan: Plan) -> int:
    """Return the number of the stage that takes most of the time."""
    costs = [stage.steps * stage.views * math.prod(stage.size) for stage in plan.stages]
    return costs.index(max(costs))


def _key(plan: Plan, network: Network, samples: Sequence[Sample], number: int) -> dict[str, Any]:
    """Return what a rate depends on."""
    stage = plan.stages[number]
    graph = [(info.name, info.type, info.bottoms, info.tops, info.shapes) for info in network.layers]
    structure = hashlib.sha256(json.dumps(graph).encode()).hexdigest()
    device = network.device
    return {
        "net": structure,
        "weights": network.hash(),
        "backend": network.backend.name,
        "layers": list(samples[0].objective.layers),
        "target": None if stage.target is None else str(stage.target),
        "size": list(stage.size),
        "views": stage.views,
        "parametrization": type(plan.parametrization).__name__,
        "transforms": [str(transform) for transform in stage.transforms],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        **network.other_precision,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dreamopt": __version__,
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()}"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()}"


def _timer(plan: Plan, network: Network, samples: Sequence[Sample], number: int) -> Callable[[int], float]:
    """Return what tells the seconds of a step of so many of the samples: the least of three, after one that is not counted."""
    need = need_of(network, samples[:1], plan.stages[number])

    def seconds(count: int) -> float:
        free = free_memory(str(network.device))
        if free is not None and count > 1 and need.likely * count > _SHARE * free:
            raise OutOfMemoryError(f"a batch of {count} images does not fit")
        problem = plan.problem(network, [replace(one, item=k) for k, one in enumerate(islice(cycle(samples), count))], number)
        if problem.network.together.is_limited(problem.objective.layers, problem.seen or ()):
            raise OutOfMemoryError("memory ran out with fewer")
        params, times = problem.start(plan.settings.seed), list[float]()
        for _ in range(4):
            began = time.perf_counter()
            problem.evaluate(params, seed=plan.settings.seed).gradient.sum().item()  # which waits for a GPU
            times.append(time.perf_counter() - began)
        if count >= USUAL:
            del problem, params
            release_memory()
        return min(times[1:])

    return seconds
