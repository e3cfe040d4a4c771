"""Which tiles a job keeps, and what is said where its file cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import dreamopt
from dreamopt.errors import ImageError
from dreamopt.recipes import film_store, plan_dream, store
from dreamopt.recipes.film_store import FrameStore
from dreamopt.recipes.kept_tiles import KeptTiles
from dreamopt.recipes.store import FolderStore
from dreamopt.recipes.zoom import ZoomSettings, plan_zoom

PHOTO = np.random.default_rng(0).integers(0, 256, (45, 63, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


def test_what_was_chosen_is_kept_until_another_number_is_allowed(network) -> None:
    tiles = KeptTiles()
    assert tiles.choose(4000, 1000)
    assert not tiles.choose(4000, 900)
    assert not tiles.choose(None, None)
    assert tiles.network(network).tile_memory == 1000
    assert tiles.choose(4000, 800, again=True)
    assert tiles.describe() == {"memory": 4000, "tile_memory": 800}
    again = KeptTiles({"key": "a", **tiles.describe()})
    assert again.choose(5000, None)
    assert again.network(network.tiled(700)).tile_memory is None
    assert KeptTiles({"key": "a"}).describe() == {}


@pytest.mark.parametrize("kind", ["still", "film"])
def test_a_disk_error_while_they_are_written_down_is_a_sentence(network, kind: str, tmp_path: Path, monkeypatch) -> None:
    if kind == "still":
        room, kept, plan = store, FolderStore(tmp_path / "o.png"), plan_dream(network, PHOTO, "mixed3")
    else:
        room, kept, plan = (
            film_store,
            FrameStore(tmp_path / "o"),
            plan_zoom(network, PHOTO, "mixed3", film=ZoomSettings(seconds=0.5, fps=4)),
        )
    with kept:
        kept.open(plan)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "job.json")

        monkeypatch.setattr(room, "atomic_write", full)
        with pytest.raises(ImageError, match=rf"o(\.png)? cannot be written: {os.strerror(errno.ENOSPC)} \(job\.json\)"):
            kept.in_same_tiles(network, 10**9)
