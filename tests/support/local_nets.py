"""Random nets of layers that look around each place alone: strides, paddings, dilation, groups, branches that join, maps that grow."""

from __future__ import annotations

import numpy as np

from dreamopt.backends.engine import EngineBackend
from dreamopt.engine import Net
from dreamopt.network import Network
from dreamopt.schema import parse_net
from tests.support.nets import image_input
from tests.support.oracle.random_nets import FILLER, Maker

ALONE = [
    ("ReLU", "relu_param { negative_slope: 0.2 }"),
    ("PReLU", "prelu_param { filler { type: 'uniform' min: 0.1 max: 0.5 } }"),
    ("ELU", "elu_param { alpha: 0.7 }"),
    ("Sigmoid", ""),
    ("Dropout", ""),
    ("Power", "power_param { scale: -0.7 shift: 0.1 }"),
    ("Scale", "scale_param { bias_term: true filler { type: 'uniform' min: 0.5 max: 1.5 } }"),
    ("Bias", "bias_param { filler { type: 'gaussian' std: 0.5 } }"),
]
APART = [
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 }"),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
    ("AbsVal", ""),
    ("Softmax", ""),
    ("BatchNorm", ""),
]
POOLS = [
    "pool: MAX kernel_size: 3 stride: 2",
    "pool: MAX kernel_size: 3 stride: 2 pad: 1",
    "pool: AVE kernel_size: 3 stride: 2 pad: 1",
    "pool: AVE kernel_size: 4 stride: 3 pad: 2",
    "pool: MAX kernel_h: 2 kernel_w: 3 stride: 1 pad_h: 1 pad_w: 1",
    "pool: AVE kernel_size: 5 stride: 1 pad: 2",
    "pool: MAX kernel_size: 2 stride: 2 round_mode: FLOOR",
]
CONVOLUTIONS = [
    "kernel_size: 1",
    "kernel_size: 3 pad: 1",
    "kernel_size: 3",
    "kernel_size: 3 pad: 1 stride: 2",
    "kernel_size: 5 pad: 4 stride: 3",
    "kernel_size: 3 pad: 2 dilation: 2",
    "kernel_h: 3 kernel_w: 2 pad_h: 1 pad_w: 0 stride_h: 2 stride_w: 1",
]


def local_net(seed: int, layers: int = 9) -> tuple[Network, list[str]]:
    """Return a random net, and the names of its layers that write maps."""
    maker = Maker(seed)
    rng = maker.rng
    maker.shapes["data"] = (1, 3, 60, 56)
    convolve(maker, "data")
    for _ in range(layers):
        blob = str(maker.pick(maker.maps()[-3:]))
        kind = str(maker.pick(["conv", "conv", "apart", "pool", "sum", "join", "slice", "grow", "crop"]))
        shape = maker.shapes[blob]
        same = [b for b in maker.maps() if b not in (blob, "data") and maker.shapes[b][2:] == shape[2:]]
        if kind == "apart":
            type_, rest = maker.pick(maker.fit(APART, blob))  # type: ignore[misc]
            tops = maker.add(type_, [blob], rest)
        elif kind == "pool" and min(shape[2:]) > 8:
            tops = maker.add("Pooling", [blob], f"pooling_param {{ {maker.pick(POOLS)} }}")
        elif kind == "sum":
            other = maker.add(
                "Convolution", [blob], f"convolution_param {{ num_output: {shape[1]} kernel_size: 3 pad: 1 {FILLER % 0.3} }}"
            )[0]
            how = maker.pick(["", "coeff: 1 coeff: -0.5", "operation: PROD", "operation: MAX"])
            tops = maker.add("Eltwise", [blob, other], f"eltwise_param {{ {how} }}")
        elif kind == "join" and same:
            tops = maker.add("Concat", [str(maker.pick(same)), blob])
        elif kind == "slice" and shape[1] > 1:
            tops = maker.add("Slice", [blob], f"slice_param {{ slice_point: {int(rng.integers(1, shape[1]))} }}", tops=2)
        elif kind == "grow" and max(shape[2:]) < 40:
            tops = maker.add(
                "Deconvolution", [blob], f"convolution_param {{ num_output: 2 kernel_size: 4 stride: 2 pad: 1 {FILLER % 0.3} }}"
            )
        elif kind == "crop" and min(shape[2:]) > 8:
            smaller = maker.add("Convolution", [blob], f"convolution_param {{ num_output: 2 kernel_size: 4 {FILLER % 0.3} }}")[0]
            tops = maker.add("Crop", [blob, smaller], "crop_param { axis: 2 offset: 1 offset: 2 }")
        else:
            tops = convolve(maker, blob)
        type_, rest = maker.pick(ALONE)  # type: ignore[misc]
        maker.add(type_, [tops[0]], rest, in_place=True)
    names = [name for name, shape in maker.shapes.items() if len(shape) == 4 and name != "data"]
    return fill_statistics(made("\n".join([image_input(shape=(1, 3, 60, 56)), *maker.lines]), seed), seed), names


def made(text: str, seed: int = 0) -> Network:
    """Return the network of a prototxt, with the weights that its fillers draw."""
    return Network(EngineBackend(Net(parse_net(text), seed=seed)))


def convolve(maker: Maker, blob: str) -> list[str]:
    """Add a convolution, of one group or two."""
    channels = maker.shapes[blob][1]
    group = 2 if channels % 2 == 0 and maker.rng.random() < 0.4 else 1
    window = str(maker.pick(CONVOLUTIONS)) if min(maker.shapes[blob][2:]) > 8 else "kernel_size: 3 pad: 1"
    filler = FILLER % (channels * 9 // group) ** -0.5
    return maker.add("Convolution", [blob], f"convolution_param {{ num_output: {2 * group} {window} group: {group} {filler} }}")


def fill_statistics(network: Network, seed: int) -> Network:
    """Give BatchNorm layers means and variances, which no filler draws."""
    rng = np.random.default_rng(seed)
    for node in network.backend.net.nodes:  # type: ignore[attr-defined]  # the engine's
        if node.layer.type == "BatchNorm":
            means, variances, times = node.weights[:3]
            means.data[...] = rng.normal(0, 0.3, means.shape)
            variances.data[...] = rng.uniform(0.5, 2, variances.shape)
            times.data[...] = 1
    return network
