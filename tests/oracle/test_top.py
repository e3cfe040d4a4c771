"""Top images over real Caffe: its values rank the images as the engine's do, and its diff of the data lies in the crops."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import dreamopt
from dreamopt.data.textures import texture_image
from dreamopt.network import Network, load_net
from tests.oracle.conftest import caffe_root

pytestmark = pytest.mark.oracle
NAMES = ("hearts", "waves", "bricks", "dots")
TARGETS = ("conv2:3", "mixed3:7", "mixed4/5x5:2", "scores:hearts", "2*mixed3:1 - mixed3:2")


@pytest.fixture(scope="module")
def caffe() -> Iterator[Network]:
    network = load_net(backend="remote", python=f"chroot {caffe_root()} python3", timeout=60)
    yield network
    network.backend.close()


def test_caffe_ranks_as_the_engine_does_and_its_diff_lies_in_the_crops(caffe: Network) -> None:
    images = [texture_image(name, number) for name in NAMES for number in range(3)]
    expected = dreamopt.top(load_net(device="cpu"), images, TARGETS, k=4, batch=5)
    found = dreamopt.top(caffe, images, TARGETS, k=4, batch=5)
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs.values, ours.values, rtol=1e-4)
        assert theirs.paths == ours.paths
        for one, other in zip(ours.images, theirs.images, strict=True):
            assert (other.place, other.rectangle, other.window) == (one.place, one.rectangle, one.window)
        first = theirs.images[0]
        (top, bottom), (left, right) = first.rectangle
        diff = dreamopt.attribute(caffe, first.image(), first.objective, "gradient").array
        inside = np.abs(diff[top:bottom, left:right]).max()
        diff[top:bottom, left:right] = 0
        assert np.abs(diff).max() == 0 < inside
