"""Nearest units by hand-made weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dreamopt
from dreamopt.circuits.neighbours import nearest_units
from dreamopt.errors import UsageError
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose


def test_the_nearest_point_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    text = conv("a", "data", 6, "kernel_h: 1 kernel_w: 2 group: 2", relu=True)
    text += layer("pool", "Pooling", "a", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    path.write_text(image_input(shape=(1, 4, 5, 7)) + text, encoding="utf-8")
    network = dreamopt.load_net(path, device="cpu")
    kernels = np.zeros((6, 2, 1, 2), np.float32)
    kernels[0, 0, 0] = [1, 0]
    kernels[1, 0, 0] = [3, 4]  # cosine 0.6 with unit 0
    kernels[2, 0, 0] = [-1, 0]  # opposite
    kernels[3, 0, 0] = [2, 0]  # as unit 0, but of other channels
    kernels[4, 0, 0] = [5, 0]
    network = network.with_weights({"a": [kernels, np.ones(6, np.float32)]})
    for name in ("a", "a_relu", "pool"):
        nearest = nearest_units(network, name)
        assert [(one.unit, round(one.cosine, 5)) for one in nearest[0]] == [(1, 0.6)]
        assert [(one.unit, round(one.cosine, 5)) for one in nearest[3]] == [(4, 1.0)]
        assert nearest[2] == nearest[5] == []
    assert [one.unit for one in nearest_units(network, "a", [1], count=1)[1]] == [0]
    with pytest.raises(UsageError, match="layer 'data' has no weights other than 0, nor has what it passes on"):
        nearest_units(network, "data")
