"""The check of dreams on a device, on the CPU: it compares what it says, and sees a difference."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="a film's frame needs the extra video")

import dreamopt
from benchmarks import gpu_dreams


def test_the_cpu_is_as_the_cpu(tmp_path: Path) -> None:
    distances, tiles = gpu_dreams.check_dreams("cpu", tmp_path)
    assert [name for name, _ in distances] == list(gpu_dreams.DREAMS)
    assert all(levels == 0 for _, levels in distances)
    assert 0 < tiles < 1e-5  # so it was computed in tiles


def test_another_net_is_seen(tmp_path: Path) -> None:
    net = dreamopt.load_net(device="cpu")
    before = {name: make(net, tmp_path / "a") for name, make in gpu_dreams.DREAMS.items()}
    net.backend.net.params["conv1"][0].data[...] *= -1
    for name, make in gpu_dreams.DREAMS.items():
        assert np.abs(make(net, tmp_path / "b").astype(float) - before[name]).mean() > 1, name
