"""Nets with every kind of layer that has weights, some of them shared, and some that an objective does not depend on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamopt.engine.net import Net

GAUSS = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'
IMAGES = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 3 dim: 2 dim: 9 dim: 8 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" param {{ lr_mult: 0 }} convolution_param {{ num_output: 6 kernel_size: 3 group: 2
        {GAUSS} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }}
layer {{ name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param {{ bias_term: true filler {{ type: "uniform" min: 0.5 max: 2 }}
        bias_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
layer {{ name: "prelu" type: "PReLU" bottom: "conv" top: "conv" prelu_param {{ filler {{ type: "uniform" min: 0.1 max: 0.6 }} }} }}
layer {{ name: "one" type: "Convolution" bottom: "conv" top: "one" param {{ name: "w" }} param {{ name: "b" }} convolution_param {{ num_output: 6
        kernel_size: 1 {GAUSS} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "one" top: "one" relu_param {{ negative_slope: 0.2 }} }}
layer {{ name: "two" type: "Convolution" bottom: "one" top: "two" param {{ name: "w" }} param {{ name: "b" }} convolution_param {{ num_output: 6
        kernel_size: 1 {GAUSS} }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "two" top: "up" convolution_param {{ num_output: 4 kernel_size: 3 stride: 2 {GAUSS} }} }}
layer {{ name: "bias" type: "Bias" bottom: "up" top: "up" bias_param {{ filler {{ type: "uniform" min: -1 max: 1 }} }} }}
layer {{ name: "shared_prelu" type: "PReLU" bottom: "up" top: "bent" prelu_param {{ channel_shared: true filler {{ type: "constant" value: 0.3 }} }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "bent" top: "fc" inner_product_param {{ num_output: 5 {GAUSS} }} }}
layer {{ name: "aside" type: "InnerProduct" bottom: "data" top: "aside" inner_product_param {{ num_output: 3 {GAUSS} }} }}
layer {{ name: "again" type: "Convolution" bottom: "fc_map" top: "again" param {{ name: "w" }} param {{ name: "b" }} convolution_param {{ num_output: 6
        kernel_size: 1 {GAUSS} }} }}
""".replace('bottom: "fc_map"', 'bottom: "conv"')
"""`aside` and, of the layers that share weights, `again` are beside the way to `fc`; `conv` is not to be trained."""
SHAPE = (3, 2, 9, 8)


def write_net(folder: Path) -> tuple[Path, Path]:
    path, weights = folder / "weights.prototxt", folder / "weights.caffemodel"
    path.write_text(IMAGES)
    net = Net(path, seed=3)
    random = np.random.default_rng(8)
    for blob, values in zip(net.params["bn"], (random.normal(size=6), 1 + random.random(6), np.ones(1)), strict=True):
        blob.data[...] = values
    net.save(weights)
    return path, weights


def images() -> np.ndarray:
    return np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
