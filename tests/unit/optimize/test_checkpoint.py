"""A run that is interrupted and resumed: the same bits, whatever interrupted it."""

import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.errors import DreamoptWarning, OptimizeError, UsageError
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transforms.jitter import Jitter
from dreamopt.objectives import Channel
from dreamopt.optimize import (
    LBFGS,
    Adam,
    AdamW,
    Ascent,
    Checkpoint,
    Linear,
    Momentum,
    NAdam,
    Optimizer,
    Patience,
    Piecewise,
    Plain,
    Progress,
    Progressive,
    Result,
    RMSprop,
    Scipy,
    Torch,
    run,
)
from dreamopt.optimize.checkpoint import _MAGIC
from dreamopt.problem import Problem
from tests.support.toy import toy_network
from tests.unit.optimize.test_setback import EDGE, STARTS

ROOT = Path(__file__).resolve().parents[3]
NETWORK = toy_network()
UNITS = Channel("conv2", (3, 1, 4, 0))
OPTIMIZERS = [
    Adam(Linear(4, 1)), AdamW(), NAdam(), Ascent(momentum=0.5), Ascent(), RMSprop(), Plain(1e3), Progressive(),
    Momentum(Piecewise((0, 7), (3.0, 1.0)), norm="mean", reset=True),
    *(Torch(name) for name in ("RAdam", "NAdam", "Rprop", "Adafactor", "ASGD", "Adadelta")), Torch("SGD", momentum=0.9),
    LBFGS(resample_every=2), LBFGS(0.5, 3, line_search="none"), Scipy(resample_every=2), Scipy("CG", 3), Scipy("TNC", 2), Scipy("trust-ncg", 2),
]  # fmt: skip


def problem() -> Problem:
    return Problem(NETWORK, UNITS, ["gaussian_blur(0.4, every=3)", "l2(1e-6)"], transforms=[Jitter(2)])


def assert_same(one: Result, other: Result) -> None:
    for name in ("params", "best_params", "images", "transparency", "first_params"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs), name
    for name in ("history", "measured", "best_values", "best_steps", "first_steps", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("steps", "asked", "seed", "optimizer", "stopped", "setbacks", "dead"):
        assert getattr(one, name) == getattr(other, name)


def cut_after(step: int) -> object:
    def cut(progress: Progress) -> None:
        if progress.step + 1 >= step:
            raise KeyboardInterrupt

    return cut


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("every", [1, None])
def test_a_resumed_run_has_the_same_bits(optimizer: Optimizer, every: int | None, tmp_path: Path) -> None:
    whole = run(problem(), optimizer, 12, seed=3, transparency=True)
    for cuts in ([6], [1, 5, 11]):
        checkpoint = Checkpoint(tmp_path / "run", every=every)
        checkpoint.file.unlink(missing_ok=True)
        for step in cuts:
            part = run(problem(), optimizer, 12, seed=3, transparency=True, checkpoint=checkpoint, resume=True, callbacks=[cut_after(step)])  # type: ignore[list-item]
            assert part.interrupted
        last = run(problem(), optimizer, 12, seed=3, transparency=True, checkpoint=checkpoint, resume=True)
        assert last.resumed_at >= cuts[-1]
        assert_same(last, whole)
    again = run(problem(), optimizer, 12, seed=3, transparency=True, checkpoint=checkpoint, resume=True)
    assert again.resumed_at == 12
    assert_same(again, whole)


class DiedError(Exception):
    """As if the process had."""


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_at_most_so_many_steps_are_lost(optimizer: Optimizer, tmp_path: Path) -> None:
    whole = run(problem(), optimizer, 12)
    stride = getattr(optimizer, "stride", 1)
    for death in (2, 11):
        checkpoint = Checkpoint(tmp_path / "run", every=4)
        checkpoint.file.unlink(missing_ok=True)

        def die(progress: Progress, death: int = death) -> None:
            if progress.step + 1 >= death:
                raise DiedError(progress.step + 1)

        with pytest.raises(DiedError) as died:
            run(problem(), optimizer, 12, checkpoint=checkpoint, callbacks=[die])
        last = run(problem(), optimizer, 12, checkpoint=checkpoint, resume=True)
        assert died.value.args[0] - last.resumed_at <= max(4, stride)
        assert_same(last, whole)


@pytest.mark.parametrize(
    "optimizer", [Ascent(0.4), Adam(0.7), Momentum(0.3), Scipy(resample_every=2), LBFGS(resample_every=2), Torch("RAdam")], ids=str
)
def test_a_cut_between_a_bad_step_and_the_step_back(optimizer: Optimizer, tmp_path: Path) -> None:
    def edge() -> Problem:
        return Problem(EDGE, -Channel("root", 0), batch=3, parametrization=Pixels(STARTS, noise=0))

    whole = run(edge(), optimizer, 14)
    for step in range(1, 14):
        for every in (1, 100):
            checkpoint = Checkpoint(tmp_path / f"run{step}", every=every)
            checkpoint.file.unlink(missing_ok=True)
            run(edge(), optimizer, 14, checkpoint=checkpoint, callbacks=[cut_after(step)])  # type: ignore[list-item]
            assert_same(run(edge(), optimizer, 14, checkpoint=checkpoint, resume=True), whole)


def test_stopping_and_firsts_are_saved_too(tmp_path: Path) -> None:
    def go(**more: object) -> Result:
        problem = Problem(NETWORK, "fc:2 | fc:5 | fc:0")
        return run(problem, Plain(2e5), 30, seed=1, patience=Patience(3, relative=0.05), **more)  # type: ignore[arg-type]

    whole = go()
    assert any(whole.stopped)
    for step in (1, 5, 9, 16):
        checkpoint = Checkpoint(tmp_path / f"run{step}", every=None)
        go(checkpoint=checkpoint, callbacks=[cut_after(step)])
        assert_same(go(checkpoint=checkpoint, resume=True), whole)


def test_a_run_that_a_callback_ended_can_be_resumed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "run", every=None)
    first = run(problem(), Adam(), 9, checkpoint=checkpoint, callbacks=[lambda p: p.step == 4])
    assert (first.steps, first.interrupted, len(first.history)) == (5, False, 6)
    assert_same(run(problem(), Adam(), 9, checkpoint=checkpoint, resume=True), run(problem(), Adam(), 9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": Adam(3)}, r"its optimizer is Adam\(\), and not Adam\(step_size=3\)"),
        ({"steps": 9}, "its steps is 8, and not 9"),
        ({"seed": 1}, "its seed is 0, and not 1"),
        ({"octaves": 2}, r"its octave is \[0, 1\], and not \[0, 2\]"),
        ({"patience": Patience(3)}, r"its patience is None, and not Patience\(steps=3\)"),
        ({"start": torch.zeros(4, 3, 11, 13)}, "it starts from other parameters"),
        ({"problem": Problem(NETWORK, "conv2:3", batch=4)}, "its objective is conv2:3,1,4,0, and not conv2:3"),
        ({"problem": Problem(toy_network(torch.float32), UNITS)}, "its regularizers is"),
        (
            {"problem": Problem(toy_network(scale=0.5), UNITS, ["gaussian_blur(0.4, every=3)", "l2(1e-6)"], transforms=[Jitter(2)])},
            "it starts from other",
        ),
    ],
)
def test_another_runs_checkpoint_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "run")
    settings: dict[str, object] = {"problem": problem(), "optimizer": Adam(), "steps": 8}
    run(**settings, checkpoint=checkpoint)  # type: ignore[arg-type]
    before = checkpoint.file.read_bytes()
    with pytest.raises(OptimizeError, match=f"of another run: {message}"):
        run(**settings | change, checkpoint=checkpoint, resume=True)  # type: ignore[arg-type]
    assert checkpoint.file.read_bytes() == before
    run(**settings | change, checkpoint=checkpoint)  # type: ignore[arg-type]
    assert checkpoint.file.read_bytes() != before


def test_a_schedule_that_is_a_function_is_known_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "run")
    for step in (4, 12):
        # A new function each time, as in a new process.
        optimizer = Adam(lambda context: 3 - 0.1 * context.step)
        result = run(problem(), optimizer, 12, checkpoint=checkpoint, resume=True, callbacks=[cut_after(step)])  # type: ignore[list-item]
    assert result.resumed_at == 4
    assert result.optimizer.startswith("Adam(step_size=<function")


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "run")
    run(problem(), Adam(), 3, checkpoint=checkpoint)
    whole = checkpoint.file.read_bytes()
    for place in (25, 60, 400, len(whole) // 2, len(whole) - 3):
        checkpoint.file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(OptimizeError, match=r"run is damaged \(its checksum does not fit\); remove it"):
            run(problem(), Adam(), 3, checkpoint=checkpoint, resume=True)
    for cut in (30, 54, len(whole) // 2, len(whole) - 1):
        checkpoint.file.write_bytes(whole[:cut])
        with pytest.raises(OptimizeError, match="is damaged"):
            checkpoint.load()
    for other in (b"", b"\x89PNG\r\n", b"dreamopt", b"PK\x03\x04" + bytes(99)):
        checkpoint.file.write_bytes(other)
        with pytest.raises(OptimizeError, match=r"is no checkpoint of this version of dreamopt|is damaged"):
            checkpoint.load()
    checkpoint.save({"batch": 3})
    with pytest.raises(OptimizeError, match="holds no run"):
        run(problem(), Adam(), 3, checkpoint=checkpoint, resume=True)


def test_a_checkpoint_holds_plain_values_alone_and_reading_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    checkpoint = Checkpoint(tmp_path / "run")
    with pytest.raises(OptimizeError, match="is neither a tensor nor a plain value"):
        checkpoint.save({"extra": Evil()})
    checkpoint.save({"extra": 1})
    head = len(_MAGIC)
    for content in (pickle.dumps({"extra": Evil()}), b"", b"\0" * 7 + b"\1", b"\0" * 7 + b"\2[]" + b"x"):
        checkpoint.file.write_bytes(checkpoint.file.read_bytes()[:head] + hashlib.sha256(content).digest() + content)
        with pytest.raises(OptimizeError, match=r"the checkpoint .*run (is damaged|holds no mapping)"):
            checkpoint.load()
    assert not (tmp_path / "made").exists()


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"the folder of the checkpoint .*nowhere/run does not exist"):
        run(problem(), Adam(), 2, checkpoint=Checkpoint(tmp_path / "nowhere" / "run"))
    with pytest.raises(UsageError, match="is a folder, and must be a file"):
        run(problem(), Adam(), 2, checkpoint=Checkpoint(tmp_path))
    with pytest.raises(UsageError, match="resume needs a checkpoint"):
        run(problem(), Adam(), 2, resume=True)
    for wrong in ({"every": 0}, {"seconds": 0.0}):
        with pytest.raises(UsageError, match="of Checkpoint must be"):
            Checkpoint(tmp_path / "run", **wrong)  # type: ignore[arg-type]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(DreamoptWarning, match="could not be written: No space left on device"):
        result = run(problem(), Adam(), 2, checkpoint=Checkpoint(tmp_path / "run"))
    assert result.steps == 2
    assert not (tmp_path / "run").exists()


def test_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saved = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    checkpoint = Checkpoint(tmp_path / "run", every=None, seconds=10)

    def tick(progress: Progress) -> None:
        clock[0] += 4
        data = checkpoint.load()
        saved.append(None if data is None else data["run"]["step"])

    run(problem(), Adam(), 9, checkpoint=checkpoint, callbacks=[tick])
    assert saved == [None, None, None, 3, 3, 3, 6, 6, 6]


PROGRAM = """
    import sys, torch
    from dreamopt.optimize import *
    from tests.unit.optimize.test_checkpoint import problem
    optimizer = {"adam": Adam(), "lbfgs": LBFGS(resample_every=2)}[sys.argv[2]]
    checkpoint = Checkpoint(sys.argv[1], every=3)
    def tell(progress): print("step", progress.step + 1, flush=True)
    print("from", run(problem(), optimizer, 40, seed=3, checkpoint=checkpoint, resume=True, callbacks=[tell]).resumed_at, flush=True)
"""


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_kill_9_at_any_moment(name: str, tmp_path: Path) -> None:
    optimizer = {"adam": Adam(), "lbfgs": LBFGS(resample_every=2)}[name]
    path, draw = tmp_path / "run", random.Random(5)
    begin, is_argmax = 0, 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), name], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        target = begin + draw.randint(2, 10)
        for line in process.stdout:
            said = line.split()
            is_argmax = int(said[1]) if said[0] == "step" else is_argmax
            if is_argmax >= target:
                time.sleep(draw.random() * 0.01)
                process.send_signal(signal.SIGKILL)
                break
        rest = [int(line.split()[1]) for line in process.stdout.read().splitlines() if line.startswith("step")]
        process.wait()
        process.stdout.close()
        is_argmax = max([is_argmax, *rest])
        data = Checkpoint(path).load()
        begin = 0 if data is None else data["run"]["step"]
        assert is_argmax - begin <= 3
    assert 0 < begin < 40
    last = run(problem(), optimizer, 40, seed=3, checkpoint=Checkpoint(path), resume=True)
    assert last.resumed_at == begin
    assert_same(last, run(problem(), optimizer, 40, seed=3))
