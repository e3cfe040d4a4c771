"""Silence: its backward pass writes zeros, which a Split adds to what other readers give, against real Caffe."""

import numpy as np
import pytest

from dreamopt.engine import Net
from dreamopt.schema import parse_net
from tests.support.nets import conv, image_input, layer
from tests.support.oracle.harness import Oracle, relative_error

pytestmark = pytest.mark.oracle

DATA = image_input(shape=(2, 3, 5, 4))
ONE = DATA + conv("one", "data", 6)
NETS = {
    "all that is read": DATA + layer("quiet", "Silence", "data", ""),
    "above a layer": DATA + conv("one", "data", 6) + layer("quiet", "Silence", "one", ""),
    "beside another reader": DATA + conv("one", "data", 6) + layer("quiet", "Silence", "one", "") + conv("two", "one", 5),
    "beside another reader, first": DATA + layer("quiet", "Silence", "data", "") + conv("one", "data", 6),
    "several blobs": DATA + conv("one", "data", 6) + conv("two", "data", 4) + layer("quiet", "Silence", "one two data", ""),
    "upon one in place": DATA + conv("one", "data", 6, relu=True) + layer("quiet", "Silence", "one", ""),
    "half a slice": ONE + layer("cut", "Slice", "one", "a b") + layer("quiet", "Silence", "b", "") + conv("two", "a", 5),
    "both halves": ONE + layer("cut", "Slice", "one", "a b") + layer("quiet", "Silence", "a b", ""),
    "one blob twice": ONE + layer("quiet", "Silence", "one one", ""),
    "two of them": ONE + layer("quiet", "Silence", "one", "") + layer("still", "Silence", "one", "") + conv("two", "one", 5),
    "a split": DATA + layer("both", "Split", "data", "x y") + layer("quiet", "Silence", "x", "") + conv("two", "y", 5),
    "a flat blob and what it shares": ONE + layer("flat", "Flatten", "one") + layer("quiet", "Silence", "one flat", ""),
    "a loss": ONE + layer("loss", "EuclideanLoss", "one one") + layer("quiet", "Silence", "loss", ""),
    "a join and a part": ONE + conv("two", "data", 4) + layer("join", "Concat", "one two") + layer("quiet", "Silence", "join one", ""),
    "propagate_down, overruled": "force_backward: true\n" + ONE + layer("quiet", "Silence", "one", "", down="f") + conv("two", "one", 5),
    "propagate_down of two, overruled": "force_backward: true\n"
    + ONE
    + conv("two", "data", 4)
    + layer("quiet", "Silence", "one two", "", down="ft"),
}


@pytest.mark.parametrize("name", NETS)
def test_silence_writes_zeros(oracle: Oracle, name: str) -> None:
    """All diffs are 1 before the backward pass, so that one which nobody writes is seen."""
    ours = Net(parse_net(NETS[name]), seed=3)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    weights = {key: [rng.normal(size=blob.shape).astype(np.float32) for blob in blobs] for key, blobs in ours.params.items()}
    for key, blobs in weights.items():
        for blob, values in zip(ours.params[key], blobs, strict=True):
            blob.data[...] = values
    seeds = {key: np.ones(blob.shape, np.float32) for key, blob in ours.blobs.items()}
    theirs = oracle.run(NETS[name], weights=weights, inputs={"data": x}, seeds=seeds)
    ours.blobs["data"].data[...] = x
    ours.forward()
    for key, values in seeds.items():
        ours.blobs[key].diff[...] = values
    ours.backward()
    for key, expected in theirs.diffs.items():
        assert relative_error(ours.blobs[key].diff, expected) <= 1e-5, key
    assert any(not expected.any() for expected in theirs.diffs.values())
