"""Images of any number of channels: the colours they are shown in, the file that keeps them, and a photograph in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.channels import (
    all_shown,
    as_colours,
    channels_path,
    checked_channels,
    describe_channels,
    described,
    opacity_of,
    planes_of,
    shown_as,
    write_channels,
)
from dreamopt.image.opening import VARIABLE

GREY = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 6, 4, 5)).astype(np.float64))


class TestWays:
    @pytest.mark.parametrize(
        ("given", "read"),
        [
            ("auto", "auto"),
            ("Colour", "colour"),
            ("color", "colour"),
            (" planes ", "planes"),
            ("flow", "flow"),
            ("2,1,0", "2,1,0"),
            (" 07 , 1,0", "7,1,0"),
            ((2, 1, 0), "2,1,0"),
            ([np.int64(4)], "4"),
            (np.array([1, 2, 3]), "1,2,3"),
            (5, "5"),
        ],
    )
    def test_what_is_read(self, given: object, read: str) -> None:
        assert checked_channels(given) == read

    @pytest.mark.parametrize(
        "given", ["", "1,2", "-1", "1,2,3,4", "a,b,c", "1.5", None, True, 2.0, [1.5, 2, 3], (1, 2), "٣", "9" * 30, ["planes"] * 2]
    )
    def test_what_is_refused(self, given: object) -> None:
        with pytest.raises(UsageError, match=r"channels must be one of auto, colour, planes, flow, or the numbers"):
            checked_channels(given)

    @pytest.mark.parametrize(
        ("given", "count", "way"),
        [("auto", 1, "planes"), ("auto", 2, "planes"), ("auto", 3, "colour"), ("auto", 20, "planes"), ("flow", 20, "flow"), ("7", 8, "7")],
    )
    def test_how_images_are_shown(self, given: str, count: int, way: str) -> None:
        assert shown_as(given, count) == way

    @pytest.mark.parametrize(
        ("given", "count", "message"),
        [
            ("flow", 3, "'flow' needs pairs of channels .*, and the input has 3"),
            ("colour", 2, "'colour' needs an input of at least 3 channels, and this one has 2"),
            ("3,2,1", 3, "no channel 3: the input has 3, counted from 0 to 2"),
        ],
    )
    def test_what_an_image_does_not_have(self, given: str, count: int, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            shown_as(given, count)

    def test_a_grid_is_no_larger_than_images_may_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, str(2 * 6 * 3 * 7))
        assert shown_as("planes", 6, (4, 5)) == "planes"
        monkeypatch.setenv(VARIABLE, str(2 * 6 * 3 * 7 - 1))
        with pytest.raises(UsageError, match="6 channels of 4 x 5 make a grid of 252 pixels, above the limit of 251"):
            shown_as("planes", 6, (4, 5))
        assert shown_as("2,1,0", 6, (4, 5)) == "2,1,0"

    def test_what_is_kept_beside(self) -> None:
        assert all_shown("planes", 1)
        assert all_shown("colour", 3)
        assert all_shown("2,0,1", 3)
        assert not all_shown("0,1,1", 3)
        assert not all_shown("0", 3)
        assert not all_shown("planes", 6)

    def test_it_is_described(self) -> None:
        assert described("auto", 1, "") == "grey"
        assert described("auto", 3, "RGB") == "in colours: channels 0, 1, 2 as red, green, blue"
        assert described("flow", 20, "BGR").startswith("as a grid of 10 optical flows, all channels in a file FILE.channels.npy")
        assert described("1", 3, "BGR") == "grey: channel 1, all channels in a file FILE.channels.npy beside it"


class TestColours:
    def test_planes_are_a_grid_row_by_row(self) -> None:
        shown = as_colours(GREY, "planes", "BGR")
        # 3 rows of 2 panels of 4 x 5, 2 white pixels between them
        assert shown.shape == (2, 16, 12, 3)
        for number in range(6):
            top, left = number // 2 * 6, number % 2 * 7
            for colour in range(3):
                assert torch.equal(shown[:, top : top + 4, left : left + 5, colour], GREY[:, number])
        assert (shown[:, 4:6] == 255).all()
        assert (shown[:, :, 5:7] == 255).all()
        assert torch.equal(as_colours(GREY[:, :1], "planes", ""), GREY[:, 0, ..., None].expand(2, 4, 5, 3))

    def test_what_a_grid_does_not_fill_is_white(self) -> None:
        shown = as_colours(GREY[:, :5], "planes", "BGR")
        assert shown.shape == (2, 16, 12, 3)
        assert (shown[:, 12:, 7:] == 255).all()

    @pytest.mark.parametrize(
        ("way", "order", "numbers"),
        [("colour", "BGR", [2, 1, 0]), ("colour", "RGB", [0, 1, 2]), ("5,0,3", "BGR", [5, 0, 3]), ("4", "BGR", [4] * 3)],
    )
    def test_three_channels_or_one(self, way: str, order: str, numbers: list[int]) -> None:
        shown = as_colours(GREY, way, order)
        for colour, number in enumerate(numbers):
            assert torch.equal(shown[..., colour], GREY[:, number])

    @pytest.mark.parametrize(
        ("right", "down", "colour"),
        [
            (100, 0, [255, 0, 0]),
            (0, 100, [127.5, 255, 0]),
            (-100, 0, [0, 255, 255]),
            (0, -100, [127.5, 0, 255]),
            (50, 0, [255, 127.5, 127.5]),
            (0, 0, [255, 255, 255]),
        ],
    )
    def test_a_flow_has_the_hue_of_its_direction_and_the_saturation_of_its_length(
        self, right: float, down: float, colour: list[float]
    ) -> None:
        grey = torch.full((1, 4, 3, 2), 127.5, dtype=torch.float64)
        grey[0, :, 0, 0] += torch.tensor([right, down, 0, 0], dtype=torch.float64)
        grey[0, 2, 1, 1] -= 100  # the longest movement is in the other pair
        shown = as_colours(grey, "flow", "BGR")
        assert shown.shape == (1, 3, 6, 3)
        np.testing.assert_allclose(shown[0, 0, 0], colour, atol=1e-6)
        np.testing.assert_allclose(shown[0, 1, 5], [0, 255, 255], atol=1e-6)
        assert (shown[0, :, 2:4] == 0).all()
        assert (shown[0, 2, :2] == 255).all()

    def test_of_each_sample_the_longest_movement_counts(self) -> None:
        both, first = as_colours(GREY, "flow", ""), as_colours(GREY[:1], "flow", "")
        assert torch.equal(both[:1], first)

    def test_no_movement_at_all_is_white(self) -> None:
        assert (as_colours(torch.full((1, 2, 3, 4), 127.5), "flow", "") == 255).all()

    def test_the_opacity_is_repeated(self) -> None:
        opacity = torch.arange(20, dtype=torch.uint8).reshape(4, 5)
        assert torch.equal(opacity_of(opacity, "colour", 6), opacity)
        grid = opacity_of(opacity, "planes", 6)
        assert grid.shape == (16, 12)
        assert torch.equal(grid[12:, 7:], opacity)
        assert opacity_of(opacity, "flow", 4).shape == as_colours(GREY[:, :4], "flow", "").shape[1:3]


class TestPhotographs:
    COLOURS = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    LUMINANCE = COLOURS[..., 0] * 0.299 + COLOURS[..., 1] * 0.587 + COLOURS[..., 2] * 0.114

    @pytest.mark.parametrize(
        ("count", "order", "planes"),
        [
            (1, "", "y"),
            (2, "", "yy"),
            (3, "RGB", "rgb"),
            (3, "BGR", "bgr"),
            (4, "BGR", "bgry"),
            (5, "BGR", "yyyyy"),
            (6, "BGR", "bgrbgr"),
            (6, "RGB", "rgbrgb"),
            (20, "BGR", "y" * 20),
        ],
    )
    def test_in_any_number_of_channels(self, count: int, order: str, planes: str) -> None:
        named = {"r": self.COLOURS[..., 0], "g": self.COLOURS[..., 1], "b": self.COLOURS[..., 2], "y": self.LUMINANCE}
        result = planes_of(self.COLOURS, count, order)
        np.testing.assert_allclose(result, np.stack([named[name] for name in planes]), rtol=1e-12)
        grey = planes_of(self.COLOURS[..., 0], count, order)
        np.testing.assert_array_equal(grey, np.stack([self.COLOURS[..., 0]] * count))

    def test_all_channels_keep_their_places_but_for_the_colours(self) -> None:
        array = np.random.default_rng(2).uniform(0, 255, (4, 5, 7))
        np.testing.assert_array_equal(planes_of(array, 7, "BGR"), np.moveaxis(array, -1, 0)[[2, 1, 0, 3, 4, 5, 6]])
        np.testing.assert_array_equal(planes_of(array[..., :2], 2, ""), np.moveaxis(array[..., :2], -1, 0))
        with pytest.raises(ValueError, match=r"\(4, 5, 7\)"):
            planes_of(array, 6, "BGR")


class TestTheFileBeside:
    VALUES = np.random.default_rng(3).normal(0, 60, (6, 4, 5)).astype(np.float32)

    def test_it_is_written_whole(self, tmp_path: Path) -> None:
        path = write_channels(channels_path(tmp_path / "new" / "a.png"), self.VALUES)
        assert path.name == "a.channels.npy"
        np.testing.assert_array_equal(np.load(path, allow_pickle=False), self.VALUES)
        said = describe_channels(self.VALUES)
        assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (said["shape"], said["dtype"], said["space"]) == ([6, 4, 5], "float32", "the net's input")
        assert [entry.name for entry in path.parent.iterdir()] == ["a.channels.npy"]

    def test_its_name_fits(self) -> None:
        assert len(channels_path("n" * 251 + ".png").name.encode()) == 255
        assert len(channels_path("é" * 125 + ".png").name.encode()) <= 255

    def test_what_cannot_be_written_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "a.channels.npy").mkdir()
        with pytest.raises(ImageError, match=r"a\.channels\.npy cannot be written: it is a folder"):
            write_channels(tmp_path / "a.channels.npy", self.VALUES)
