"""What a frame starts from when the dreams before are carried along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import dreamopt
from dreamopt.errors import UsageError
from dreamopt.film.carried import Carried
from dreamopt.film.consistency import Motion
from dreamopt.film.flow import warp
from dreamopt.film.temporal import Apart, Begin, Moment, Temporal
from tests.support.films import Frame, dreamed, moving_film, panned, photo, quantized, view

SIZE = (72, 96)


def film(count: int, step: tuple[float, float] = (1.0, 3.0), name: str = "astronaut") -> list[Frame]:
    return list(panned(name, count, SIZE, step, 1.0))


def moment(films: list[Frame], dreams: list[Frame], steps: int = 10) -> Moment:
    """Return the moment before the last frame is dreamed."""

    def before(back: int) -> tuple[Frame, Frame] | None:
        return (films[-1 - back], dreams[len(films) - 1 - back]) if back < len(films) else None

    return Moment(len(films) - 1, films[-1], before, steps)


def pattern(frame: Frame, seed: int) -> Frame:
    """Return a frame with smooth noise, a dream of it."""
    noise = np.random.default_rng(seed).normal(0, 40, (9, 12, 3)).repeat(8, 0).repeat(8, 1)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def test_it_is_what_the_formula_says() -> None:
    frames = film(5)
    dreams = [pattern(frame, seed) for seed, frame in enumerate(frames)]
    begin = Carried(0.8).start(moment(frames, dreams))
    total, nearer = np.zeros((*SIZE, 3)), np.zeros(SIZE)
    for back in (1, 2, 4):
        motion = Motion.between(frames[4], frames[4 - back])
        weight = np.maximum(0, motion.reliable - nearer)
        nearer = nearer + motion.reliable
        difference = dreams[4 - back].astype(float) - frames[4 - back]
        total += weight[..., None] * warp(difference, motion.flow, cubic=True)
    plain = np.clip(np.rint(frames[4] + 0.8 * total), 0, 255)
    assert begin.share == 0.2
    assert np.abs(begin.image - plain).max() <= 1  # float32 rounds some to the other side
    assert np.abs(begin.image - plain).mean() < 0.001


def test_a_difference_moves_with_the_film() -> None:
    stripes = (40 * np.sin(np.arange(200) / 6))[None, :, None]
    frames = film(2, (0.0, 4.0))
    dreams = [np.clip(frame + stripes[:, 4 * number : 4 * number + 96], 0, 255).astype(np.uint8) for number, frame in enumerate(frames)]
    begin = Carried(0.9).start(moment(frames, dreams))
    inner = (slice(8, -8), slice(8, -16))
    dreamt = dreams[1].astype(float) - frames[1]
    carried = begin.image.astype(float) - frames[1]
    assert np.abs(carried - 0.9 * dreamt)[inner].mean() < 0.1 * np.abs(dreamt)[inner].mean()


def test_what_was_hidden_in_the_frame_before_comes_from_an_earlier_one() -> None:
    background, bar = photo("astronaut"), photo("coffee")
    frames = []
    for left in (72, 30, 54):  # a bar that covers columns 30 to 44 in the frame before alone
        frame = view(background, SIZE, (150, 180))
        frame[:, left : left + 15] = view(bar, (72, 15), (100, 200))
        frames.append(quantized(frame))
    dreams = [np.clip(frame.astype(int) + 20, 0, 255).astype(np.uint8) for frame in frames]
    whole = Carried(0.8).difference(moment(frames, dreams))[0]
    nearest = Carried(0.8).difference(moment(frames[1:], dreams[1:]))[0]
    assert whole is not None
    assert nearest is not None
    assert np.abs(nearest[10:-10, 33:42]).mean() < 5
    assert np.abs(whole[10:-10, 33:42]).mean() > 15


def test_nothing_is_carried_across_a_cut_and_the_shot_goes_on_after_a_flash() -> None:
    first, second = film(3), film(3, name="coffee")
    across = [*first, second[0]]
    begin = Carried().start(moment(across, [pattern(frame, 1) for frame in across]))
    assert begin.share == 1
    assert np.array_equal(begin.image, second[0])
    flashed = [first[0], np.full_like(first[1], 255), first[2]]
    begin = Carried().start(moment(flashed, [pattern(frame, 2) for frame in flashed]))
    assert begin.share < 0.5
    assert np.abs(begin.image.astype(int) - first[2]).mean() > 5


@pytest.mark.parametrize(
    ("share", "steps", "made", "kept"),
    [(0.8, 10, 2, 0.8), (0.8, 20, 4, 0.8), (0.8, 12, 2, 5 / 6), (0.8, 3, 1, 2 / 3), (0.8, 1, 1, 0.5), (0.5, 10, 5, 0.5), (0.3, 1, 1, 0.3)],
)
def test_what_is_carried_fits_the_steps_that_are_left(share: float, steps: int, made: int, kept: float) -> None:
    frame = quantized(view(photo("astronaut"), SIZE, (150, 180)) * 0.5 + 50)
    begin = Carried(share).start(moment([frame, frame], [frame + np.uint8(40)] * 2, steps))
    assert begin.of(steps) == made
    assert np.median(begin.image.astype(int) - frame) == pytest.approx(40 * kept, abs=0.51)


@pytest.mark.parametrize("blend", [0.0, 0.5, 0.8])
def test_what_blending_took_away_is_carried_whole(blend: float) -> None:
    frame = quantized(view(photo("astronaut"), SIZE, (150, 180)) * 0.5 + 50)
    blended = (frame + np.uint8(round(50 * (1 - blend)))).astype(np.uint8)
    begin = Carried(0.8).start(Moment(1, frame, lambda back: (frame, blended) if back == 1 else None, 10, blend))
    assert np.median(begin.image.astype(int) - frame) == 40
    assert Carried(0.8).start(Moment(1, frame, lambda back: (frame, frame), 10, 1.0)).share == 1


def test_where_little_can_be_carried_more_steps_are_made() -> None:
    frames = film(2, (0.0, 0.0))
    frames[1][:, 42:] = film(1, name="coffee")[0][:, 42:]  # more than half of the image is new
    begin = Carried().start(moment(frames, [pattern(frame, 3) for frame in frames]))
    assert 0.4 <= begin.share <= 0.8


def test_the_first_frame_and_a_share_of_zero_start_from_the_frame() -> None:
    frames = film(2)
    for temporal, films in ((Carried(), frames[:1]), (Carried(0), frames), (Apart(), frames)):
        begin = temporal.start(moment(films, films))
        assert (begin.share, np.array_equal(begin.image, films[-1])) == (1, True)
        assert np.array_equal(temporal.finish(moment(films, films), frames[0]), frames[0])
        assert isinstance(temporal, Temporal)
    assert [Begin(frames[0], share).of(10) for share in (1.0, 0.2, 0.001)] == [10, 2, 1]
    assert Carried(0.6).describe() == {"name": "carried", "share": 0.6}
    assert Carried().reach == 4


@pytest.mark.parametrize("share", [-0.1, 0.96, float("nan"), "much"])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(UsageError, match="carry"):
        Carried(share)


def test_the_strength_stays_level_and_each_run_gives_the_same_bits() -> None:
    network = dreamopt.load_net(device="cpu")
    frames = list(moving_film(9, (60, 80), grain=2.0))
    runs: list[Callable[[], list[Frame]]] = [lambda: dreamed(network, frames, "mixed3", Carried(), octaves=1, jitter=8)] * 2
    first, second = (run() for run in runs)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    strengths: NDArray[np.float64] = np.array(
        [np.abs(dream.astype(float) - frame).mean() for dream, frame in zip(first, frames, strict=True)]
    )
    assert np.abs(strengths / strengths[0] - 1).max() < 0.2
    grown = np.abs(strengths[-3:].mean() / strengths[3:6].mean() - 1)
    assert grown < 0.1
