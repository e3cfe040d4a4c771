"""Layers that run in place inside a net, with a Split behind them, against real Caffe: whole passes and parts of them."""

from __future__ import annotations

import numpy as np
import pytest

from dreamopt.engine import Net
from dreamopt.schema import parse_net
from tests.oracle.compare import TOLERANCE, note
from tests.oracle.harness import Oracle, relative_error

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 2 } } }
layer { name: "first" type: "%s" bottom: "conv" top: "conv" %s }
layer { name: "second" type: "%s" bottom: "conv" top: "conv" %s }
layer { name: "left" type: "ELU" bottom: "conv" top: "left" }
layer { name: "right" type: "Pooling" bottom: "conv" top: "right" pooling_param { kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "both" type: "Eltwise" bottom: "left" bottom: "right" top: "both" eltwise_param { operation: PROD } }
"""

LAYERS = [
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: -0.3 }"),
    ("PReLU", ""),
    ("ELU", "elu_param { alpha: 0.5 }"),
    ("Sigmoid", ""),
    ("TanH", ""),
    ("Dropout", ""),
    ("Power", "power_param { power: 1.5 shift: 5 }"),
    ("Power", "power_param { scale: 0.4 }"),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    ("Scale", "scale_param { bias_term: true filler { type: 'uniform' min: 1 max: 2 } }"),
    ("Bias", "bias_param { filler { value: 0.5 } }"),
    ("Softmax", ""),
    ("BNLL", ""),
    ("Exp", "exp_param { scale: 0.3 }"),
    ("Log", "log_param { shift: 9 }"),
    ("Clip", "clip_param { min: 1.5 max: 2.2 }"),
    ("Swish", ""),
]

# Sigmoid and others read the blob again in their backward pass, and find there what a later in-place layer wrote; these do not
KEEPING = [layer for layer in LAYERS if layer[0] in ("PReLU", "Dropout", "BatchNorm", "Scale", "Bias")]
PAIRS = [(layer, ("Dropout", "")) for layer in LAYERS] + [(KEEPING[i % len(KEEPING)], layer) for i, layer in enumerate(LAYERS)]


@pytest.mark.parametrize(("start", "end"), [(None, None), ("conv", "right"), ("first", "second"), ("second", "left")])
@pytest.mark.parametrize("i", range(len(PAIRS)))
def test_in_place(oracle: Oracle, i: int, start: str | None, end: str | None) -> None:
    text = NET % (*PAIRS[i][0], *PAIRS[i][1])
    net = Net(parse_net(text))
    rng = np.random.default_rng(i)
    weights = {name: [b.data.copy() for b in blobs] for name, blobs in net.params.items()}
    source = "data" if start in (None, "conv") else "conv"
    x = rng.normal(size=net.blobs[source].shape).astype(np.float32)
    last = end if end is not None else "both"
    seeds = {top: rng.normal(size=net.blobs[top].shape).astype(np.float32) for top in net.top_names[last]}
    net.blobs[source].data[...] = x
    net.forward(start=start, end=end)
    ours = {name: blob.data.copy() for name, blob in net.blobs.items()}
    for top, seed in seeds.items():
        net.blobs[top].diff[...] = seed
    net.backward(start=end, end=start)
    theirs = oracle.run(text, weights=weights, inputs={source: x}, seeds=seeds, start=start, end=end)
    assert list(net.blobs) == list(theirs.blobs)
    ran = list(net.layer_dict)
    ran = ran[0 if start is None else ran.index(start) : None if end is None else ran.index(end) + 1]
    for name in {b for layer in ran for b in (*net.bottom_names[layer], *net.top_names[layer])}:
        error = note("in place forward", relative_error(ours[name], theirs.blobs[name]))
        assert error <= TOLERANCE, f"blob {name} is off by {error:.1e}"
        error = note("in place backward", relative_error(net.blobs[name].diff, theirs.diffs[name]))
        assert error <= TOLERANCE, f"diff of blob {name} is off by {error:.1e}"
