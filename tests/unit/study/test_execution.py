"""One run of a study: its budget, trace, clock and failures, and its image made again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamopt.errors import OutOfMemoryError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.image.transform import Transform
from dreamopt.network import Network
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream
from dreamopt.recipes.replay import replay
from dreamopt.recipes.settings import Settings
from dreamopt.study import execution
from dreamopt.study.clock import Clock
from dreamopt.study.execution import RunMaker, RunOutput
from dreamopt.study.networks import NetWords, StudyNetworks
from dreamopt.study.run import Row, Run
from dreamopt.testing.bench import toy_network
from tests.support.study_runs import UNITS, maker, networks, run_of

PAIR = (28, 24)


def made(run: Run) -> RunOutput:
    [output] = maker().make([run])
    return output


def row_of(run: Run) -> Row:
    return made(run).row


@pytest.mark.parametrize(
    ("changes", "evaluations", "steps", "points"),
    [
        ({}, 12, 12, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)),
        ({"views": 5}, 10, 2, (0, 5, 10)),
        ({"octaves": 3, "octave_scale": 1.2}, 12, 12, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)),
        ({"steps": 1000, "stages": [{"steps": 3}, {"steps": 1, "views": 2}]}, 12, 10, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12)),
        ({"optimizer": "scipy('CG', 2)"}, 12, None, (0, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)),
        ({"optimizer": "lbfgs"}, 12, None, (0, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)),
    ],
)
def test_a_run_spends_its_evaluations(changes: dict[str, Any], evaluations: int, steps: int | None, points: tuple[int, ...] | None) -> None:
    row = row_of(run_of(Settings(size=PAIR, **changes)))
    assert (row.status, row.reason, row.evaluations) == ("done", "", evaluations)
    assert steps in (None, row.steps)
    assert points in (None, row.trace.evaluations)
    assert row.trace.evaluations[0] == 0
    assert row.trace.evaluations[-1] == evaluations
    assert np.isfinite(row.trace.values).all()
    assert list(row.trace.seconds) == sorted(row.trace.seconds)
    assert 0 < row.trace.seconds[-1] <= row.seconds
    # What is measured of the file differs from the last point of the trace by the rounding to grey levels alone.
    assert row.measures["objective"] == pytest.approx(row.trace.values[-1], rel=0.02, abs=0.01)
    assert row.trace.values[-1] > row.trace.values[0] or "CG" in str(changes)  # whose steps, blurred after each, are too few


def test_schedules_run_over_the_budget() -> None:
    settings = Settings(size=PAIR, optimizer="adam(Linear(8, 1))", steps=512)
    planned = Settings(size=PAIR, optimizer="adam(Linear(8, 1))", steps=12)
    assert made(run_of(settings)).image is not None
    assert row_of(run_of(settings)).trace.values == row_of(run_of(planned)).trace.values


@pytest.mark.parametrize(
    ("changes", "budget"),
    [
        ({"optimizer": "lbfgs"}, "9"),
        ({"optimizer": "scipy('CG', 400)"}, "0.1s"),
        ({"optimizer": "scipy('CG', 3)", "octaves": 2}, "17"),
        ({"octaves": 3, "octave_scale": 1.2, "steps": 100}, "0.02s"),
        ({"optimizer": "lbfgs"}, "0.01s"),
        ({"stages": [{"steps": 3}, {"steps": 90, "zoom": 1.2}]}, "10"),
        ({"views": 2, "parametrization": "pixels"}, "7"),
    ],
)
def test_its_image_can_be_made_again(tmp_path: Path, changes: dict[str, Any], budget: str) -> None:
    output = made(run_of(Settings(size=PAIR, **changes), budget=budget))
    assert output.image is not None
    path = tmp_path / "image.png"
    path.write_bytes(output.image)
    metadata = read_metadata(path)
    assert metadata["evaluations_made"] == output.row.evaluations
    assert metadata["command"] == f"dreamopt replay {output.row.image}"
    assert metadata["load"]["net"] == "tiny"
    again = replay(networks().network("tiny"), metadata)
    assert np.array_equal(again.image, read_written(path))
    assert again.metadata["evaluations_made"] == output.row.evaluations


def test_a_limit_cuts_a_run_in_its_octaves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The clock strikes in the second of three octaves: the third is not begun, and the image has the full size all the same."""
    monkeypatch.setattr(execution, "_rates", lambda *_: [0.475] * 3)  # four steps in each octave
    moments = iter(range(1, 100))
    monkeypatch.setattr(execution.Clock, "seconds", lambda _: float(next(moments)))
    output = made(run_of(Settings(size=PAIR, steps=4, octaves=3, octave_scale=1.2), budget="6s"))
    assert output.image is not None
    (tmp_path / "image.png").write_bytes(output.image)
    metadata = read_metadata(tmp_path / "image.png")
    assert metadata["evaluations"] == [4, 2, 0]
    assert output.row.evaluations == output.row.steps == 6
    assert read_written(tmp_path / "image.png").shape == (*PAIR, 3)
    assert np.array_equal(replay(networks().network("tiny"), metadata).image, read_written(tmp_path / "image.png"))


class Ticking:
    """Time in which a hundredth of a second passes between two looks, however busy the machine is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment = 0.0
        monkeypatch.setattr(execution, "Clock", lambda device: Clock(device, self))
        monkeypatch.setattr(execution, "time", SimpleNamespace(perf_counter=self))

    def __call__(self) -> float:
        self.moment += 0.01
        return self.moment


def test_seconds_are_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    Ticking(monkeypatch)
    row = row_of(run_of(Settings(size=PAIR, steps=3), budget="0.2s"))
    assert row.status == "done"
    assert row.steps > 3  # many more than the settings say
    slow = max(b - a for a, b in zip(row.trace.seconds, row.trace.seconds[1:], strict=False))
    assert row.seconds <= 0.2 + slow


def test_an_item_of_a_batch_equals_it_alone() -> None:
    runs = [run_of(unit=unit) for unit in UNITS]
    together, alone = maker().make(runs), [made(run) for run in runs]
    assert [output.row.machine["batch"] for output in together] == [2, 2, 1]  # of one layer
    for one, other in zip(together, alone, strict=True):
        assert (one.row.unit, one.row.key) == (other.row.unit, other.row.key)
        assert one.row.trace.evaluations == other.row.trace.evaluations
        assert one.row.trace.values == pytest.approx(other.row.trace.values, rel=1e-4, abs=1e-5)
        assert one.row.measures["objective"] == pytest.approx(other.row.measures["objective"], rel=1e-3)


SEEN: list[tuple[Tensor, list[float]]] = []


@dataclass(frozen=True)
class Recording(Transform):
    """Keeps what it is shown, and what it draws."""

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        if image.is_meta:  # its size is all that is asked for
            return image
        SEEN.append((image.detach().clone(), [float(stream.generator("recorded").random()) for stream in streams]))
        return image


def test_contestants_share_starts_and_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that differ in the step size alone see the same start, and the same draws at every step; another number sees others."""
    monkeypatch.setattr(execution, "_try", lambda *_: None)
    seen = []
    for step_size, seed in ((1, 7), (16, 7), (1, 8)):
        SEEN.clear()
        settings = Settings(size=PAIR, optimizer=f"adam({step_size})", transforms=[Recording()], seed=seed)
        assert row_of(run_of(settings, budget="5")).status == "done"
        seen.append(list(SEEN))
    one, other, another = seen
    assert len(one) == len(other) >= 5
    assert torch.equal(one[0][0], other[0][0])
    assert not torch.equal(one[2][0], other[2][0])
    assert [draws for _, draws in one] == [draws for _, draws in other]
    assert not torch.equal(one[0][0], another[0][0])
    assert one[0][1] != another[0][1]


def toy_maker(network: Network) -> RunMaker:
    several = StudyNetworks({"tiny": NetWords({})})
    several.add("tiny", network)
    return RunMaker(several)


def test_failures_are_rows() -> None:
    nets = maker()
    outputs = {
        "unknown": nets.make([run_of(unit="conv2:9999")])[0],
        "too small": nets.make([run_of(Settings(size=PAIR, views=4), budget="3")])[0],
        "several": nets.make([run_of(unit="conv2:0-2")])[0],
    }
    for output in outputs.values():
        assert output.row.status == "failed"
        assert output.image is None
        assert output.row.image == ""
        assert output.row.measures == {"objective": None}
    assert "conv2" in outputs["unknown"].row.reason
    assert outputs["too small"].row.reason == "a step takes 4 evaluations, but the budget is 3"
    assert "3" in outputs["several"].row.reason


def test_a_dead_unit_is_a_failure_alone_and_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ReLU that nothing passes: its run fails, those beside it in the batch do not."""
    from dreamopt.backends.torch_functions import FunctionBackend

    def below(x: Tensor) -> Tensor:
        return x - torch.tensor([0.0, 1e6, 0.0]).reshape(3, 1, 1)

    backend = FunctionBackend([("shift", "Power", below), ("relu", "ReLU", torch.relu)], (3, 24, 20))
    network = Network(backend)
    runs = [run_of(Settings(size=(24, 20)), unit, size=(24, 20)) for unit in ("relu:0", "relu:1", "relu:2")]
    outputs = toy_maker(network).make(runs)
    assert [output.row.status for output in outputs] == ["done", "failed", "done"]
    assert "zero" in outputs[1].row.reason or "relu" in outputs[1].row.reason
    assert [output.row.machine["batch"] for output in outputs] == [1, 1, 1]


def test_memory_that_runs_out_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    once = execution.execute_batch

    def short_of_memory(plan: Any, *given: Any, **named: Any) -> Any:
        calls.append(len(plan.samples))
        if len(plan.samples) > 1 or len(calls) < 4:
            raise OutOfMemoryError("a step ran out of memory")
        return once(plan, *given, **named)

    monkeypatch.setattr(execution, "_try", lambda *_: None)
    monkeypatch.setattr(execution, "execute_batch", short_of_memory)
    outputs = maker().make([run_of(unit=unit) for unit in UNITS[:2]])
    # The batch, then the first alone, which fails twice, then the second.
    assert calls == [2, 1, 1, 1]
    assert [(output.row.status, output.row.reason) for output in outputs] == [("failed", "a step ran out of memory"), ("done", "")]


def test_what_is_not_finite_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamopt.backends.torch_functions import FunctionBackend

    network = Network(FunctionBackend([("log", "Log", lambda x: torch.log(x - 1e9))], (3, 24, 20)))
    row = toy_maker(network).make([run_of(Settings(size=(24, 20)), "log:1", size=(24, 20))])[0].row
    assert row.status == "failed"
    assert "not finite" in row.reason


def test_mistakes_of_the_program_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(execution, "take", wrong)
    with pytest.raises(ZeroDivisionError):
        made(run_of())


def test_a_net_with_other_weights_ends_the_study() -> None:
    from dreamopt.errors import UsageError

    several = StudyNetworks({"tiny": NetWords({"net": "tiny", "device": "cpu"}, "0" * 64)})
    with pytest.raises(UsageError, match="the weights of the net 'tiny' are not those that the study began with"):
        RunMaker(several).make([run_of()])


def test_stop_is_an_interrupt() -> None:
    asked = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt):
        maker().make([run_of()], stop=lambda: next(asked, True))


def test_measuring_is_not_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now, quickly = Ticking(monkeypatch), execution.Probe.values

    def values(self: Any, images: Tensor) -> list[float]:
        now.moment += 100
        return quickly(self, images)

    monkeypatch.setattr(execution.Probe, "values", values)
    row = row_of(run_of())
    assert len(row.trace.values) == 12
    assert 0 < row.seconds < 2


def test_a_run_says_how_much_memory_it_took() -> None:
    from dreamopt.study.peak import PeakMemory

    peak = PeakMemory(torch.device("cpu"))
    before = peak.bytes()
    if before is None:
        pytest.skip("this system does not let a process count its memory anew")
    block = torch.ones(48 * 2**20 // 4)
    assert block.sum() > 0
    del block
    after = PeakMemory.bytes(peak)
    assert after is not None
    assert after >= before + 40 * 2**20
    again = PeakMemory(torch.device("cpu")).bytes()
    assert again is not None
    assert again < after - 30 * 2**20
    assert PeakMemory(torch.device("meta")).bytes() is None


def test_a_net_that_is_loaded_already_is_used() -> None:
    network = toy_network(torch.float32)
    row = toy_maker(network).make([run_of(Settings(), "conv1:1", size=network.input_shape[1:])])[0].row
    assert (row.status, row.reason, row.evaluations) == ("done", "", 12)


def test_a_run_that_stopped_early_is_done_and_says_why() -> None:
    """Its value is not finite beyond an edge: after eight halvings it stops with its best; in a batch, too, where others go on."""
    from dreamopt.backends.torch_functions import FunctionBackend

    def edge(x: Tensor) -> Tensor:
        beyond = x.mean((2, 3), keepdim=True) > torch.tensor([20.0, 1e9, 20.0]).reshape(3, 1, 1)
        return torch.where(beyond, torch.nan, x)

    nets = toy_maker(Network(FunctionBackend([("edge", "Power", edge)], (3, 24, 20))))
    settings = Settings(size=(24, 20), transforms=[], jitter=0, blur=0, parametrization="pixels")
    runs = [run_of(settings, f"edge:{unit}", "90", size=(24, 20)) for unit in range(2)]
    outputs = nets.make(runs)
    assert [output.row.status for output in outputs] == ["done", "done"]
    assert "not finite" in outputs[0].row.reason
    assert outputs[1].row.reason == ""
    assert outputs[0].row.evaluations < outputs[1].row.evaluations == 90
    assert 10 < (outputs[0].row.measures["objective"] or 0) <= 20
    alone = nets.make(runs[:1])[0].row
    assert alone.evaluations == outputs[0].row.evaluations == alone.trace.evaluations[-1]
    assert alone.measures == outputs[0].row.measures
    assert alone.trace.describe()["values"] == outputs[0].row.trace.describe()["values"]
    assert alone.trace.values[-1] == pytest.approx(alone.measures["objective"])  # of the image that came of it, not of the last step's


@pytest.mark.parametrize("budget", ["12", "1s"])
def test_ctrl_c_before_the_run_is_not_lost(monkeypatch: pytest.MonkeyPatch, budget: str) -> None:
    def interrupted(*given: Any, **named: Any) -> Any:
        return [replace(one, interrupted=True) for one in execute(*given, **named)]

    execute = execution.execute_batch
    monkeypatch.setattr(execution, "execute_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(run_of(budget=budget))


def test_an_image_of_many_channels_is_measured_in_all_of_them(tmp_path: Path) -> None:
    network = toy_network(torch.float32, channels=4)
    height, width = network.input_shape[1:]
    same, other = (
        toy_maker(network).make([run_of(Settings(size=size), "conv1:1", size=(height, width))])[0]
        for size in (None, (height + 6, width + 4))
    )
    for output in (same, other):
        assert output.row.status == "done"
        assert output.image is not None
        assert output.channels is not None
    assert same.row.measures["objective"] == pytest.approx(same.row.trace.values[-1], rel=1e-4)
    assert other.row.measures["objective"] == pytest.approx(other.row.trace.values[-1], rel=1e-4)
