"""Cuts between photographs are found; motion, grain, flashes and fades are no cuts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dreamopt.errors import ImageError
from dreamopt.film.cuts import resemblance, same_shot
from tests.support.films import Frame, panned, photo, quantized, view

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")
SIZE = (90, 160)


def shot(name: str, count: int = 4, step: tuple[float, float] = (1.0, 4.0), grain: float = 3.0) -> list[Frame]:
    return list(panned(name, count, SIZE, step, grain))


def cuts(film: list[Frame]) -> list[int]:
    """Return the numbers of frames that show another shot than the one before."""
    return [number for number in range(1, len(film)) if not same_shot(film[number], film[number - 1])]


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(PHOTOS, 2))[::3])
def test_a_cut_between_photographs_while_panning(first: str, second: str) -> None:
    assert cuts(shot(first) + shot(second)) == [4]


@pytest.mark.parametrize("name", PHOTOS)
def test_motion_and_grain_are_no_cuts(name: str) -> None:
    assert cuts(shot(name, 3, (0.0, 0.0), 20.0)) == []
    assert cuts(shot(name, 4, (9.0, 22.0))) == []  # a seventh of the image's width a frame
    assert cuts(list(panned(name, 4, SIZE, (0.0, 1.0), 3.0, zoom=1.12))) == []


@pytest.mark.parametrize("name", PHOTOS)
def test_an_object_that_covers_half_the_image_is_no_cut(name: str) -> None:
    other = photo(PHOTOS[PHOTOS.index(name) - 1])
    film = []
    for number, frame in enumerate(shot(name, 4, (0.0, 2.0))):
        edge = 90 - 10 * number
        covered = frame.copy()
        covered[:, :edge] = quantized(view(other, (90, edge), (60, 80 + 10 * number)), 3.0, number)
        film.append(covered)
    assert cuts(film) == []


@pytest.mark.parametrize("name", PHOTOS)
def test_a_flash_is_no_cut_or_the_shot_goes_on_after_it(name: str) -> None:
    film = shot(name, 5)
    film[2] = np.clip(1.5 * film[2].astype(float) + 70, 0, 255).astype(np.uint8)
    assert cuts(film) in ([], [2, 3])
    assert same_shot(film[3], film[1])
    film[2] = np.full_like(film[2], 255)
    assert same_shot(film[3], film[1])
    assert not same_shot(film[2], film[1])


def test_a_fade_through_black_has_a_cut_at_black_alone() -> None:
    first, second = shot("astronaut", 6), shot("coffee", 6)
    out = [(frame * (1 - number / 6)).astype(np.uint8) for number, frame in enumerate(first)]
    black = [np.zeros_like(first[0])] * 2
    back = [(frame * ((number + 1) / 6)).astype(np.uint8) for number, frame in enumerate(second)]
    assert cuts(out + black + back) == [6, 8]


def test_a_gradual_change_of_scene_is_no_cut() -> None:
    first, second = shot("astronaut", 11), shot("coffee", 11)
    film = [(a * (1 - n / 10) + b * (n / 10)).astype(np.uint8) for n, (a, b) in enumerate(zip(first, second, strict=True))]
    assert cuts(film) == []


def test_what_is_compared() -> None:
    frame = shot("astronaut", 1)[0]
    itself = resemblance(frame, frame)
    assert (itself.reliable, itself.structure, itself.colours) == pytest.approx((1, 1, 1), abs=1e-3)
    darker = resemblance((frame // 2), frame)
    assert darker.structure > 0.9
    assert darker.colours < 0.6
    white, black = np.full_like(frame, 255), np.zeros_like(frame)
    assert np.isnan(resemblance(white, black).structure)
    assert not same_shot(white, black)
    assert same_shot(black, black)
    with pytest.raises(ImageError, match="must have one size"):
        same_shot(frame, frame[1:])


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (1, 300), (20, 700)])
def test_frames_of_odd_sizes(size: tuple[int, int]) -> None:
    frame = quantized(view(photo("astronaut"), size, (100, 100)), 2.0)
    assert same_shot(frame, frame)
