"""Zooms: each frame from the one before, targets in turn, colours kept, films that close."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dreamopt
from dreamopt.errors import DeadGradientError, UsageError
from dreamopt.film.motion import Motion, moved
from dreamopt.film.seam import change, measured_seam
from dreamopt.network import Network
from dreamopt.objectives import Channel, Energy
from dreamopt.recipes.cycle import Cycle, gradient_scales
from dreamopt.recipes.dream import plan_dream
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.zoom import CHANGES, execute_zoom, plan_zoom
from dreamopt.recipes.zoom_settings import ZoomSettings


@pytest.fixture(scope="module")
def net() -> Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    down, across = np.mgrid[:42, :58]
    waves = [np.sin(down / 5) + np.cos(across / 6), np.sin((down + across) / 7), np.cos(down / 4 - across / 9)]
    return np.rint(np.stack([127 + 50 * wave for wave in waves], axis=-1)).clip(0, 255).astype(np.uint8)


class Kept:
    """Frames in memory."""

    def __init__(self, frames: dict[int, np.ndarray] | None = None) -> None:
        self.frames = dict(frames or {})
        self.saved: list[int] = []

    def done(self, number: int) -> bool:
        return number in self.frames

    def read(self, number: int) -> np.ndarray:
        return self.frames[number]

    def save(self, number: int, image: np.ndarray, metadata: Mapping[str, Any]) -> None:
        self.frames[number] = image
        self.saved.append(number)


def test_each_frame_is_the_one_before_moved_and_dreamed(net: Network, photo: np.ndarray) -> None:
    fields = {"seconds": 0.8, "fps": 5, "zoom": 1.8, "rotate": 25, "shift": (6, -3), "keep_colours": 0}
    frames = [one.image for one in dreamopt.zoom(net, photo, "mixed3", seed=7, **fields)]
    assert len(frames) == 4
    settings = resolve_settings("deepdream2015", CHANGES)
    motion, start = Motion(1.8 ** (1 / 5), 5, (1.2, -0.6)), photo
    for number, frame in enumerate(frames):
        expected = dreamopt.dream(net, start, "mixed3", replace(settings, seed=7 + number)).image
        assert np.array_equal(frame, expected), f"frame {number}"
        start = moved(frame, motion)


def test_finished_frames_are_not_made_again_and_give_the_same_film(net: Network, photo: np.ndarray) -> None:
    plan = plan_zoom(net, photo, "mixed3", film=ZoomSettings(seconds=1.2, fps=5, zoom=1.5, loop=True))
    whole = Kept()
    assert [one.index for one in execute_zoom(plan, net, store=whole)] == list(range(6))
    for finished in (1, 4):
        part = Kept({number: whole.frames[number] for number in range(finished)})
        again = list(execute_zoom(plan, net, store=part))
        assert part.saved == list(range(finished, 6))
        assert all(np.array_equal(one.image, whole.frames[one.index]) for one in again)


def test_it_stops_after_the_frame_that_is_finished(net: Network, photo: np.ndarray) -> None:
    plan, kept = plan_zoom(net, photo, "mixed3", film=ZoomSettings(seconds=2, fps=5)), Kept()
    steps: list[object] = []
    made = list(execute_zoom(plan, net, store=kept, callbacks=[steps.append], stop=lambda: len(steps) >= 6))
    assert len(made) == len(kept.frames) == 1  # 4 steps a frame: the second one was cut, and is not kept


@pytest.mark.parametrize(
    "motion",
    [{"zoom": 3.0, "rotate": 15}, {"zoom": 0.5}, {"zoom": 1, "rotate": 30}, {"zoom": 1, "shift": (9, 4)}, {"zoom": "Linear(1.2, 2.5)"}],
    ids=str,
)
def test_a_film_that_closes_has_no_seam(net: Network, photo: np.ndarray, motion: dict[str, object]) -> None:
    settings = ZoomSettings(seconds=4, fps=12, loop=True, **motion)  # type: ignore[arg-type]  # of all kinds
    plan = plan_zoom(net, photo, "mixed3", resolve_settings("deepdream2015", {"octaves": 1, "steps": 2}), settings)
    frames = [one.image for one in execute_zoom(plan, net)]
    closed = measured_seam(frames, settings.motion)
    assert closed.seam <= closed.median
    # And nothing before it: the first frame comes in with little more change than the dream itself makes.
    assert closed.largest <= 2.5 * closed.median
    assert change(frames[24], frames[0], Motion()) > 5 * closed.median  # it has been elsewhere


@pytest.mark.parametrize("motion", [{"zoom": 2}, {"zoom": 1, "rotate": 20}], ids=str)
def test_a_short_film_has_no_seam_either(net: Network, photo: np.ndarray, motion: dict[str, object]) -> None:
    settings = ZoomSettings(seconds=1, fps=4, loop=True, **motion)  # type: ignore[arg-type]  # of all kinds
    closed = measured_seam([one.image for one in execute_zoom(plan_zoom(net, photo, "mixed3", film=settings), net)], settings.motion)
    assert closed.seam <= closed.median


def test_a_film_that_closes_begins_as_any_other(net: Network, photo: np.ndarray) -> None:
    settings = ZoomSettings(seconds=2, fps=8, loop=True)
    count, appears = settings.closing
    assert 0 < appears <= count <= 8
    plan = plan_zoom(net, photo, "mixed3", film=settings)
    closed = [one.image for one in execute_zoom(plan, net)]
    other = [one.image for one in execute_zoom(replace(plan, film=replace(settings, loop=False)), net)]
    same = [np.array_equal(a, b) for a, b in zip(closed, other, strict=True)]
    assert same == [True] * (16 - count) + [False] * count


def test_colours_are_kept(net: Network, photo: np.ndarray) -> None:
    fields = {"seconds": 3, "fps": 8, "steps": 4, "octaves": 1, "lr": 6}
    spread = {}
    for part in (0, 0.3):
        *_, last = dreamopt.zoom(net, photo, "conv2", keep_colours=part, **fields)
        spread[part] = np.abs(last.image.astype(float) - photo.mean((0, 1))).mean()
    assert spread[0.3] < 0.8 * spread[0]


def test_targets_take_turns() -> None:
    one, two, three = Energy("a"), Energy("b"), Channel("c", 1)
    cycle = Cycle((one, two, three), (2.0, 1.0, 4.0), each=4, fade=0.5, frames=16)
    weights = np.array([cycle.weights(frame) for frame in range(16)])
    assert weights.sum(1) == pytest.approx(1)
    assert weights.argmax(1)[[0, 1, 2, 4, 5, 8, 10, 12, 15]].tolist() == [0, 0, 0, 1, 1, 2, 2, 0, 0]
    assert weights[[3, 7, 11]] == pytest.approx(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]))
    assert cycle.weights(15) == (1, 0, 0)  # the film ends with this turn
    assert replace(cycle, closes=True).weights(15) == (0.5, 0.5, 0)
    assert str(cycle.objective(3)) == f"{0.5 * one} + {two}"
    assert cycle.objective(8) == 0.5 * three
    assert replace(cycle, fade=0).weights(3) == (1, 0, 0)


def test_scales_are_the_sizes_of_gradients(net: Network, photo: np.ndarray) -> None:
    plan = plan_dream(net, photo, "mixed3", resolve_settings("deepdream2015", CHANGES))
    objective = plan.samples[0].objective
    found = gradient_scales(net, plan, [objective, 4 * objective])
    assert found[1] / found[0] == pytest.approx(4, rel=0.05)
    with pytest.raises(UsageError, match="has no gradient"):
        gradient_scales(net, plan, [objective, 0 * objective])


def test_a_cycle_is_dreamed_in_turn(net: Network, photo: np.ndarray) -> None:
    frames = list(dreamopt.zoom(net, photo, cycle=["conv2", "mixed4"], seconds=1, fps=4, fade=0, steps=1))
    texts = [one.metadata["target"] for one in frames]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    alone = next(dreamopt.zoom(net, photo, "conv2", seconds=1, fps=4, steps=1))
    assert np.array_equal(frames[0].image, alone.image)


def test_metadata_say_which_frame_and_how_it_moved(net: Network, photo: np.ndarray) -> None:
    _, two = dreamopt.zoom(net, photo, "mixed3", seconds=0.5, fps=4, zoom=16, rotate=8, steps=1)
    assert two.metadata["frame"] == 1
    assert two.metadata["motion"] == {"zoom": 2.0, "degrees": 2.0, "shift": [0.0, 0.0]}


def test_one_frame_changes_less_than_the_motion(net: Network, photo: np.ndarray) -> None:
    """Undoing the motion matters: without it frames differ by far more."""
    settings = ZoomSettings(seconds=0.6, fps=5, zoom=3)
    _, two, three = (one.image for one in execute_zoom(plan_zoom(net, photo, "mixed3", film=settings), net))
    assert change(two, three, settings.motion(2)) < 0.6 * change(two, three, Motion())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"seconds": 0}, "seconds must be above 0, not 0"),
        ({"fps": 0}, "fps must be"),
        ({"fps": 1e-4, "seconds": 20000}, "fps must be from 0.001 to 240, not 0.0001"),  # whose fraction would be 0
        ({"each": 1e-310}, "each must be at least 0.001, not 1e-310"),
        ({"seconds": 0.1, "fps": 2}, "are no film of 1 to"),
        ({"zoom": 0}, "zoom must be from 0.01 to 100, not 0"),
        ({"zoom": "fast"}, "zoom must be"),
        ({"zoom": "Linear(1, 0)"}, "gives numbers from 0 to 1"),
        ({"shift": 3}, "shift must be two numbers"),
        ({"keep_colours": 2}, "keep_colours must be from 0 to 1"),
        ({"loop": "yes"}, "loop must be True or False"),
        ({"loop": True, "seconds": 1, "fps": 3}, "at least 4 frames"),
    ],
)
def test_settings_are_checked(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ZoomSettings(**fields)  # type: ignore[arg-type]  # on purpose


def test_what_does_not_fit_is_one_sentence(net: Network, photo: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"zoom has no setting 'speed' \(did you mean seed\?\); it has seconds, fps, zoom"):
        dreamopt.zoom(net, photo, "mixed3", speed=2)
    with pytest.raises(UsageError, match="memory must be a number from 1 to 1e\\+15, not '1GB'"):
        dreamopt.zoom(net, photo, "mixed3", memory="1GB")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(UsageError, match="give one of them"):
        dreamopt.zoom(net, photo, "mixed3", cycle=["conv2"])
    with pytest.raises(DeadGradientError):
        next(dreamopt.zoom(net, np.zeros((42, 58, 3), np.uint8), '0*energy("mixed3")'))
