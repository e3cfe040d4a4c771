"""Caffe's fillers: the same distribution as a running Caffe's, whose random stream is its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from dreamopt.engine import Net
from dreamopt.engine.fillers import FILLERS
from dreamopt.errors import NetError
from dreamopt.schema import parse_net
from tests.support.oracle.harness import Oracle

CASES = [
    'type: "constant" value: 0.7',
    'type: "uniform" min: -1.5 max: 0.25',
    'type: "gaussian" mean: 0.5 std: 2',
    'type: "gaussian" std: 3 sparse: 20',
    'type: "positive_unitball"',
    'type: "xavier"',
    'type: "xavier" variance_norm: FAN_OUT',
    'type: "xavier" variance_norm: AVERAGE',
    'type: "msra"',
    'type: "msra" variance_norm: FAN_OUT',
    'type: "msra" variance_norm: AVERAGE',
]


def text(filler: str) -> str:
    return f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 30 dim: 7 dim: 9 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
            convolution_param {{ num_output: 80 kernel_h: 5 kernel_w: 3 weight_filler {{ {filler} }} bias_filler {{ type: "constant" value: 2 }} }} }}
    """


@pytest.mark.parametrize("filler", CASES)
def test_the_distribution_is_caffes(filler: str, oracle: Oracle) -> None:
    theirs = oracle.run(text(filler), seed=4).weights["conv"]
    ours = Net(parse_net(text(filler))).params["conv"]
    np.testing.assert_array_equal(ours[1].data, theirs[1])
    a, b = np.sort(ours[0].data.ravel()).astype(float), np.sort(theirs[0].ravel()).astype(float)
    assert a.shape == b.shape
    spread = b.std() or 1.0
    kurtosis = (((b - b.mean()) / spread) ** 4).mean()
    error_of_std = spread * np.sqrt(max(kurtosis - 1, 0.0) / (2 * len(b)))
    assert ks_2samp(a, b).pvalue > 1e-3
    assert abs(a.std() - b.std()) <= 5 * error_of_std
    assert abs((a == 0).mean() - (b == 0).mean()) <= 0.01
    if "unitball" in filler:
        np.testing.assert_allclose(ours[0].data.reshape(80, -1).sum(1), theirs[0].reshape(80, -1).sum(1), rtol=1e-5)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_bilinear_is_exact(kernel: int, oracle: Oracle) -> None:
    net = f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 2 dim: 5 dim: 7 }} }} }}
    layer {{ name: "up" type: "Deconvolution" bottom: "data" top: "up"
            convolution_param {{ num_output: 3 kernel_size: {kernel} stride: 2 bias_term: false weight_filler {{ type: "bilinear" }} }} }}
    """
    np.testing.assert_allclose(Net(parse_net(net)).params["up"][0].data, oracle.run(net).weights["up"][0], rtol=1e-6)


def test_an_unknown_filler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NetError, match=f"layer 'conv': unknown weight filler 'xaver'; known are {', '.join(FILLERS)}"):
        Net(parse_net(text('type: "xaver"')))
    with pytest.raises(NetError, match="square kernels"):
        Net(parse_net(text('type: "bilinear"')))
