"""Small nets without kinks, in which a rounding error stays as small as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import dreamopt.caffe as caffe

CLASSIFIER = """
name: "smooth"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 23 dim: 27 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 6 kernel_size: 5 pad: 2 } }
layer { name: "tanh1" type: "TanH" bottom: "conv1" top: "tanh1" }
layer { name: "pool1" type: "Pooling" bottom: "tanh1" top: "pool1" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2" convolution_param { num_output: 7 kernel_size: 3 pad: 1 } }
layer { name: "tanh2" type: "TanH" bottom: "conv2" top: "tanh2" }
layer { name: "loss1/classifier" type: "InnerProduct" bottom: "pool1" top: "loss1/classifier" inner_product_param { num_output: 5 } }
layer { name: "loss2/classifier" type: "InnerProduct" bottom: "conv2" top: "loss2/classifier" inner_product_param { num_output: 5 } }
layer { name: "loss3/classifier" type: "InnerProduct" bottom: "tanh2" top: "loss3/classifier" inner_product_param { num_output: 5 } }
"""
CONVOLUTIONAL = "".join(line + "\n" for line in CLASSIFIER.splitlines() if "InnerProduct" not in line)
"""Without its classifiers: takes any size."""
GENERATOR = """
name: "generator"
layer { name: "feat" type: "Input" top: "feat" input_param { shape { dim: 1 dim: 12 } } }
layer { name: "fc" type: "InnerProduct" bottom: "feat" top: "fc" inner_product_param { num_output: 60 } }
layer { name: "fold" type: "Reshape" bottom: "fc" top: "fold" reshape_param { shape { dim: 0 dim: 4 dim: 3 dim: 5 } } }
layer { name: "bend" type: "TanH" bottom: "fold" top: "bend" }
layer { name: "deconv1" type: "Deconvolution" bottom: "bend" top: "deconv1" convolution_param { num_output: 4 kernel_size: 5 stride: 3 } }
layer { name: "bend1" type: "TanH" bottom: "deconv1" top: "bend1" }
layer { name: "deconv0" type: "Deconvolution" bottom: "bend1" top: "deconv0" convolution_param { num_output: 3 kernel_size: 4 stride: 3 } }
"""
"""From 12 numbers to 34 x 52 pixels, of which the middle 23 x 27 are used."""


def written(folder: Path, name: str, prototxt: str, first: float, seed: int = 5) -> tuple[Path, Path]:
    """Write a net with random weights; the first layer's are ``first`` times as large as would keep variances."""
    path, weights = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    path.write_text(prototxt)
    net, random, factor = caffe.Net(str(path), caffe.TEST), np.random.default_rng(seed), first
    for blobs in net.params.values():
        shape = blobs[0].data.shape
        fan_in = shape[0] * 3 if "deconv" in prototxt and len(shape) == 4 else int(np.prod(shape[1:]))
        blobs[0].data[...] = factor * random.standard_normal(shape) / np.sqrt(fan_in)
        blobs[1].data[...] = 0.1 * random.standard_normal(blobs[1].data.shape)
        factor = 1.0
        if len(shape) == 2 and name != "generator":
            blobs[0].data[...] *= 30  # gradients as large as those of nets that see photographs
    if name == "generator":
        net.params["deconv0"][0].data[...] *= 60  # grey levels
    net.save(str(weights))
    return path, weights
