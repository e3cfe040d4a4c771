"""The embedded net in real Caffe: every blob and the diff of the data."""

from pathlib import Path

import numpy as np
import pytest

import dreamopt.data
from dreamopt.data.textures import CLASSES, batch
from dreamopt.engine.net import Net
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Oracle, relative_error
from tools.train_tiny import to_input

DATA = Path(dreamopt.data.__file__).parent


# Pictures in which no two of a pooling window's values tie to the last digit: there, rounding says which of the two gets the gradient.
@pytest.mark.parametrize(("size", "unit"), [(96, 7), (96, 28), (117, 20)])
def test_every_blob_and_the_data_diff(oracle: Oracle, size: int, unit: int) -> None:
    x = to_input(batch([unit, 11], 1, 77, size=size)).numpy()[..., : size - 7].copy()
    seed = np.zeros((2, len(CLASSES)), np.float32)
    seed[0, unit], seed[1, 11] = 1, 1
    prototxt, caffemodel = DATA / "tiny.prototxt", DATA / "tiny.caffemodel"
    theirs = oracle.run(
        prototxt.read_text(), weights=caffemodel.read_bytes(), inputs={"data": x}, seeds={"scores": seed}, end="scores", want_weights=False
    )
    net = Net(prototxt, caffemodel)
    net.blobs["data"].reshape(*x.shape)
    net.blobs["data"].data[...] = x
    net.forward(end="scores")
    net.blobs["scores"].diff[...] = seed
    net.backward(start="scores")
    for name, expected in theirs.blobs.items():
        if name != "prob":
            error = relative_error(net.blobs[name].data, expected)
            assert note("tiny forward", error) <= TOLERANCE, f"blob {name} is off by {error:.1e}"
    assert note("tiny data diff", relative_error(net.blobs["data"].diff, theirs.diffs["data"])) <= TOLERANCE


def test_probabilities(oracle: Oracle) -> None:
    x = to_input(batch([3, 30, 8], 5, 78)).numpy()
    prototxt, caffemodel = DATA / "tiny.prototxt", DATA / "tiny.caffemodel"
    theirs = oracle.run(prototxt.read_text(), weights=caffemodel.read_bytes(), inputs={"data": x}, keep=["prob"], want_weights=False)
    net = Net(prototxt, caffemodel)
    net.blobs["data"].reshape(*x.shape)
    ours = net.forward(data=x)["prob"]
    assert relative_error(ours, theirs.blobs["prob"]) <= TOLERANCE
