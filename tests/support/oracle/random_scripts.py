"""Scripts for pycaffe, by a seed: passes, partial passes, reads, writes, views kept, weights and sizes that change, in any order."""

from __future__ import annotations

import numpy as np

# Two heads, in-place chains behind a normalization, a sum, a blob of three readers. No two axes agree.
NET = """
name: "scripted" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 15 dim: 13 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { use_global_stats: true } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 } }
layer { name: "left" type: "Convolution" bottom: "norm1" top: "left" convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu_left" type: "ReLU" bottom: "left" top: "left" }
layer { name: "right" type: "Pooling" bottom: "norm1" top: "right" pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "mixed" type: "Convolution" bottom: "both" top: "mixed"
        convolution_param { num_output: 10 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "both" bottom: "mixed" top: "sum" }
layer { name: "relu_sum" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "side" type: "Convolution" bottom: "left" top: "side" convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
TOPS = {"bn1": "conv1", "scale1": "conv1", "relu1": "conv1", "relu_left": "left", "relu_sum": "sum", "drop": "sum"}
LAYERS = [
    "conv1",
    "bn1",
    "relu1",
    "norm1",
    "left",
    "relu_left",
    "right",
    "both",
    "mixed",
    "sum",
    "relu_sum",
    "drop",
    "side",
    "pool",
    "fc",
    "prob",
]
BLOBS = ["data", "conv1", "norm1", "left", "right", "both", "mixed", "sum", "side", "pool", "fc", "prob"]
ACTIONS = (
    ["ascend"] * 6
    + ["forward", "whole", "backward", "backward", "data", "data", "diff", "write data", "write diff", "weights", "weight diffs"]
    + ["size", "middle", "keep data", "keep diff", "use kept", "let go", "copy", "returned", "two nets"]
)
START = """
def values(seed, shape):
    return np.random.RandomState(seed).normal(0, 1, tuple(shape))
def fresh(seed):
    with open("scripted.prototxt", "w") as f:
        f.write(NET)
    net = caffe.Net("scripted.prototxt", caffe.TEST)
    rng = np.random.RandomState(seed)
    for name in net.params:
        for blob in net.params[name]:
            blob.data[...] = rng.uniform(0.5, 1.5, tuple(blob.shape)) if name == "bn1" else rng.normal(0, 0.4, tuple(blob.shape))
    net.blobs["data"].data[...] = rng.normal(0, 1, tuple(net.blobs["data"].shape))
    net.forward()
    return net
def ascend(net, seed, end, start, top):
    net.blobs["data"].data[...] = values(seed, net.blobs["data"].shape)
    net.forward(end=end)
    net.blobs[top].diff[...] = values(seed + 1, net.blobs[top].shape)
    net.backward(start=start)
    return net.blobs["data"].diff.copy()
net, other, kept = fresh(3), fresh(4), []
"""


def script(seed: int, steps: int = 25) -> str:
    """Return a script; it needs ``caffe``, ``np``, ``NET`` and the dict ``result``.

    Parameters
    ----------
    seed : int
        Another one is another script.
    steps : int
        How many things it does.
    """
    draw = np.random.default_rng(seed)
    lines = [START]
    reads_weight_diffs = draw.random() < 0.3
    if reads_weight_diffs:  # from now on every pass is added to them, as in Caffe
        lines.append('net.params["fc"][0].diff; other.params["fc"][0].diff')
    for step in range(steps):
        action, number, at = str(draw.choice(ACTIONS)), int(draw.integers(1 << 20)), f'result["{step:02d} '
        first, last = sorted(draw.choice(len(LAYERS), 2, replace=False))
        start, end = LAYERS[first], LAYERS[last]
        top, blob = TOPS.get(end, end), str(draw.choice(BLOBS))
        key = f'{at}{action} {blob if action in ("data", "diff", "use kept") else f"{start} {end}"}"]'
        if action == "ascend":
            lower = start if draw.random() < 0.2 else end
            lines.append(f'{key} = ascend(net, {number}, "{end}", "{lower}", "{TOPS.get(lower, lower)}")')
        elif action == "forward":
            lines.append(f'{key} = net.forward(end="{end}")["{top}"].copy()')
        elif action == "whole":
            lines.append(f'out = net.forward(blobs=["{blob}"]); {key} = np.concatenate([out[k].ravel() for k in sorted(out)])')
        elif action == "backward":
            lines.append(f'net.blobs["{top}"].diff[...] = values({number}, net.blobs["{top}"].shape)')
            lines.append(f'net.backward(start="{end}"); {key} = net.blobs["data"].diff.copy()')
        elif action in ("data", "diff"):
            lines.append(f'{key} = net.blobs["{blob}"].{action}.copy()')
        elif action in ("write data", "write diff"):
            lines.append(f'net.blobs["{blob}"].{action[6:]}[...] = values({number}, net.blobs["{blob}"].shape)')
        elif action == "weights":
            lines.append('net.params["left"][0].data[...] *= -0.9; other.params["mixed"][1].data[...] += 0.1')
        elif action == "weight diffs" and reads_weight_diffs:
            lines.append(f'{key} = net.params["conv1"][0].diff.copy()')
        elif action == "size":
            lines.append(f'net.blobs["data"].reshape({number % 3 + 1}, 3, {11 + number % 5}, {12 + number % 7})')
            lines.append(f'{key} = ascend(net, {number}, "{end}", "{end}", "{top}")')
            if draw.random() < 0.5:
                lines.append('kept = []; net.blobs["data"].reshape(2, 3, 15, 13); net.reshape(); net.forward()')
            else:
                lines.append("kept = []; net.reshape(); net.forward()")
        elif action == "middle":
            lines.append(f'net.forward(start="{start}", end="{end}"); net.backward(start="{end}", end="{start}")')
        elif action == "keep data":
            lines.append(f'kept.append(net.blobs["{blob}"].data)')
        elif action == "keep diff":
            lines.append(f'kept.append(net.blobs["{blob}"].diff)')
        elif action == "use kept":
            lines.append(f'for i, view in enumerate(kept): {at}kept %d" % i] = view.copy()')
            if draw.random() < 0.5:
                lines.append(f"for view in kept[:1]: view[...] = values({number}, view.shape)")
        elif action == "let go":
            lines.append("kept = []")
        elif action == "copy":
            lines.append('net.save("scripted.caffemodel"); other.copy_from("scripted.caffemodel"); net.params["fc"][0].data[...] *= 1.1')
        elif action == "returned":
            lines.append(
                f'kept.append(net.backward(diffs=["{blob}"], prob=values({number}, net.blobs["prob"].shape), side=values({number}, net.blobs["side"].shape))["{blob}"])'
            )
        elif action == "two nets":
            lines.append("other.share_with(net)" if draw.random() < 0.5 else "other, net = net, other")
            lines.append(f'{key} = ascend(other, {number}, "{end}", "{end}", "{top}")')
    for blob in BLOBS:
        for what in ("diff", "data"):
            lines.append(f'result["zz {what} {blob}"] = net.blobs["{blob}"].{what}.copy()')
            lines.append(f'result["zz other {what} {blob}"] = other.blobs["{blob}"].{what}.copy()')
    return "\n".join(lines)
