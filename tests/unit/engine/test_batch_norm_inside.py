"""BatchNorm with scale and shift inside (NVIDIA, Intel): its numbers are those of Caffe's BatchNorm and Scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import dreamopt.caffe as caffe
from dreamopt.engine import Net
from dreamopt.engine.batch_norms import fit_batch_norms
from dreamopt.errors import WeightsError
from dreamopt.schema import LayerWeights, parse_net, read_weights, write_weights

Array = NDArray[np.float32]
RNG = np.random.default_rng(5)
MEAN, VAR, FACTOR = (RNG.uniform(0.5, 2, n).astype(np.float32) for n in (3, 3, 1))
SCALE, SHIFT = (RNG.uniform(-2, 2, 3).astype(np.float32) for _ in range(2))
INSIDE = [MEAN, VAR, FACTOR, SCALE, SHIFT]
X, TOP_DIFF = (RNG.standard_normal((2, 3, 4, 5)).astype(np.float32) for _ in range(2))
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 4, 5] } } }\n'
BN = 'layer {{ name: "bn" type: "BatchNorm" bottom: "data" top: "bn" batch_norm_param {{ eps: 0.01 {} }} }}\n'
SCALE_LAYER = 'layer { name: "sc" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }\n'
CONV = 'layer { name: "conv" type: "Convolution" bottom: "data" top: "data2" convolution_param { num_output: 3 kernel_size: 2 } }\n'


def passes(net: Net, top: str) -> tuple[Array, Array]:
    y = net.forward(data=X)[top].copy()
    net.blobs[top].diff[...] = TOP_DIFF
    net.backward(start=list(net.layer_dict)[-1])
    return y, net.blobs["data"].diff.copy()


def expected(scale: Array = SCALE, shift: Array = SHIFT) -> tuple[Array, Array]:
    """By the formula: the statistics are constants in TEST, so that the gradient is the factor alone."""
    factor = (scale / np.sqrt(VAR / FACTOR + 0.01)).reshape(3, 1, 1)
    return (X - (MEAN / FACTOR).reshape(3, 1, 1)) * factor + shift.reshape(3, 1, 1), TOP_DIFF * factor


def agree(found: tuple[Array, Array], wanted: tuple[Array, Array]) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "words", ["scale_bias: true", "scale_filler { value: 3 }", "use_weight_bias: true engine: MKLDNN", "", "engine: MKL2017"]
)
def test_the_weights_file_decides_where_the_prototxt_is_silent(words: str) -> None:
    net = Net(parse_net(INPUT + BN.format(words)), weights=[LayerWeights("bn", "BatchNorm", INSIDE)])
    assert [blob.shape for blob in net.params["bn"]] == [(3,), (3,), (1,), (3,), (3,)]
    agree(passes(net, "bn"), expected())
    np.testing.assert_allclose(net.params["bn"][4].diff, TOP_DIFF.sum((0, 2, 3)), rtol=1e-4, atol=1e-5)
    normalised = expected(np.ones(3, np.float32), np.zeros(3, np.float32))[0]
    np.testing.assert_allclose(net.params["bn"][3].diff, (TOP_DIFF * normalised).sum((0, 2, 3)), rtol=1e-3, atol=1e-4)


def test_it_is_caffes_pair_in_train_too() -> None:
    pair = Net(parse_net(INPUT + BN.format("") + SCALE_LAYER, phase="TRAIN"), phase="TRAIN")
    one = Net(parse_net(INPUT + BN.format("scale_bias: true"), phase="TRAIN"), phase="TRAIN", weights=[LayerWeights("bn", "", INSIDE)])
    for layer, blobs in (("bn", INSIDE[:3]), ("sc", INSIDE[3:])):
        for blob, values in zip(pair.params[layer], blobs, strict=True):
            blob.data[...] = values
    agree(passes(one, "bn"), passes(pair, "bn"))
    for mine, theirs in zip(one.params["bn"], [*pair.params["bn"], *pair.params["sc"]], strict=True):
        np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-5)


def test_nvidia_takes_stored_statistics_in_test_whatever_use_global_stats_says() -> None:
    net = Net(parse_net(INPUT + BN.format("scale_bias: true use_global_stats: false")), weights=[LayerWeights("bn", "", INSIDE)])
    agree(passes(net, "bn"), expected())


def test_the_first_versions_order_is_known_by_its_factor() -> None:
    net = Net(parse_net(INPUT + BN.format("")), weights=[LayerWeights("bn", "", [SCALE, SHIFT, MEAN, VAR, FACTOR])])
    agree(passes(net, "bn"), expected())


@pytest.mark.parametrize("order", [(3, 4, 0, 1, 2), (0, 1, 2, 3, 4)])
def test_weights_of_four_axes(order: tuple[int, ...]) -> None:
    blobs = [INSIDE[i].reshape(1, -1, 1, 1) for i in order]
    net = Net(parse_net(INPUT + BN.format("")), weights=[LayerWeights("bn", "", blobs)])
    agree(passes(net, "bn"), expected())
    pair = Net(parse_net(INPUT + BN.format("") + SCALE_LAYER), weights=[LayerWeights("bn", "", blobs)])
    agree(passes(pair, "bn"), expected())


def test_scale_without_shift() -> None:
    net = Net(parse_net(INPUT + BN.format("")), weights=[LayerWeights("bn", "", INSIDE[:4])])
    agree(passes(net, "bn"), expected(SCALE, np.zeros(3, np.float32)))


def test_intels_relu_inside() -> None:
    net = Net(parse_net(INPUT + BN.format("relu: true")), weights=[LayerWeights("bn", "", INSIDE)])
    y, diff = passes(net, "bn")
    before, slope = expected()
    agree((y, diff), (np.maximum(before, 0), slope * (before > 0)))


def test_a_scale_layer_that_the_file_lacks_gets_the_scale_inside() -> None:
    definition = parse_net(INPUT + BN.format("") + SCALE_LAYER)
    net = Net(definition, weights=[LayerWeights("bn", "", INSIDE)])
    assert [len(blobs) for blobs in net.params.values()] == [3, 2]
    agree(passes(net, "bn"), expected())
    assert net.weights_report.missing == ()
    assert any("go to the layer 'sc'" in change for change in net.definition.changes)
    assert not any("sc" in change for change in definition.changes)  # the caller's own definition is as it was
    both = Net(definition, weights=[LayerWeights("bn", "", INSIDE), LayerWeights("sc", "", [SHIFT, SCALE])])
    y, diff = expected()
    agree(passes(both, "bn"), (y * SHIFT.reshape(3, 1, 1) + SCALE.reshape(3, 1, 1), diff * SHIFT.reshape(3, 1, 1)))


def test_caffes_own_weights_in_a_net_with_scale_inside() -> None:
    net = Net(parse_net(INPUT + BN.format("scale_bias: true")), weights=[LayerWeights("bn", "", INSIDE[:3])])
    agree(passes(net, "bn"), expected(np.ones(3, np.float32), np.zeros(3, np.float32)))


@pytest.mark.parametrize("relu", ["", "relu: true"])
def test_the_fast_programs_numbers(relu: str) -> None:
    """The executor folds it into the convolution before it."""
    text = INPUT + CONV + BN.format(relu).replace('bottom: "data"', 'bottom: "data2"')
    kernel = RNG.standard_normal((3, 3, 2, 2)).astype(np.float32)
    net = Net(parse_net(text), weights=[LayerWeights("conv", "", [kernel, SHIFT]), LayerWeights("bn", "", INSIDE)])
    x = torch.from_numpy(X).requires_grad_()
    (y,) = net.program(["bn"])({"data": x}).values()
    np.testing.assert_allclose(y.detach(), net.forward(data=X)["bn"], rtol=1e-4, atol=1e-5)
    seed = torch.from_numpy(RNG.standard_normal(tuple(y.shape)).astype(np.float32))
    (grad,) = torch.autograd.grad((y * seed).sum(), x)
    net.blobs["bn"].diff[...] = seed
    net.backward()
    np.testing.assert_allclose(grad, net.blobs["data"].diff, rtol=1e-4, atol=1e-4)


def test_they_are_saved_and_read_again(tmp_path: Path) -> None:
    definition, layers = parse_net(INPUT + BN.format("")), [LayerWeights("bn", "BatchNorm", INSIDE)]
    net = Net(definition, weights=layers)
    net.save(tmp_path / "bn.caffemodel")
    agree(passes(Net(definition, weights=tmp_path / "bn.caffemodel"), "bn"), expected())
    assert len(read_weights(tmp_path / "bn.caffemodel")[1].blobs) == 5
    assert fit_batch_norms(definition, [LayerWeights("bn", "", INSIDE[:3])])[0] is definition


def test_weights_copied_later_do_not_change_the_net(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(INPUT + BN.format(""))
    write_weights(tmp_path / "w.caffemodel", [LayerWeights("bn", "BatchNorm", INSIDE)])
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    with pytest.raises(WeightsError, match=r"has 5 weights .* takes 3: .*; with scale_bias: true in its batch_norm_param it takes 5"):
        net.copy_from(str(tmp_path / "w.caffemodel"))
    agree(passes(caffe.Net(str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel"), caffe.TEST), "bn"), expected())
