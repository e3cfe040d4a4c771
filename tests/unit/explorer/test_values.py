"""Values of layers, their sprite, photographs, viewers and atlas folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dreamopt
from dreamopt.errors import ImageError, TargetError, UsageError
from dreamopt.explorer.atlas_folder import AtlasFolder
from dreamopt.explorer.photo import Photo
from dreamopt.explorer.values import CELL, LayerValues, class_scores, field_of
from dreamopt.network import Network


@pytest.fixture(scope="module")
def network() -> Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (130, 117, 3), np.uint8)).save(path)
    return path


def test_values_are_those_of_the_net(network: Network, photo: Path) -> None:
    seen = Photo.open(network, photo, 1)
    assert seen.seen.shape == (96, 96, 3)
    assert seen.size == (130, 117)
    values = LayerValues.of(network, "conv2", seen.seen)
    expected = network.activations_of(str(photo), ["conv2"])["conv2"][0].numpy()
    assert np.array_equal(values.maps, expected)
    row, column = values.strongest(5)
    assert expected[5, row, column] == expected[5].max() == values.highest[5]
    scores = class_scores(network, seen.seen)
    assert scores is not None
    assert scores["top"][0]["unit"] == int(network.activations_of(str(photo), ["scores"])["scores"].argmax())


def test_values_survive_another_pass(network: Network, photo: Path) -> None:
    """A pass may use the memory of an earlier one again: what a viewer's next question finds must not change."""
    values = LayerValues.of(network, "conv1", Photo.open(network, photo, 1).seen)
    before = values.maps.copy()
    for seed in range(3):
        LayerValues.of(network, "conv1", np.random.default_rng(seed).integers(0, 256, (96, 96, 3), np.uint8))
    assert np.array_equal(values.maps, before)


@pytest.mark.parametrize("shape", [(5, 3, 7), (1, 2, 9), (11, 1, 1), (3, CELL + 9, 2 * CELL + 1)])
def test_a_sprite_has_each_unit_in_its_cell(shape: tuple[int, int, int]) -> None:
    maps = np.abs(np.random.default_rng(0).normal(0, 1, shape)).astype(np.float32)
    maps[-1] = 0  # one that is dead
    values = LayerValues("layer", maps, True)
    for scale in ("layer", "unit"):
        sprite = values.sprite(scale)
        height, width = values.cell
        assert max(height, width) <= CELL
        assert sprite.shape == (-(-shape[0] // values.columns) * height, values.columns * width, 3)
        for unit in range(shape[0]):
            row, column = divmod(unit, values.columns)
            cell = sprite[row * height : (row + 1) * height, column * width : (column + 1) * width].astype(int)
            small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps[unit : unit + 1]), (height, width))[0].numpy()
            if unit == shape[0] - 1:
                assert (cell == cell[0, 0]).all()
            elif small.size > 1:
                assert cell.sum(-1).flat[small.argmax()] > cell.sum(-1).flat[small.argmin()]


def test_each_unit_on_its_own_scale_and_all_on_one() -> None:
    maps = np.stack([np.linspace(0, 1, 12), np.linspace(0, 100, 12)]).reshape(2, 3, 4).astype(np.float32)
    values = LayerValues("layer", maps, True)
    together, alone = values.sprite("layer"), values.sprite("unit")
    assert together[:, :4].max() < 60 < alone[:, :4].max()  # black to bright
    with pytest.raises(UsageError, match="one of layer, unit"):
        values.sprite("whole")


def test_what_is_not_finite_has_a_colour() -> None:
    maps = np.array([[[np.nan, 1.0, np.inf], [2.0, -1.0, 0.0]]], np.float32)
    values = LayerValues("layer", maps, True)
    assert values.sprite().shape == (2, 3, 3)
    assert 1.9 < values.limit <= 2.0


def test_units_and_fields(network: Network) -> None:
    values = LayerValues.of(network, "pool1", np.zeros((96, 96, 3), np.uint8))
    with pytest.raises(TargetError, match="units 0 to 23, not 24"):
        values.unit(24)
    assert field_of(network, "pool1", (5, 7)) == {"box": [17, 25, 28, 36], "window": [11, 11]}
    scores = LayerValues.of(network, "scores", np.zeros((96, 96, 3), np.uint8))
    assert (scores.has_places, scores.units) == (False, 32)
    assert field_of(network, "scores", (0, 0))["box"] == [0, 0, 96, 96]


def _atlas(folder: Path) -> Path:
    (folder / "images/conv1").mkdir(parents=True)
    (folder / "crops/conv1").mkdir(parents=True)
    for name in ("images/conv1/5.png", "crops/conv1/5-top-0.png"):
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / name)
    index = {
        "format": 1,
        "net": {"name": "n", "sha256": "0"},
        "layers": [{"name": "conv1", "slug": "conv1"}, {"name": "c/d", "slug": "c--d"}],
    }
    (folder / "atlas.json").write_text(json.dumps(index))
    image = {
        "format": 1,
        "unit": 5,
        "variants": {
            "minus": {"key": "k", "failed": "not finite"},
            "0": {"key": "k", "value": 2.5, "file": "images/conv1/5.png", "command": "dreamopt render"},
            "1": {"key": "k", "failed": "its gradient is zero"},
            "2": {"key": "k", "value": 1.0, "file": "../../outside.png"},
        },
    }
    (folder / "records/image/conv1").mkdir(parents=True)
    (folder / "records/image/conv1/5.json").write_text(json.dumps(image))
    (folder / "records/survey").mkdir()
    top = [{"image": "<b>.jpg", "box": [0, 0, 3, 4], "value": 9.0, "file": "crops/conv1/5-top-0.png"}]
    survey = {"format": 1, "piece": "survey", "layer": "conv1", "units": {"5": {"key": "k", "state": "active", "zeros": 0.25, "top": top}}}
    (folder / "records/survey/conv1.json").write_text(json.dumps(survey))
    return folder


def test_an_atlas_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "outside.png")
    atlas = AtlasFolder(_atlas(tmp_path / "atlas"))
    found = atlas.unit("conv1", 5)
    assert found is not None
    assert [one["variant"] for one in found["images"]] == ["0", "1", "minus"]
    assert found["crops"][0]["value"] == 9.0
    assert found["state"] == "active"
    assert atlas.unit("conv1", 6) == {"images": [], "crops": [], "findings": ""}
    assert atlas.unit("conv9", 5) is None
    content, kind = atlas.file("images/conv1/5.png")
    assert (content[:4], kind) == (b"\x89PNG", "image/png")


def test_nothing_outside_an_atlas_is_read(tmp_path: Path) -> None:
    folder = _atlas(tmp_path / "atlas")
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    atlas = AtlasFolder(folder)
    for name in (
        "../secret.png",
        "link.png",
        str(tmp_path / "secret.png"),
        "atlas.json",
        "images",
        "",
        "a\0b.png",
        "images/conv1/../../../secret.png",
    ):
        with pytest.raises(ImageError, match="no image"):
            atlas.file(name)


def test_what_is_no_atlas_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no atlas"):
        AtlasFolder(tmp_path)
    (tmp_path / "atlas.json").write_text('{"format": 2}')
    with pytest.raises(UsageError, match="format 1"):
        AtlasFolder(tmp_path)
    folder = _atlas(tmp_path / "atlas")
    for text in ("{", "[]", '{"variants": [1]}', '{"variants": {"0": 3}}'):
        (folder / "records/image/conv1/5.json").write_text(text)
        found = AtlasFolder(folder).unit("conv1", 5)
        assert found is not None
        assert found["images"] == []
