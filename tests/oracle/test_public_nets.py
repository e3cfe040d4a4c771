"""Public nets in small against real Caffe: every blob and diff of the net, and the program's gradient against the net's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from google.protobuf.text_format import MessageToString

from dreamopt.engine import Net
from dreamopt.errors import ShapeError
from dreamopt.schema import parse_net
from tests.oracle.test_nets import compare, random_weights
from tests.support.oracle import public_nets
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Array, Oracle, relative_error
from tests.support.oracle.random_compare import Case, compare_case

NETS: list[Callable[[], str]] = [
    public_nets.vgg16,
    public_nets.vgg19_v1,
    public_nets.nin,
    public_nets.resnet,
    public_nets.resnext,
    public_nets.densenet,
    public_nets.mobilenet_v2,
    public_nets.inception_v3,
    public_nets.inception_resnet,
    public_nets.v0,
]


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
def test_public_nets_in_small(oracle: Oracle, make: Callable[[], str]) -> None:
    text = make()
    definition = parse_net(text, make.__name__)
    empty = Net(definition)
    weights = random_weights(empty, 0)
    x = np.random.default_rng(1).standard_normal(empty.blobs["data"].shape, np.float32) * np.float32(50)
    net = compare(oracle, f"small {make.__name__}", definition, text, weights, x, None)
    check_program(net, definition.param.layer[-1].top[0], x)


def check_program(net: Net, top: str, x: Array) -> None:
    """Compare a program with the net; of three seeds one has to meet no kink on which rounding decides."""
    errors = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        net.blobs["data"].data[...] = x + rng.standard_normal(x.shape, np.float32)
        net.forward()
        d = rng.standard_normal(net.blobs[top].shape, np.float32)
        net.blobs[top].diff[...] = d
        net.backward()
        assert np.abs(net.blobs["data"].diff).max() > 0
        data = torch.tensor(net.blobs["data"].data.copy(), requires_grad=True)
        y = net.program([top])({"data": data})[top]
        assert relative_error(y.detach().numpy(), net.blobs[top].data) <= TOLERANCE
        (gradient,) = torch.autograd.grad(y, data, torch.tensor(d))
        errors.append(relative_error(gradient.numpy(), net.blobs["data"].diff))
    assert note("small nets, program", min(errors)) <= TOLERANCE, f"the gradients are off by {errors}"


ALEXNET = """
name: "AlexNet"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 67 mean_file: "m.binaryproto" } data_param { source: "train" batch_size: 4 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { mirror: false crop_size: 67 mean_file: "m.binaryproto" } data_param { source: "val" batch_size: 2 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 11 stride: 4 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param { num_output: 10 pad: 2 kernel_size: 5 group: 2 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "fc8" type: "InnerProduct" bottom: "pool2" top: "fc8" inner_product_param { num_output: 7 } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc8" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc8" bottom: "label" top: "loss" }
"""

LENET = """
name: "LeNet"
layer { name: "mnist" type: "Data" top: "data" top: "label" transform_param { scale: 0.00390625 } data_param { source: "s" batch_size: 2 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 6 kernel_size: 5 stride: 1 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param { num_output: 8 kernel_size: 5 stride: 1 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 20 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


@pytest.mark.parametrize(("text", "shape"), [(ALEXNET, None), (LENET, (2, 1, 28, 28))])
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_training_nets(oracle: Oracle, text: str, shape: tuple[int, ...] | None, phase: str) -> None:
    definition = parse_net(text, phase=phase, input_shape=shape)
    assert not {"Data", "Accuracy", "SoftmaxWithLoss"} & {layer.type for layer in definition.param.layer}
    net = Net(definition)
    assert net.blobs["data"].shape == (shape or (4 if phase == "TRAIN" else 2, 3, 67, 67))
    x = np.random.default_rng(1).standard_normal(net.blobs["data"].shape, np.float32) * np.float32(50)
    del definition.param.layer[0].include[:]  # the oracle runs in TEST
    plain = MessageToString(definition.param)
    check_program(compare(oracle, "training nets", definition, plain, random_weights(net, 0), x, None), net.outputs[0], x)


def tower(suffix: str, bottom: str) -> str:
    """One side of a siamese net; layers share by the names of their params."""
    shared = 'param {{ name: "{0}_w" lr_mult: 1 }} param {{ name: "{0}_b" lr_mult: 2 }}'.format
    return f"""
layer {{ name: "conv1{suffix}" type: "Convolution" bottom: "{bottom}" top: "conv1{suffix}" {shared("conv1")}
        convolution_param {{ num_output: 5 kernel_size: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "pool1{suffix}" type: "Pooling" bottom: "conv1{suffix}" top: "pool1{suffix}" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "ip1{suffix}" type: "InnerProduct" bottom: "pool1{suffix}" top: "ip1{suffix}" {shared("ip1")}
        inner_product_param {{ num_output: 9 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu1{suffix}" type: "ReLU" bottom: "ip1{suffix}" top: "ip1{suffix}" }}
layer {{ name: "feat{suffix}" type: "InnerProduct" bottom: "ip1{suffix}" top: "feat{suffix}" {shared("feat")}
        inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
"""


SIAMESE = (
    """
layer { name: "pair_data" type: "Data" top: "pair_data" top: "sim" transform_param { scale: 0.0039 } data_param { source: "s" batch_size: 3 } }
layer { name: "slice_pair" type: "Slice" bottom: "pair_data" top: "data" top: "data_p" slice_param { slice_dim: 1 slice_point: 1 } }
"""
    + tower("", "data")
    + tower("_p", "data_p")
    + 'layer { name: "loss" type: "ContrastiveLoss" bottom: "feat" bottom: "feat_p" bottom: "sim" top: "loss" }'
)


def test_siamese(oracle: Oracle) -> None:
    definition = parse_net(SIAMESE, input_shape=(3, 2, 17, 15))
    net = Net(definition)
    assert net.outputs == ["feat", "feat_p"]
    assert np.shares_memory(net.params["conv1"][0].data, net.params["conv1_p"][0].data)
    compare_case(oracle, Case(MessageToString(definition.param), "TEST", None, None), 3)


def test_siamese_weights_from_real_caffe(oracle: Oracle) -> None:
    """Caffe's HDF5 leaves out shared weights, its caffemodel has them twice."""
    definition = parse_net(SIAMESE, input_shape=(3, 2, 17, 15))
    code = """
open("n.prototxt", "w").write(arguments["text"])
net = caffe.Net("n.prototxt", caffe.TEST)
net.save("n.caffemodel"); net.save_hdf5("n.h5")
for name in ("n.caffemodel", "n.h5"):
    result[name] = np.frombuffer(open(name, "rb").read(), np.uint8)
for name in net.params:
    result["w/" + name] = net.params[name][0].data.copy()
"""
    found = oracle.script(code, arguments={"text": MessageToString(definition.param)})
    import tempfile
    from pathlib import Path

    for name in ("n.caffemodel", "n.h5"):
        net = Net(definition, seed=5)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(found[name].tobytes())
            report = net.copy_from(path)
        assert not report.missing
        for layer in net.params:
            np.testing.assert_array_equal(net.params[layer][0].data, found[f"w/{layer}"])


def test_sharing_that_does_not_fit() -> None:
    text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }'
    for name, n in (("a", 4), ("b", 3)):
        text += f'layer {{ name: "{name}" type: "InnerProduct" bottom: "data" top: "{name}" param {{ name: "w" }} inner_product_param {{'
        text += f"num_output: {n} }} }}"
    with pytest.raises(ShapeError, match=r"layer 'b'.*weight 0 has shape \(3, 6\), but shares the name 'w' with a weight of layer 'a' of"):
        Net(parse_net(text))
    transposed = text.replace("num_output: 3", "num_output: 4 transpose: true")
    with pytest.raises(ShapeError, match="allowed is the same shape"):
        Net(parse_net(transposed))
    permissive = transposed.replace('top: "b" param { name: "w"', 'top: "b" param { share_mode: PERMISSIVE name: "w"')
    net = Net(parse_net(permissive))
    assert net.params["b"][0].shape == (6, 4)
    assert np.shares_memory(net.params["a"][0].data, net.params["b"][0].data)


SEVERAL = """
layer { name: "in" type: "Input" top: "data" top: "cond" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 11 } shape { dim: 2 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "elu" type: "ELU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "cond" top: "fc" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "scaled" type: "Scale" bottom: "conv" bottom: "fc" top: "scaled" scale_param { axis: 0 } }
layer { name: "zhead" type: "InnerProduct" bottom: "scaled" top: "z" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "ahead" type: "Pooling" bottom: "scaled" top: "a" pooling_param { pool: AVE global_pooling: true } }
layer { name: "cut" type: "Slice" bottom: "fc" top: "fc1" top: "fc2" slice_param { slice_point: 1 } }
"""


def test_several_inputs_and_outputs(oracle: Oracle) -> None:
    net = Net(parse_net(SEVERAL))
    assert (net.inputs, net.outputs) == (["data", "cond"], ["a", "fc1", "fc2", "z"])
    compare_case(oracle, Case(SEVERAL, "TEST", None, None), 1)
