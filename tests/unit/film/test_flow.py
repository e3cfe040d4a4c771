"""Optical flow of known motions, and sampling by it."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from dreamopt.errors import ImageError
from dreamopt.film import flow as module
from dreamopt.film.flow import optical_flow, warp
from tests.support.films import photo, quantized, view

SIZE = (90, 130)


def pair(shift: tuple[float, float], size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Return two frames; what is at p in the first is at p + shift (columns, rows) in the second."""
    image = photo("astronaut")
    return quantized(view(image, size, (150, 170))), quantized(view(image, size, (150 - shift[1], 170 - shift[0])))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (7.0, 3.0), (-2.5, 0.75), (11.0, -8.0)])
def test_the_flow_of_a_shift_is_the_shift(shift: tuple[float, float]) -> None:
    flow = optical_flow(*pair(shift))
    assert flow.shape == (*SIZE, 2)
    assert flow.dtype == np.float32
    inside = flow[16:-16, 16:-16] - np.float32(shift)
    assert np.median(np.hypot(inside[..., 0], inside[..., 1])) < 0.15


def test_a_zoom() -> None:
    image = photo("astronaut")
    first, second = (quantized(view(image, SIZE, (100 + 45 - 45 / z, 150 + 65 - 65 / z), z)) for z in (1.0, 1.05))
    flow = optical_flow(first, second)
    rows, columns = np.meshgrid(np.arange(SIZE[0]) - 45, np.arange(SIZE[1]) - 65, indexing="ij")
    error = np.hypot(flow[..., 0] - 0.05 * columns, flow[..., 1] - 0.05 * rows)[8:-8, 8:-8]
    assert np.median(error) < 0.15


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (60, 1), (7, 9), (12, 64), (15, 100), (31, 33)])
def test_frames_below_the_least_size_of_the_method(size: tuple[int, int]) -> None:
    flow = optical_flow(*pair((1.0, 0.0), size))
    assert flow.shape == (*size, 2)
    assert np.isfinite(flow).all()
    if min(size) >= 12:
        assert np.median(flow[..., 0]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("size", [(90, 130), (91, 131)])
def test_large_frames_at_half_the_size(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    frames = pair((6.0, -4.0), size)
    whole = optical_flow(*frames)
    monkeypatch.setattr(module, "MOST_PIXELS", 45 * 65)
    half = optical_flow(*frames)
    assert not np.array_equal(whole, half)
    assert half.shape == whole.shape
    assert np.median(half[16:-16, 16:-16], (0, 1)) == pytest.approx([6, -4], rel=0.05)


def test_the_same_bits_on_any_number_of_threads() -> None:
    import cv2

    frames, before, flows = pair((3.0, 2.0)), cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            flows.append(optical_flow(*frames))
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(flow, flows[0]) for flow in flows)


def test_frames_that_do_not_fit() -> None:
    first, second = pair((1.0, 0.0))
    with pytest.raises(ImageError, match="must have one size, not 130 x 90 and 129 x 90"):
        optical_flow(first, second[:, 1:])
    with pytest.raises(ImageError, match=r"a frame is \(H, W, 3\) of uint8 with at least one pixel, not \(90, 130\) of uint8"):
        optical_flow(first[..., 0], second[..., 0])
    with pytest.raises(ImageError, match="of float64"):
        optical_flow(first.astype(float), second.astype(float))


def test_without_opencv_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **named: Any) -> Any:
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImageError, match=r"^optical flow needs OpenCV \(No module named 'cv2'\): pip install 'dreamopt\[video\]'$"):
        optical_flow(*pair((1.0, 0.0)))


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (23, 31)])
def test_linear_sampling_beside_scipys(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    image, flow = rng.normal(0, 50, (*size, 4)), rng.normal(0, 6, (*size, 2)).astype(np.float32)
    rows, columns = np.meshgrid(*map(np.arange, size), indexing="ij")
    places = [rows + flow[..., 1].astype(float), columns + flow[..., 0].astype(float)]
    beside = np.stack([ndimage.map_coordinates(image[..., c], places, order=1, mode="nearest") for c in range(4)], -1)
    sampled = warp(image, flow)
    assert sampled.dtype == np.float32
    np.testing.assert_allclose(sampled, beside, atol=2e-3)


def test_cubic_sampling_keeps_more_of_the_detail() -> None:
    image = photo("astronaut")[100:164, 100:180]
    there, back = np.full((64, 80, 2), 0.5, dtype=np.float32), np.full((64, 80, 2), -0.5, dtype=np.float32)
    errors = [np.abs(warp(warp(image, there, cubic=cubic), back, cubic=cubic) - image)[4:-4, 4:-4].mean() for cubic in (False, True)]
    assert errors[1] < 0.7 * errors[0]


def test_a_flow_moves_a_frame_onto_the_other() -> None:
    first, second = pair((5.0, -3.0))
    moved = warp(second, optical_flow(first, second))
    assert np.abs(moved - first)[8:-8, 8:-8].mean() < 0.05 * np.abs(second.astype(float) - first).mean()
    with pytest.raises(ImageError, match="cannot be sampled by a flow"):
        warp(second[1:], optical_flow(first, second))
