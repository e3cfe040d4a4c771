"""Restarts serve the start of every octave and stage: what is dead in the first is drawn in a later one, alone and in a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import dreamopt
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import DeadGradientError
from dreamopt.image.files import read_metadata
from dreamopt.optimize import Progress
from dreamopt.recipes import Plan, Settings, execute, plan_render
from dreamopt.recipes.inputs import RecordedInputs
from dreamopt.recipes.store import FolderStore

LARGE = 20
"""Columns that only the second of two octaves, of 17 and 24 pixels, has."""


def units(x: Tensor) -> Tensor:
    """Four units before their ReLU.

    0 has a gradient at every start; 1 only where the right edge is loud, and so only in the second octave, after a restart; 2 never; 3 draws a
    bright image in the first octave, and in the second is closed for bright ones.
    """
    right = x[..., LARGE:]
    loud = right.square().sum((1, 2, 3)) / (3 * x.shape[2] * (x.shape[3] - LARGE)) if right.shape[3] else x.sum((1, 2, 3)) * 0
    mean = x.mean((1, 2, 3))
    return torch.stack([mean + 300, loud - 40.0**2, 0 * mean, mean + 300 if x.shape[3] < LARGE else 10 - mean], 1)


NETWORK = dreamopt.Network(FunctionBackend([("units", "Power", units), ("relu", "ReLU", torch.relu)], (3, 24, 24)))
HOW: dict[str, Any] = {
    "octaves": 2,
    "steps": 4,
    "parametrization": "pixels",
    "transforms": (),
    "jitter": 2,
    "blur": 0.5,
    "optimizer": "adam(3)",
}


def render(targets: str | list[str], **changes: Any) -> list[dreamopt.recipes.Rendered]:
    return dreamopt.render(NETWORK, targets, Settings(**(HOW | changes)))


def spread(image: np.ndarray) -> float:
    return float(image.astype(float).std((0, 1)).mean())


def test_a_dead_first_octave_is_drawn_in_the_second() -> None:
    [one] = render("relu:1", blur=0)
    assert one.dead is None
    assert one.metadata["first_value"] > 0
    assert one.value > 1.1 * one.metadata["first_value"]
    assert one.metadata["start"]["restart"] == 0
    assert one.metadata["start"]["stage"] == 1
    assert one.metadata["start"]["noise"] == 120
    assert one.metadata["steps_made"] == 4
    assert spread(one.image) > 40, "no grey image"
    # It begins with the restart of the second octave's size, and not with what that of the first would have left.
    [alone] = render("relu:1", octaves=1, blur=0)
    assert alone.metadata["start"]["restart"] == 0
    assert alone.metadata["first_value"] == pytest.approx(one.metadata["first_value"], rel=0.2)


def test_a_start_with_a_gradient_is_not_restarted() -> None:
    [one] = render("relu:0")
    assert one.metadata["start"]["restart"] is None
    assert "stage" not in one.metadata["start"]
    assert one.metadata["steps_made"] == 8


def test_a_later_octave_that_is_closed_for_what_the_first_drew_is_restarted() -> None:
    [one] = render("relu:3")
    assert (one.metadata["start"]["restart"], one.metadata["start"]["stage"]) == (0, 1)
    assert one.value > 0
    assert one.metadata["steps_made"] == 8


@pytest.mark.parametrize("number", [0, 1, 3])
def test_in_a_batch_each_sample_is_what_it_is_alone(number: int) -> None:
    [alone], batch = render(f"relu:{number}"), render(["relu:0-3"])
    one = batch[number]
    assert np.array_equal(one.image, alone.image)
    for key in ("value", "first_value", "best_value", "best_step", "steps_made", "dead", "start"):
        assert one.metadata[key] == alone.metadata[key]
    assert (one.dead, batch[2].dead is None) == (None, False)


class CrashError(Exception):
    pass


@pytest.mark.parametrize("step", [2, 6])
def test_resumed_in_either_octave_it_ends_in_the_same_bits(tmp_path: Path, step: int) -> None:
    made = 0

    def crash(_: Progress) -> None:
        nonlocal made
        made += 1
        if made == step:
            raise CrashError

    whole, settings = render(["relu:0-3"]), Settings(**HOW)
    with pytest.raises(CrashError):
        dreamopt.render(NETWORK, "relu:0-3", settings, callbacks=[crash], store=FolderStore(tmp_path / "a.png", every=1))
    again = dreamopt.render(NETWORK, "relu:0-3", settings, store=FolderStore(tmp_path / "a.png", every=1, resume=True))
    for one, other in zip(again, whole, strict=True):
        assert np.array_equal(one.image, other.image)
        assert one.metadata == other.metadata


def test_replayed_it_is_the_same_and_an_image_from_before_is_what_it_was(tmp_path: Path) -> None:
    [one, _] = dreamopt.render(NETWORK, ["relu:1", "relu:0"], Settings(**HOW), store=FolderStore(tmp_path / "a.png"))
    assert one.path is not None
    metadata = read_metadata(one.path)
    assert metadata["restarts_every_stage"] is True
    plan = Plan.read(metadata, RecordedInputs({}))
    assert plan.restarts_every_stage
    [again, _] = list(execute(plan, NETWORK))
    assert np.array_equal(again.image, one.image)
    del metadata["restarts_every_stage"]  # as it was written before restarts served every stage
    [before, _] = list(execute(Plan.read(metadata, RecordedInputs({})), NETWORK))
    assert before.dead is not None
    assert spread(before.image) < 15


def test_interrupted_before_its_octave_a_sample_is_its_start() -> None:
    plan = plan_render(NETWORK, ["relu:0", "relu:1"], Settings(**HOW))
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls >= 2

    moved, start = list(execute(plan, NETWORK, stop=stop))
    assert moved.interrupted
    assert start.interrupted
    assert (moved.metadata["steps_made"], start.metadata["steps_made"]) == (2, 0)
    assert moved.dead is None
    assert "relu" in str(start.dead)
    assert moved.image.shape == start.image.shape == (24, 24, 3)


def test_no_restart_in_an_image_that_was_given(tmp_path: Path) -> None:
    grey = np.full((24, 24, 3), 120, np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    with pytest.raises(DeadGradientError, match="relu:1"):
        render("relu:1", init=str(tmp_path / "grey.png"))
    alive, dead = render(["relu:0", "relu:1"], init=str(tmp_path / "grey.png"))
    assert alive.dead is None
    assert "relu" in str(dead.dead)
    assert np.abs(dead.image.astype(int) - 120).max() <= 1


def test_a_stage_keeps_what_an_earlier_one_drew_and_restarts_the_rest() -> None:

    stages: list[dict[str, Any]] = [{"steps": 4, "target": "relu:0"}, {"steps": 3, "target": "relu:3"}]
    [kept] = render("relu:3", octaves=1, stages=stages)
    [alone] = render("relu:0", octaves=1, steps=4)
    assert kept.metadata["start"]["restart"] is None
    assert np.array_equal(kept.image, alone.image), "dead in the second stage, it is what the first one drew"
    [drawn] = render("relu:1", octaves=1, blur=0, stages=[{"steps": 4, "target": "relu:2"}, {"steps": 3, "target": "relu:1"}])
    assert (drawn.metadata["start"]["restart"], drawn.metadata["start"]["stage"]) == (0, 1)
    assert drawn.value > drawn.metadata["first_value"] > 0
    assert drawn.metadata["steps_made"] == 3
