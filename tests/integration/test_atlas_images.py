"""An atlas of a set of images: surveys and activation atlases, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dreamopt
from dreamopt.atlas.make import make_atlas
from dreamopt.atlas.run import AtlasProgress
from dreamopt.errors import UsageError

OPTIONS: dict[str, Any] = {
    "layers": ["mixed3", "scores"],
    "units": 2,
    "size": 48,
    "steps": 1,
    "site": False,
    "pieces": ["survey", "activation_atlas"],
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 images of odd sizes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(3)
    for number in range(14):
        levels = rng.integers(0, 256, (int(rng.integers(3, 12)), int(rng.integers(3, 12)), 3), np.uint8)
        image = Image.fromarray(levels).resize((int(rng.integers(40, 170)), int(rng.integers(40, 170))), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:02d}.png")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"
    }


def test_surveys_and_activation_atlases_are_written_once(photos: Path, tmp_path: Path) -> None:
    net, reports = dreamopt.load_net(device="cpu"), list[AtlasProgress]()
    make_atlas(net, tmp_path / "atlas", images=photos, activation_atlas=True, classes=[3], progress=reports.append, **OPTIONS)
    assert any(one.piece == "survey" for one in reports)
    records = tmp_path / "atlas" / "records"
    survey = json.loads((records / "survey" / "mixed3.json").read_text())
    assert sorted(survey["units"]) == ["0", "1"]
    unit = survey["units"]["1"]
    assert unit["images"] == 14
    assert unit["count"] == 14 * 24 * 24
    assert unit["state"] in ("dead", "always on", "active")
    assert len(unit["top"]) == 9
    assert [one["quantile"] for one in unit["quantiles"]] == [0.99, 0.9, 0.75, 0.5]
    for one in (*unit["top"], *unit["quantiles"]):
        top, left, bottom, right = one["box"]
        with Image.open(photos / one["image"]) as photo, Image.open(tmp_path / "atlas" / one["file"]) as crop:
            assert 0 <= top < bottom <= photo.height
            assert 0 <= left < right <= photo.width
            assert max(crop.size) <= 96
    atlas = json.loads((records / "activation_atlas" / "mixed3.json").read_text())
    assert sorted(atlas["atlases"]) == ["all", "class-3"]
    for one in atlas["atlases"].values():
        assert len(one["cells"]) == one["shown"] > 0
        for cell in one["cells"]:
            assert (tmp_path / "atlas" / cell["file"]).is_file()
            assert cell["label"] == net.labels[cell["support"][0]["class"]]  # type: ignore[index]
    before = files(tmp_path / "atlas")
    (tmp_path / "atlas" / atlas["atlases"]["all"]["cells"][0]["file"]).unlink()
    make_atlas(net, tmp_path / "atlas", images=photos, activation_atlas=True, classes=[3], progress=reports.append, **OPTIONS)
    assert files(tmp_path / "atlas") == before
    again = list[AtlasProgress]()
    make_atlas(net, tmp_path / "atlas", images=photos, activation_atlas=True, classes=[3], progress=again.append, **OPTIONS)
    assert [one.count for one in again] == [0]


def test_too_few_images_are_on_record_with_the_reason(photos: Path, tmp_path: Path) -> None:
    net, few = dreamopt.load_net(device="cpu"), tmp_path / "few"
    few.mkdir()
    for name in ("01.png", "02.png", "03.png"):
        (few / name).write_bytes((photos / name).read_bytes())
    make_atlas(net, tmp_path / "atlas", images=few, activation_atlas=True, **OPTIONS | {"layers": ["mixed3"]})
    record = json.loads((tmp_path / "atlas" / "records" / "activation_atlas" / "mixed3.json").read_text())
    assert "at least 10 positions" in record["failed"]
    with pytest.raises(UsageError, match="give a folder"):
        make_atlas(net, tmp_path / "other", activation_atlas=True, **OPTIONS)
