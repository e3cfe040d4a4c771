"""Optical flow and what films make of it: times, and the error of known motions in ``extra_info``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")
pytest.importorskip("cv2", reason="needs the extra 'video'")

import cv2

from dreamopt.film.carried import Carried
from dreamopt.film.consistency import reliability
from dreamopt.film.cuts import same_shot
from dreamopt.film.flow import Flow, optical_flow, warp
from dreamopt.film.temporal import Moment
from tests.support.films import Frame, moving_film, photo, quantized, view

SIZES = ((240, 320), (1080, 1920))
PRESETS = ("ULTRAFAST", "FAST", "MEDIUM")
MOTIONS = {"shift": (7.0, 3.0, 1.0), "zoom": (0.0, 0.0, 1.02)}


@lru_cache
def film(size: tuple[int, int]) -> list[Frame]:
    return list(moving_film(5, size))


@lru_cache
def pair(size: tuple[int, int], motion: str) -> tuple[list[Frame], Flow]:
    """Return two frames with grain, and the true flow between them."""
    right, down, zoom = MOTIONS[motion]
    height, width = size
    scale = width / 320
    image = photo("astronaut")
    middle = np.array([height / 2, width / 2])
    at = np.array([150.0, 100.0])
    shifted = at + (middle - middle / zoom - np.array([down, right])) / scale
    frames = [quantized(view(image, size, tuple(at), scale), 2.0, 0), quantized(view(image, size, tuple(shifted), scale * zoom), 2.0, 1)]
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    true = np.stack([right + (zoom - 1) * (columns - middle[1]), down + (zoom - 1) * (rows - middle[0])], -1).astype(np.float32)
    return frames, true


@pytest.mark.parametrize("motion", list(MOTIONS))
@pytest.mark.parametrize("method", [*PRESETS, "Farneback"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
def test_settings_of_the_flow(size: tuple[int, int], method: str, motion: str, benchmark: Any) -> None:
    frames, true = pair(size, motion)
    first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    benchmark.group = f"flow {size[1]}x{size[0]}"
    fresh: Any = None  # no flow to begin with, for which OpenCV's stubs have no type
    if method == "Farneback":  # with DeepDreamAnim's numbers
        flow = benchmark(lambda: cv2.calcOpticalFlowFarneback(first, second, fresh, 0.5, 3, 15, 3, 5, 1.2, 0))
    else:
        preset = getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{method}")
        flow = benchmark(lambda: cv2.DISOpticalFlow.create(preset).calc(first, second, fresh))
    errors = np.hypot(*np.moveaxis(flow - true, -1, 0))[16:-16, 16:-16]
    benchmark.extra_info["mean_end_point_error"] = float(errors.mean())
    benchmark.extra_info["median_end_point_error"] = float(np.median(errors))


@pytest.mark.parametrize("what", ["optical_flow", "reliability", "warp", "warp_cubic", "same_shot", "carried_start"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
def test_parts_of_a_frame(size: tuple[int, int], what: str, benchmark: Any) -> None:
    frames = film(size)
    flow, reverse = optical_flow(frames[4], frames[3]), optical_flow(frames[3], frames[4])
    dreams = [255 - frame for frame in frames]
    benchmark.group = f"parts of a frame {size[1]}x{size[0]}"
    benchmark(
        {
            "optical_flow": lambda: optical_flow(frames[4], frames[3]),
            "reliability": lambda: reliability(flow, reverse),
            "warp": lambda: warp(frames[3], flow),
            "warp_cubic": lambda: warp(frames[3], flow, cubic=True),
            "same_shot": lambda: same_shot(frames[4], frames[3]),
            "carried_start": lambda: Carried().start(Moment(4, frames[4], lambda back: (frames[4 - back], dreams[4 - back]), 10)),
        }[what]
    )
