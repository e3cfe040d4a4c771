"""Where flow can be trusted: flows whose answer is known, and the formulas pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamopt.film.consistency import Motion, reliability
from tests.support.films import photo, quantized, view

Flow = NDArray[np.float32]


def plain(flow: Flow, reverse: Flow) -> NDArray[np.float64]:
    """Return the mask as the formulas say it, in loops: before the Gaussian -255 where hidden, 0 where outside or on a rim, else 255."""
    height, width = flow.shape[:2]
    marks = np.full((height, width), 255.0)
    for y in range(height):
        for x in range(width):
            w = flow[y, x].astype(float)
            at_x, at_y = x + w[0], y + w[1]
            if not (0 <= at_x <= width - 1 and 0 <= at_y <= height - 1):
                marks[y, x] = 0
                continue
            left, top = min(int(at_x), max(0, width - 2)), min(int(at_y), max(0, height - 2))
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = at_x - left, at_y - top
            upper = (1 - a) * reverse[top, left] + a * reverse[top, right]
            lower = (1 - a) * reverse[bottom, left] + a * reverse[bottom, right]
            back = (1 - b) * upper + b * lower
            if ((w + back) ** 2).sum() >= 0.01 * ((w**2).sum() + (back**2).sum()) + 0.5:
                marks[y, x] = -255
                continue
            dx = (flow[y, min(x + 1, width - 1)].astype(float) - flow[y, max(x - 1, 0)]) / 2
            dy = (flow[min(y + 1, height - 1), x].astype(float) - flow[max(y - 1, 0), x]) / 2
            if (dx**2).sum() + (dy**2).sum() > 0.01 * (w**2).sum() + 0.002:
                marks[y, x] = 0
    kernel = [math.exp(-(k**2) / (2 * 0.8**2)) for k in range(-2, 3)]
    smooth = np.zeros_like(marks)
    for y in range(height):
        for x in range(width):
            for i, p in enumerate(kernel):
                for j, q in enumerate(kernel):
                    smooth[y, x] += p * q / sum(kernel) ** 2 * marks[np.clip(y + i - 2, 0, height - 1), np.clip(x + j - 2, 0, width - 1)]
    return np.clip(smooth, 0, 255) / 255


def square(shift: int, size: tuple[int, int] = (40, 60), top: int = 12, left: int = 20, side: int = 14) -> tuple[Flow, Flow]:
    """Return the flows from a frame to the one before and back, of a square that moved to the right by so many columns to (top, left)."""
    back, forth = np.zeros((*size, 2), dtype=np.float32), np.zeros((*size, 2), dtype=np.float32)
    back[top : top + side, left : left + side, 0] = -shift
    forth[top : top + side, left - shift : left - shift + side, 0] = shift
    return back, forth


@pytest.mark.parametrize("shift", [3, 6])
def test_a_square_over_a_background_hides_a_strip(shift: int) -> None:
    mask = reliability(*square(shift))
    strip = slice(20 - shift, 20)  # of this frame's background, behind the square in the frame before
    assert mask[12:26, strip].max() == 0
    assert mask[15:23, 23:31].min() == pytest.approx(1)  # inside the square
    assert mask[30:, :].min() == mask[:8, :].min() == pytest.approx(1)  # the background far away
    # The square's rim is where motion changes. Hidden pixels count as -1, so that they darken the pixels beside them more than a rim does.
    hidden_side, rim_side = mask[18, 20 - shift - 1], mask[18, 35]
    assert mask[18, 20] == 0
    assert mask[18, 33] == mask[18, 34] == pytest.approx(0.27, abs=0.01)
    assert hidden_side == pytest.approx(0.5, abs=0.01)
    assert rim_side == pytest.approx(0.75, abs=0.01)


def test_it_is_what_the_formulas_say_on_any_flow() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.meshgrid(np.arange(17), np.arange(23), indexing="ij")
    smooth = np.stack([3 * np.sin(rows / 5), 2 * np.cos(columns / 4)], -1)
    kinds = set()
    for noise in (0.0, 0.05, 0.4, 1.5):
        flow = (smooth + rng.normal(0, noise, smooth.shape)).astype(np.float32)
        reverse = (-smooth + rng.normal(0, noise, smooth.shape)).astype(np.float32)
        beside = plain(flow, reverse)
        kinds |= set(np.unique(np.sign(beside - 0.5)))
        np.testing.assert_allclose(reliability(flow, reverse), beside, atol=1e-5)
    assert kinds >= {-1.0, 1.0}


@pytest.mark.parametrize("shift", [3, 6])
def test_the_square_is_what_the_formulas_say(shift: int) -> None:
    back, forth = square(shift)
    np.testing.assert_allclose(reliability(back, forth), plain(back, forth), atol=1e-5)
    np.testing.assert_allclose(reliability(forth, back), plain(forth, back), atol=1e-5)


@pytest.mark.parametrize(
    ("error", "reliable"),
    [(0.705, True), (0.715, False)],  # at rest: 0.99 * 0.711 squared = 0.5
)
def test_the_threshold_of_the_first_test(error: float, reliable: bool) -> None:
    still, off = np.zeros((9, 11, 2), dtype=np.float32), np.zeros((9, 11, 2), dtype=np.float32)
    off[..., 1] = error
    assert reliability(still, off).min() == reliability(still, off).max() == pytest.approx(float(reliable), abs=0.03)


def test_an_image_of_one_pixel_or_one_row() -> None:
    for size in ((1, 1), (1, 9), (9, 1)):
        still = np.zeros((*size, 2), dtype=np.float32)
        assert (reliability(still, still) > 0.999).all()


def test_the_motion_between_frames_of_a_moving_disc() -> None:
    background, disc = photo("coffee"), photo("astronaut")
    rows, columns = np.meshgrid(np.arange(96), np.arange(128), indexing="ij")
    frames, insides = [], []
    for left in (40, 48):
        inside = np.hypot(rows - 50, columns - left - 20) < 20
        moved = view(disc, (96, 128), (50, 180 - left))
        frames.append(quantized(np.where(inside[..., None], moved, view(background, (96, 128), (120, 200))), 2.0, left))
        insides.append(inside)
    motion = Motion.between(frames[1], frames[0])
    uncovered = insides[0] & ~insides[1]
    background_far = np.hypot(rows - 50, columns - 64) > 44
    assert motion.reliable[uncovered].mean() < 0.2
    assert motion.reliable[background_far].mean() > 0.9
    core = np.hypot(rows - 50, columns - 68) < 10
    assert np.median(motion.flow[core], 0) == pytest.approx([-8, 0], abs=0.3)
    assert motion.reliable[core].mean() > 0.9
