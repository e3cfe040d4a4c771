"""Motions of a camera, images moved by them, and the change beside them."""

import math

import numpy as np
import pytest

from dreamopt.film.motion import Motion, came_from, composed, moved, stayed
from dreamopt.film.seam import change, measured_seam


def field(motion: Motion, size: tuple[int, int] = (37, 52)) -> np.ndarray:
    """Return a smooth image, moved exactly: sampled where its content came from."""
    x, y = came_from(size, motion)
    waves = [np.sin(x / 5 + y / 9), np.cos(x / 7 - y / 4), np.sin(y / 6)]
    return np.rint(np.stack([127 + 100 * wave for wave in waves], axis=-1)).astype(np.uint8)


@pytest.mark.parametrize(
    "motion", [Motion(1.2), Motion(0.9), Motion(degrees=11.0), Motion(shift=(3.4, -2.6)), Motion(1.1, -7.0, (2.0, 1.5))], ids=str
)
def test_a_moved_image_is_the_scene_seen_from_there(motion: Motion) -> None:
    inside = stayed((37, 52), motion, margin=3)
    difference = np.abs(moved(field(Motion()), motion).astype(int) - field(motion))
    assert inside.mean() > 0.4
    assert difference[inside].max() <= 3
    assert difference[inside].mean() < 0.5


def test_directions() -> None:
    image = np.zeros((9, 15, 3), np.uint8)
    image[2, 10] = 255  # two rows above the centre, three columns to the right of it
    assert np.argwhere(moved(image, Motion(shift=(2, 1)))[..., 0] == 255).tolist() == [[3, 12]]
    square = np.zeros((15, 15, 3), np.uint8)
    square[2, 8] = 255
    assert np.argwhere(moved(square, Motion(degrees=90))[..., 0] > 250).tolist() == [[6, 2]]
    wide = np.zeros((9, 15, 3), np.uint8)
    wide[3, 8] = 255
    assert np.unravel_index(moved(wide, Motion(2.0))[..., 0].argmax(), (9, 15)) == (2, 9)


def test_motions_are_composed_and_undone() -> None:
    steps = [Motion(1.1, 20, (3, 0)), Motion(0.7, -5, (0, 2)), Motion(1.3, 40, (-1, 4))]
    whole, point = composed(steps), np.array([4.0, -7.0])
    moving = point
    for step in steps:
        moving = step.matrix @ moving + step.shift
    assert whole.matrix @ point + whole.shift == pytest.approx(moving)
    back = whole.inverse()
    assert back.matrix @ moving + back.shift == pytest.approx(point)


def test_detail_survives_hundreds_of_frames() -> None:
    """Linear interpolation would leave nothing of a pattern of 8 pixels after 200 shifts by half a pixel; the spline keeps it."""
    columns = np.arange(64)
    stripes = np.repeat((127 + 100 * np.sin(columns * math.pi / 4))[None, :, None], 5, axis=0).round().astype(np.uint8)
    image = np.repeat(stripes, 3, axis=2)
    for number in range(200):
        image = moved(image, Motion(shift=(0.5 if number % 2 else -0.5, 0)))
    assert image[:, 20:44].std() > 0.5 * stripes[:, 20:44].std()


def test_shrinking_leaves_no_pixels_out() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[::4] = 240  # lines that every fourth row alone would show, or miss
    small = moved(image, Motion(0.25))[24:40, 36:60]
    assert abs(small.mean() - image.mean()) < 6
    assert small.std() < 12


def test_only_what_was_in_the_frame_before_is_compared() -> None:
    before = field(Motion())
    after = moved(before, Motion(0.8, 5))
    spoiled = after.copy()
    spoiled[~stayed(after.shape[:2], Motion(0.8, 5))] ^= 255
    assert change(before, spoiled, Motion(0.8, 5)) == 0
    assert change(before, after + 2, Motion(0.8, 5)) == pytest.approx(2)
    assert math.isnan(change(before, after, Motion(shift=(1000, 0))))


def test_a_seam_is_measured_between_the_last_frame_and_the_first() -> None:
    motion = Motion(1.05, 2)
    frames = [field(Motion())]
    for level in (1, 3, 2):
        frames.append(moved(frames[-1], motion) + np.uint8(level))
    found = measured_seam(iter(frames), lambda number: motion if number else composed([motion] * 3).inverse())
    assert found.median == pytest.approx(2)
    assert found.largest == pytest.approx(3)
    assert found.seam > 3  # the changes add up, and the image is resampled
    assert "between neighbours" in str(found)
