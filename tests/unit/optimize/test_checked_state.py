"""The state in a checkpoint that somebody else may have made: every key is checked, and a memory is tried before the run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamopt.errors import OptimizeError
from dreamopt.objectives import Channel
from dreamopt.optimize import Adam, Checkpoint, run
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.optimize.plain_file import pack, unpack
from dreamopt.problem import Problem
from tests.support.toy import toy_network

NETWORK = toy_network()


def problem() -> Problem:
    return Problem(NETWORK, Channel("conv2", (3, 1, 4, 0)))


HOSTILE: list[tuple[list[str | int], object, str]] = [
    (["step"], "5", "step in the checkpoint .* must be a whole number"),
    (["step"], -1, "step in the checkpoint .* must be a whole number"),
    (["params"], None, "params in the checkpoint .* must be a tensor"),
    (["params"], torch.zeros(1, 2), "params in the checkpoint .* must be a tensor of torch.float64"),
    (["params"], torch.zeros(1).expand(7, 3), "params in the checkpoint .* must be a tensor of torch.float64"),
    (["history"], [], "history in the checkpoint .* must be a mapping"),
    (["history", "rows"], 9**9, "history.rows in the checkpoint .* must be the number of measured values"),
    (["history", "halved"], [0] * 9, "history.halved in the checkpoint .* must have from 4 to 4 entries, not 9"),
    (["history", "stopped"], {"0": "x"}, "history.stopped in the checkpoint .* must be a mapping of places"),
    (
        ["history", "best_values"],
        torch.zeros(2, dtype=torch.int64),
        "history.best_values in the checkpoint .* must be a tensor of floating",
    ),
    (["optimizer_state", "mean"], 3, "optimizer_state.mean in the checkpoint .* must be a tensor"),
    (["optimizer_state"], {}, "optimizer_state.mean in the checkpoint .* is missing"),
    (["last_finite"], {"params": 1}, "last_finite.gradient in the checkpoint .* is missing"),
    (["start"], "start", "start in the checkpoint .* must be a tensor"),
]


@pytest.mark.parametrize(("path", "value", "said"), HOSTILE, ids=[".".join(map(str, path)) for path, _, _ in HOSTILE])
def test_what_a_checkpoint_says_is_checked_by_key(tmp_path: Path, path: list[str | int], value: object, said: str) -> None:
    checkpoint = Checkpoint(tmp_path / "run", every=1)
    run(problem(), Adam(), 3, checkpoint=checkpoint, callbacks=[lambda progress: progress.step == 1])
    data = checkpoint.load()
    assert data is not None
    inner = data["run"]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    checkpoint.save(data)
    with pytest.raises(OptimizeError, match=said):
        run(problem(), Adam(), 3, checkpoint=checkpoint, resume=True)


@pytest.mark.parametrize("optimizer", ["lbfgs", 'torch("RAdam")'])
@pytest.mark.parametrize("memory", [3, {"exp_avg": "x", "step": None, "d": [], "old_dirs": 3, "n_iter": "one"}])
def test_a_memory_that_no_optimizer_made_is_one_sentence(tmp_path: Path, optimizer: str, memory: object) -> None:
    checkpoint, method = Checkpoint(tmp_path / "run", every=1), parse_optimizer(optimizer)
    run(problem(), method, 60, checkpoint=checkpoint, callbacks=[lambda progress: progress.step > 20])
    data = checkpoint.load()
    assert data is not None
    data["run"]["optimizer_state"]["memory"] = [memory] * 4
    checkpoint.save(data)
    with pytest.raises(OptimizeError, match="its memory is none that"):
        run(problem(), method, 60, checkpoint=checkpoint, resume=True)


def test_what_is_packed_comes_back_with_its_memory_layout() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.float64).reshape(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    values = {
        "images": images,
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "none": torch.zeros(0, 3),
        4: (None, True, float("inf")),
    }
    back = unpack(pack(values), "the file")
    assert list(back) == ["images", "half", "none", 4]
    assert back["images"].stride() == images.stride()
    assert torch.equal(back["images"], images)
    assert torch.equal(back["half"], values["half"])  # type: ignore[arg-type]
    assert back["half"].dtype == torch.bfloat16
    assert tuple(back["none"].shape) == (0, 3)
    assert back[4] == (None, True, float("inf"))


@pytest.mark.parametrize(
    "described",
    [
        '{"tensor": ["float32", [2], [0]]}',
        '{"tensor": ["float32", [1000000000000], [0]]}',
        '{"tensor": ["object", [1], [0]]}',
        '{"tensor": ["float32", [-1], [0]]}',
        '{"tensor": ["float32", [1, 1], [0, 0]]}',
        '{"tensor": []}',
        '{"tensor": null}',
        '{"dict": [[{"dict": []}, 1]]}',
        '{"dict": 3}',
        '{"code": "x"}',
        '{"float": "1e999"}',
        "[1, 2",
    ],
)
def test_bytes_that_nobody_packed_are_one_sentence(described: str) -> None:
    text = described.encode()
    with pytest.raises(OptimizeError, match=r"^the file is damaged: [^\n]+$"):
        unpack(len(text).to_bytes(8, "big") + text + b"1234", "the file")
