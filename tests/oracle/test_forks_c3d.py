"""C3D's convolutions, read as Caffe's own of three spatial axes, against real Caffe."""

import numpy as np
import pytest

from dreamopt.engine import Net
from dreamopt.schema import net_text, parse_net
from tests.support.oracle.harness import Oracle, relative_error

pytestmark = pytest.mark.oracle

NET = """
input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 7 dim: 6 }
layers { name: "conv" type: CONVOLUTION3D bottom: "data" top: "conv" convolution_param {
  num_output: 4 kernel_size: 3 kernel_depth: 2 stride: 2 pad: 1 temporal_pad: 2
  weight_filler { type: "gaussian" } bias_filler { type: "gaussian" } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "deconv" type: DECONVOLUTION3D bottom: "conv" top: "deconv" convolution_param {
  num_output: 5 kernel_size: 2 kernel_depth: 3 stride: 2 temporal_stride: 3 temporal_pad: 1
  weight_filler { type: "gaussian" } bias_filler { type: "gaussian" } } }
"""


def test_c3ds_convolutions(oracle: Oracle) -> None:
    definition = parse_net(NET)
    ours = Net(definition, seed=4)
    x = np.random.default_rng(2).normal(size=(2, 3, 5, 7, 6)).astype(np.float32)
    seed = np.random.default_rng(3).normal(size=ours.blobs["deconv"].shape).astype(np.float32)
    weights = {name: [blob.data.copy() for blob in blobs] for name, blobs in ours.params.items()}
    theirs = oracle.run(net_text(definition.param), weights=weights, inputs={"data": x}, seeds={"deconv": seed})
    ours.blobs["data"].data[...] = x
    ours.forward()
    ours.blobs["deconv"].diff[...] = seed
    ours.backward()
    for name, values in theirs.blobs.items():
        assert relative_error(ours.blobs[name].data, values) < 1e-5, name
    assert relative_error(ours.blobs["data"].diff, theirs.diffs["data"]) < 1e-5
