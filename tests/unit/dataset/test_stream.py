"""The pass of a set through a net: what it counts does not depend on when it is left."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamopt import load_net
from dreamopt.dataset import frames
from dreamopt.dataset.listing import Listing
from dreamopt.dataset.stream import Batch, stream


class Waiting:
    """A reducer that looks at images once so many of the set have been read."""

    layers: Sequence[str] = ()

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read, load, lock, done = threading.Event(), frames.load, threading.Lock(), list[str]()

        def counted(entry: Any, *rest: Any) -> frames.Loaded:
            loaded = load(entry, *rest)
            with lock:
                done.append(entry.path)
                if len(done) == count:
                    self.read.set()
            return loaded

        monkeypatch.setattr(frames, "load", counted)

    def add(self, batch: Batch) -> None:
        assert self.read.wait(60)

    def images(self) -> set[int]:
        return set()

    def state(self) -> Any:
        return None

    def restore(self, state: Any) -> None:
        pass


def test_what_is_left_out_of_images_is_counted_up_to_where_the_pass_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_net()
    images = [Image.fromarray(np.full((9, 7, 3), level, np.uint8)) for level in (0, 255)]
    for number in range(6):
        if number == 2:
            images[0].save(tmp_path / f"{number}.png")
        else:
            images[0].save(tmp_path / f"{number}.gif", save_all=True, append_images=images[1:])
    (tmp_path / "6.png").write_bytes(b"no image")
    reducer = Waiting(4, monkeypatch)
    steps = stream(network, Listing(tmp_path), [reducer], frames.Fit(), batch=2, readers=2)
    left = next(steps)
    steps.close()
    assert (left.done, left.noted) == (2, 2)  # beyond, at least one more was read
    again = list(stream(network, Listing(tmp_path), [reducer], frames.Fit(), batch=2, start=left, readers=0))
    assert [progress.noted for progress in again] == [3, 5, 5]
    assert (again[-1].images, again[-1].skipped) == (6, 1)
