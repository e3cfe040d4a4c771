"""Rows of the table that `benchmarks.gpu_check` prints: nets, batch sizes and ways of computing on one device, the most telling first.

A row that fails, or for which memory or time does not suffice, says so, and the others go on.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.cases import Array, Case, error, load, random_image, seed_like
from benchmarks.contestants import written_down
from dreamopt.backends.engine import EngineBackend
from dreamopt.engine import Net
from dreamopt.engine.executor.captured import CapturedExecutor, CudaCapturer
from dreamopt.engine.precision import has_bf16
from dreamopt.network import Network
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.optimize import run
from dreamopt.problem import Problem
from dreamopt.recipes import Settings
from dreamopt.recipes.plan import plan_render

BATCHES = (1, 32, 8, 128, 256, 2, 4, 16, 64)
"""In the order in which they tell most."""
CHECKED = 2
"""The batch size at which numbers are compared with the CPU's."""
TOLERANCES = {"float32": (1e-4, 2e-2), "tf32": (1e-2, 0.3), "bf16": (5e-2, 0.6)}
"""How far values and gradients may be off, in the 2-norm: ReLUs and maxima that fall to the other side count in full."""
_STEPS, _WARM_STEPS = 5, 3
_LEAST = {"f/grad": 4, "step": 10}  # passes of a row, those before the clock included


_Captured = CapturedExecutor | None


class Way(NamedTuple):
    """A way to compute a net: by the engine, which keeps channels last, or as it is written down in torch, in either layout."""

    what: str = "f/grad"
    by: str = "engine"
    precision: str = "float32"
    graphs: bool = False
    layout: str = "NHWC"

    def __str__(self) -> str:
        return f"{self.what:6} {self.by:6} {self.precision:7} {self.layout} {'graphs' if self.graphs else '      '}"


def ways(device: torch.device) -> list[Way]:
    """Return the ways that a device has, those that tell most first."""
    gpu, low = device.type == "cuda", has_bf16(device)
    found = [Way()]
    found += [Way(precision="tf32"), Way(graphs=True)] if gpu else []
    found += [Way(precision="bf16")] if low else []
    found += [Way(precision="tf32", graphs=True)] if gpu else []
    found += [Way(precision="bf16", graphs=True)] if gpu and low else []
    found += [Way("step")]
    found += [Way("step", precision="tf32", graphs=True)] if gpu else []
    found += [Way("step", precision="bf16", graphs=gpu)] if low else []
    found += [Way(by="torch", layout=layout) for layout in ("NCHW", "NHWC")]
    return found + ([Way(by="torch", precision="tf32", layout=layout) for layout in ("NCHW", "NHWC")] if gpu else [])


def rows(cases: Sequence[Case], all_ways: Sequence[Way], batches: Sequence[int]) -> list[tuple[Case, int, Way]]:
    """Return all rows: first each net's and way's nearest to the front of its list, at the first batch sizes."""
    places = [(b + n + w, b, n, w) for b, _ in enumerate(batches) for n, _ in enumerate(cases) for w, _ in enumerate(all_ways)]
    return [(cases[n], batches[b], all_ways[w]) for _, b, n, w in sorted(places)]


@contextmanager
def precision_of_torch(way: Way) -> Iterator[None]:
    """Let torch round to TensorFloat-32 where that is meant, and nowhere else."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32
    cudnn.allow_tf32 = products.allow_tf32 = way.precision == "tf32"
    try:
        yield
    finally:
        cudnn.allow_tf32, products.allow_tf32 = before


class Rows:
    """Measures rows on a device; nets are loaded once.

    Parameters
    ----------
    device : torch.device
        Where.
    seconds : callable
        How many seconds are left.
    """

    def __init__(self, device: torch.device, seconds: Callable[[], float]) -> None:
        self.device, self.seconds = device, seconds
        self._net = cache(self._load)
        self._per_image: dict[str, float] = {}

    def _load(self, case: Case, device: str) -> Net:
        return load(case, device)

    def check(self, case: Case, way: Way) -> dict[str, Any]:
        """Compare a net's value and gradient with the CPU's in float32."""

        def compare() -> dict[str, Any]:
            here = self._net(case, "cpu")
            x = random_image(here, CHECKED)
            value, gradient = self._reference(case)
            with precision_of_torch(way):
                step, inputs, captured = self._fgrad(case, way, x)
                for _ in range(3):  # the third is a replay, where there are graphs
                    y, g = step(inputs)
            _require_replays(way, [captured])
            off = error(y.cpu().numpy(), value), error(g.cpu().numpy(), gradient)
            most = TOLERANCES[way.precision]
            return {"value_error": off[0], "gradient_error": off[1], "agrees": all(a <= b for a, b in zip(off, most, strict=True))}

        return self._guarded(compare) | {"net": case.name, "batch": CHECKED} | way._asdict()

    def _reference(self, case: Case) -> tuple[Array, Array]:
        net = self._net(case, "cpu")
        x = torch.from_numpy(random_image(net, CHECKED)).requires_grad_()
        y = net.program([case.layer])({net.inputs[0]: x})[case.layer]
        (gradient,) = torch.autograd.grad(y, x, torch.from_numpy(seed_like(tuple(y.shape))))
        return y.detach().numpy(), gradient.numpy()

    def time(self, case: Case, batch: int, way: Way, rounds: int) -> dict[str, Any]:
        """Time a row: milliseconds, images per second, the most memory of the device."""
        row = {"net": case.name, "layer": case.layer, "batch": batch} | way._asdict()
        if _LEAST[way.what] * self._per_image.get(case.name, 0.0) * batch > self.seconds():
            return row | {"error": "left out: the time left does not suffice"}

        def measure() -> dict[str, Any]:
            with precision_of_torch(way):
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(self.device)
                times = self._steps(case, batch, way) if way.what == "step" else self._passes(case, batch, way, rounds)
                peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
            median = statistics.median(times)
            if way.by == "engine":
                self._per_image[case.name] = median / batch
            return {"ms": 1e3 * median, "images_per_second": batch / median, "peak_bytes": peak}

        return row | self._guarded(measure)

    def _guarded(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what was measured, or why it was not."""
        try:
            return measure()
        except Exception as problem:  # whatever fails is one row's matter
            text = str(problem).strip().splitlines()
            return {"error": f"{type(problem).__name__}: {text[0] if text else 'no message'}"[:200]}
        finally:
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _fgrad(self, case: Case, way: Way, images: Array) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor]], Tensor, _Captured]:
        """Return one forward and one backward pass on the device, the image, and what captures them."""
        net = self._net(case, str(self.device))
        layout = torch.channels_last if way.layout == "NHWC" else torch.contiguous_format
        x = torch.from_numpy(images).to(self.device).contiguous(memory_format=layout).requires_grad_()
        captured: _Captured = None
        if way.by == "torch":
            f = written_down(net, case.layer, str(self.device))
        else:
            capturer = CudaCapturer if way.graphs else None
            program = net.program([case.layer], precision="bf16" if way.precision == "bf16" else "float32", capturer=capturer)
            captured = program._captured
            f = lambda image: program({net.inputs[0]: image})[case.layer]  # noqa: E731  # beside its other form
        seeds: list[Tensor] = []

        def step(image: Tensor) -> tuple[Tensor, Tensor]:
            y = f(image)
            if not seeds:
                seeds.append(torch.from_numpy(seed_like(tuple(y.shape))).to(self.device))
            (gradient,) = torch.autograd.grad(y, image, seeds[0])
            return y.detach(), gradient

        return step, x, captured

    def _passes(self, case: Case, batch: int, way: Way, rounds: int) -> list[float]:
        step, x, captured = self._fgrad(case, way, random_image(self._net(case, str(self.device)), batch))
        for _ in range(3 if way.graphs else 2):
            step(x)
        _require_replays(way, [captured])
        times: list[float] = []
        for _ in range(rounds):
            self._synchronize()
            start = time.perf_counter()
            step(x)
            self._synchronize()
            times.append(time.perf_counter() - start)
            if len(times) > 1 and sum(times) > min(2.0, self.seconds()):
                break
        return times

    def _steps(self, case: Case, batch: int, way: Way) -> list[float]:
        """Return the seconds of steps of a render under the default settings, of so many samples at once."""
        backend = EngineBackend(self._net(case, str(self.device)), precision="bf16" if way.precision == "bf16" else "float32")
        backend.capturer = CudaCapturer if way.graphs else None
        network = Network(backend, preprocessing_of(3))
        target = f"{case.layer}:0"
        plan = plan_render(network, [target], Settings(steps=_STEPS + _WARM_STEPS))
        stage = plan.stages[-1]
        problem = Problem(
            network,
            target,
            stage.regularizers,
            stage.size,
            batch=batch,
            parametrization=plan.parametrization,
            transforms=stage.transforms,
            views=stage.views,
        )
        times: list[float] = []
        before = time.perf_counter()

        def after_step(_: object) -> None:
            nonlocal before
            self._synchronize()
            times.append(time.perf_counter() - before)
            before = time.perf_counter()

        run(problem, stage.optimizer, _STEPS + _WARM_STEPS, callbacks=[after_step])
        _require_replays(way, [program._captured for program in backend._programs.values()])
        return times[_WARM_STEPS:] or times


def _require_replays(way: Way, captured: Sequence[_Captured]) -> None:
    """Raise an error for a row of graphs that were not replayed, so that it does not show times of something else."""
    if way.graphs and not any(one is not None and one.replayed for one in captured):
        reasons = {reason for one in captured if one is not None for reason in one.refused.values()}
        raise RuntimeError(f"no graph was replayed: {'; '.join(sorted(reasons)) or 'no pass of one shape came twice'}")
