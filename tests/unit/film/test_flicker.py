"""The measure of flicker: its numbers on films whose flicker is known, and what carrying dreams along does to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import dreamopt
from dreamopt.errors import ImageError
from dreamopt.film.carried import Carried
from dreamopt.film.consistency import Motion
from dreamopt.film.flicker import measure_flicker
from tests.support.films import Frame, dreamed, moving_film, of_equal_strength, panned

SIZE = (72, 96)


def film(count: int = 5, grain: float = 0.0) -> list[Frame]:
    return list(panned("astronaut", count, SIZE, (1.0, 3.0), grain))


def test_it_is_what_the_formula_says() -> None:
    inputs = film(3, 2.0)
    rng = np.random.default_rng(1)
    outputs = [np.clip(frame + rng.integers(-30, 31, frame.shape), 0, 255).astype(np.uint8) for frame in inputs]
    above, below, of_inputs = 0.0, 0.0, 0.0
    for number in (1, 2):
        motion = Motion.between(inputs[number], inputs[number - 1])
        for y, x in itertools.product(*map(range, SIZE)):
            weight = float(motion.reliable[y, x])
            below += weight
            for films, which in ((outputs, 0), (inputs, 1)):
                difference = films[number][y, x] - moved(films[number - 1], motion, y, x)
                above, of_inputs = (
                    (above + weight * (difference**2).mean(), of_inputs)
                    if which == 0
                    else (above, of_inputs + weight * (difference**2).mean())
                )
    report = measure_flicker(inputs, outputs)
    assert report.warping_error == pytest.approx(above / below, rel=1e-4)
    assert report.input_warping_error == pytest.approx(of_inputs / below, rel=1e-4)
    assert report.excess == report.warping_error - report.input_warping_error
    strengths = [np.abs(output.astype(float) - frame).mean() for output, frame in zip(outputs, inputs, strict=True)]
    assert report.strengths == pytest.approx(strengths)
    assert report.strength == pytest.approx(np.mean(strengths))
    assert (report.frames, report.cuts) == (3, 0)


def moved(frame: Frame, motion: Motion, y: int, x: int) -> np.ndarray:
    """Return a pixel of a frame where the flow leads to, linearly interpolated."""
    at_y, at_x = np.clip(y + motion.flow[y, x, 1], 0, SIZE[0] - 1), np.clip(x + motion.flow[y, x, 0], 0, SIZE[1] - 1)
    top, left = min(int(at_y), SIZE[0] - 2), min(int(at_x), SIZE[1] - 2)
    a, b = at_x - left, at_y - top
    part = frame[top : top + 2, left : left + 2].astype(float)
    return (1 - b) * ((1 - a) * part[0, 0] + a * part[0, 1]) + b * ((1 - a) * part[1, 0] + a * part[1, 1])


def test_what_moves_with_the_film_does_not_flicker_and_what_stays_does() -> None:
    inputs = film(5)
    stripes = (40 * np.sin(np.arange(400) / 3))[None, :, None]
    fixed = [np.clip(frame + stripes[:, :96], 0, 255).astype(np.uint8) for frame in inputs]
    moving = [np.clip(frame + stripes[:, 3 * n : 3 * n + 96], 0, 255).astype(np.uint8) for n, frame in enumerate(inputs)]
    steady, flickering = measure_flicker(inputs, moving), measure_flicker(inputs, fixed)
    assert steady.strength == pytest.approx(flickering.strength, rel=0.03)
    assert steady.excess < 0.05 * flickering.excess
    itself = measure_flicker(inputs, inputs)
    assert itself.excess == itself.strength == 0


def test_the_floor_is_the_inputs_grain() -> None:
    inputs = film(4, 6.0)
    floor = measure_flicker(inputs, inputs).input_warping_error
    assert 0.7 * 36 < floor < 2.2 * 36  # linear sampling averages some of the grain of the frame before


def test_pairs_across_a_cut_are_left_out() -> None:
    first, second = film(3), list(panned("coffee", 3, SIZE, (0.0, 2.0)))
    report = measure_flicker(first + second, first + second)
    assert (report.frames, report.cuts) == (6, 1)
    apart = [measure_flicker(part, part).warping_error for part in (first, second)]
    assert min(apart) < report.warping_error < max(apart)
    alone = measure_flicker(first[:1], first[:1])
    assert np.isnan(alone.warping_error)
    assert alone.describe()["warping_error"] is None


def test_frames_are_read_one_by_one() -> None:
    inputs, taken = film(4), list[tuple[str, int]]()

    def reading(name: str) -> Iterator[Frame]:
        for number, frame in enumerate(inputs):
            taken.append((name, number))
            yield frame

    measure_flicker(reading("in"), reading("out"))
    assert taken == [(name, number) for number in range(4) for name in ("in", "out")]


def test_films_that_do_not_fit() -> None:
    inputs = film(3)
    with pytest.raises(ImageError, match="the film that was made ends after 2 frames, before the one it was made from"):
        measure_flicker(inputs, inputs[:2])
    with pytest.raises(ImageError, match="the film that was made goes on after the 2 frames that it was made from"):
        measure_flicker(inputs[:2], inputs)
    with pytest.raises(ImageError, match="a film to measure has no frames"):
        measure_flicker([], [])
    with pytest.raises(ImageError, match="must have one size, not 96 x 72 and 95 x 72"):
        measure_flicker(inputs, [frame[:, 1:] for frame in inputs])


def test_carrying_dreams_along_more_than_halves_the_flicker_at_equal_strength() -> None:
    network = dreamopt.load_net(device="cpu")
    inputs = list(moving_film(5, (90, 120), grain=2.0))
    how = {"target": "mixed5", "steps": 10, "octaves": 2, "jitter": 8}
    steady = dreamed(network, inputs, temporal=Carried(), **how)
    report = measure_flicker(inputs, steady)
    apart = measure_flicker(inputs, of_equal_strength(network, inputs, strength=report.strength, **how))
    assert apart.strength == pytest.approx(report.strength, rel=0.05)
    assert report.warping_error < 0.5 * apart.warping_error
    assert report.excess < 0.25 * apart.excess
    assert report.strengths[-1] == pytest.approx(report.strengths[0], rel=0.25)
