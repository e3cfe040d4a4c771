"""A toy net in float64 for finite differences, and a small Caffe net for the same questions with the engine."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.network import Network
from dreamopt.network.preprocessing import preprocessing_of

SHAPE = (3, 11, 13)
"""The toy's input: no two axes are equal."""
LABELS = ("n01440764 tench, Tinca tinca", "tabby cat", "crane", "ruler, rule", "crane", "great white shark", "potter's wheel (clay)")


def toy_network(dtype: torch.dtype = torch.float64, channels: int = 3, scale: float = 1.0) -> Network:
    """Layers conv1 (4, 9, 11), tanh1, conv2 (5, 7, 9), relu2, pool (5, 3, 4), fc (7,), sure (7,): a dead end."""
    random = torch.Generator().manual_seed(0)
    w1, w2, w3 = (torch.randn(s, generator=random, dtype=torch.float64).to(dtype) for s in ((4, channels, 3, 3), (5, 4, 3, 3), (7, 60)))
    layers = [
        ("conv1", "Convolution", lambda x: functional.conv2d(x, 0.01 * w1 / scale)),
        ("tanh1", "TanH", torch.tanh),
        ("conv2", "Convolution", lambda x: functional.conv2d(x, 0.3 * w2)),
        ("relu2", "ReLU", torch.relu),
        ("pool", "Pooling", lambda x: functional.avg_pool2d(x, 2)),
        ("fc", "InnerProduct", lambda x: x.flatten(1) @ w3.T),
        ("low", "Power", lambda x: x * x * 0 - 1),
        ("dead", "ReLU", torch.relu),
    ]
    shape = (channels, *SHAPE[1:])
    mean = np.array([110.0, 120.0, 130.0, 100.0])[:channels]
    backend = FunctionBackend(layers, shape, weights=(w1, w2, w3), dtype=dtype)
    return Network(backend, preprocessing_of(channels, "BGR", mean, scale), LABELS)


PROTOTXT = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 17 dim: 19 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.02 } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "left" type: "Convolution" bottom: "pool1" top: "left"
  convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "right" type: "Convolution" bottom: "pool1" top: "right"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "low" type: "Convolution" bottom: "both" top: "low"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "constant" value: 0 } bias_filler { type: "constant" value: -1 } } }
layer { name: "relu_low" type: "ReLU" bottom: "low" top: "low" }
layer { name: "fc" type: "InnerProduct" bottom: "both" top: "fc" inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
"""
"""Names before and after in-place ReLUs, a Split, a Concat, and the dead layers low and relu_low."""
