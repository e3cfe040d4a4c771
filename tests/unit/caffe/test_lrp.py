"""``net.lrp`` by the toolbox's formula numbers: the numbers of its formulas, written out as dense matrices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamopt.caffe as caffe
from dreamopt.errors import ShapeError, UsageError
from tests.support.dense import Array, conv_matrix, pool_windows, winners

# In the toolbox's numbers: conv1 0, relu1 1, pool1 2, norm1 3, its Split 4, left 5, relu_left 6, right 7, both 8, mean 9, fc1 10,
# relu_fc1 11, drop 12, fc2 13, prob 14.
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 6 kernel_size: 3 pad: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 3 alpha: 0.6 k: 1.5 } }
layer { name: "left" type: "Convolution" bottom: "norm1" top: "left" convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "relu_left" type: "ReLU" bottom: "left" top: "left" }
layer { name: "right" type: "Convolution" bottom: "norm1" top: "right" convolution_param { num_output: 5 kernel_size: 1 bias_term: false } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "mean" type: "Pooling" bottom: "both" top: "mean" pooling_param { pool: AVE kernel_size: 2 stride: 1 } }
layer { name: "fc1" type: "InnerProduct" bottom: "mean" top: "fc1" inner_product_param { num_output: 8 } }
layer { name: "relu_fc1" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "drop" type: "Dropout" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "fc2" top: "prob" }
"""
MEAN = np.array([104, 117, 123])


@pytest.fixture(autouse=True)
def ordinary_mode() -> Iterator[None]:
    yield
    caffe.set_mode_cpu()


def make(folder: Path, text: str = NET) -> caffe.Net:
    (folder / "net.prototxt").write_text(text)
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST)
    draw = np.random.default_rng(9)
    for blobs in net.params.values():
        for i, blob in enumerate(blobs):
            blob.data[...] = draw.normal(0, 0.6 if i else 0.4, blob.shape)
    net.blobs["data"].data[...] = draw.normal(0, 2, net.blobs["data"].shape)
    net.forward()
    return net


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    return make(tmp_path)


def options(formula: int, **others: Any) -> caffe.RelPropOpts:
    chosen = caffe.RelPropOpts()
    settings = {"codeexectype": 0, "lrn_backward_type": 0, "lastlayerindex": -2, "firstlayerindex": 0, "relpropformulatype": formula}
    for name, value in {**settings, **others}.items():
        setattr(chosen, name, value)
    return chosen


def in_proportion(held: Array, x: Array, r: Array) -> Array:
    """Windows share in proportion; where one sums up to nothing, the toolbox adds its values."""
    sums = held @ x.ravel()
    small = np.abs(sums) < 1e-6
    found: Array = x * (held.T @ np.where(small, 1, r.ravel() / np.where(small, 1, sums))).reshape(x.shape)
    return found


class Dense:
    """One image's relevance, layer by layer."""

    def __init__(self, net: caffe.Net, item: int, chosen: caffe.RelPropOpts) -> None:
        self.net, self.item, self.chosen = net, item, chosen

    def blob(self, name: str) -> Array:
        return self.net.blobs[name].data[self.item].astype(np.float64)

    def weights(self, name: str) -> tuple[Array, Array]:
        blobs = [b.data.astype(np.float64) for b in self.net.params[name]]
        return blobs[0], blobs[1] if len(blobs) > 1 else np.zeros(len(blobs[0]))

    def epsilon(self, matrix: Array, bias: Array, x: Array, r: Array) -> Array:
        z = matrix @ x + bias
        return x * (matrix.T @ (r / (z + self.chosen.epsstab * np.sign(z))))

    def alpha_beta(self, matrix: Array, bias: Array, x: Array, r: Array, beta: float) -> Array:
        terms = matrix * x
        found = np.zeros_like(x)
        for part, own, factor in (
            (np.maximum(terms, 0), np.maximum(bias, 0), 1 + beta),
            (np.minimum(terms, 0), np.minimum(bias, 0), -beta),
        ):
            z = part.sum(1) + own
            found += factor * (part * np.where(z == 0, 0, r / np.where(z == 0, 1, z))[:, None]).sum(0)
        return found

    def zbox(self, matrix: Array, lowering_in_all: Array, bias: Array, x: Array, r: Array, mean: Array) -> Array:
        up, down = np.maximum(matrix, 0), np.maximum(-matrix, 0)
        z = matrix @ x + up @ mean + 255 * lowering_in_all - down @ mean + np.maximum(bias, 0)
        messages = matrix * x + up * mean + down * (255 - mean)
        found: Array = (messages * (r / z)[:, None]).sum(0)
        return found

    def linear(self, kind: str, name: str, bottom: str, r: Array, group: int = 1, pad: int = 0) -> Array:
        """``kind`` of a convolution or inner product; the flat and w^2 formulas count what lies beyond the border too."""
        kernels, bias = self.weights(name)
        x = self.blob(bottom)
        beta = self.chosen.alphabeta_beta
        if kernels.ndim == 2:
            matrix, places, reads = kernels, 1, kernels.shape[1]
        else:
            matrix, places, reads = conv_matrix(kernels, x.shape, pad, 1, group), r[0].size, kernels[0, 0].size
        bias, flat = np.repeat(bias, places), x.ravel()
        r = r.ravel()
        if kind == "epsilon":
            found = self.epsilon(matrix, bias, flat, r)
        elif kind.startswith("alpha_beta"):
            found = self.alpha_beta(matrix, bias, flat, r, float(kind[10:] or beta))
        elif kind == "gradient":
            found = matrix.T @ r
        elif kind == "flat":
            ones = np.ones_like(kernels)
            found = (ones if kernels.ndim == 2 else conv_matrix(ones, x.shape, pad, 1, group)).T @ r / reads
        elif kind == "w_squared":
            squares = kernels**2 / (kernels**2).reshape(len(kernels), -1).sum(1).reshape(-1, *[1] * (kernels.ndim - 1))
            found = (squares if kernels.ndim == 2 else conv_matrix(squares, x.shape, pad, 1, group)).T @ r
        else:
            assert kind == "zbox"
            lowering = np.repeat(np.maximum(-kernels, 0).reshape(len(kernels), -1).sum(1), places)
            mean = np.broadcast_to(MEAN[:, None, None], x.shape).ravel()
            found = self.zbox(matrix, lowering, bias, flat, r, mean)
        return found.reshape(x.shape)

    def relu(self, name: str, r: Array) -> Array:
        if self.chosen.relpropformulatype == 26:
            return np.maximum(r, 0)
        return np.maximum(r, 0) * (self.blob(name) > 0) if self.chosen.relpropformulatype == 166 else r

    def lrn(self, r: Array) -> Array:
        if self.chosen.lrn_backward_type != 1:
            return r
        x, found = self.blob("pool1"), np.zeros_like(r)
        scale = np.stack([1.5 + 0.2 * (x[max(c - 1, 0) : c + 2] ** 2).sum(0) for c in range(len(x))])
        for c in range(len(x)):
            found[c] = r[c] * x[c] * (1.5 + 0.2 * x[c] ** 2) ** -0.75
            for k in range(max(c - 1, 0), min(c + 2, len(x))):
                if k != c:
                    found[c] -= 2 * 0.2 * 0.75 * x[c] ** 2 * x[k] * r[k] * scale[k] ** -1.75
        return found

    def run(self, kinds: dict[str, str], classes: list[int], start: float | None = None) -> Array:
        fc2, fc1 = self.blob("fc2"), self.blob("fc1")
        r = np.zeros_like(fc2)
        r[classes] = fc2[classes] if start is None else start
        r = self.linear(kinds["fc2"], "fc2", "fc1", r)
        r = self.relu("fc1", r)
        r = self.linear(kinds["fc1"], "fc1", "mean", r)
        assert r.shape == self.blob("mean").shape
        assert fc1.shape == (8,)
        both = self.blob("both")
        held, _ = pool_windows(both.shape, 2, 1)
        r = in_proportion(held, both, r)
        left, right = self.relu("left", r[:4]), r[4:]
        r = self.linear(kinds["left"], "left", "norm1", left, group=2, pad=1) + self.linear(kinds["right"], "right", "norm1", right)
        r = self.lrn(r)
        conv1 = self.blob("conv1")
        held, _ = pool_windows(conv1.shape, 2, 2)
        if self.chosen.maxpoolingtoavgpoolinginbackwardpass:
            r = in_proportion(held, conv1, r)
        else:
            r = (winners(conv1.ravel(), held).T @ r.ravel()).reshape(conv1.shape)
        return self.linear(kinds["conv1"], "conv1", "data", self.relu("conv1", r), pad=1)


EPSILON, ALPHA_BETA, SWITCH = {"epsstab": 0.25}, {"alphabeta_beta": 0.5}, "auxiliaryvariable_maxlayerindexforflatdistinconv"


def kinds(fc2: str, fc1: str, left: str, right: str, conv1: str) -> dict[str, str]:
    return {"fc2": fc2, "fc1": fc1, "left": left, "right": right, "conv1": conv1}


def all_of(kind: str) -> dict[str, str]:
    return kinds(kind, kind, kind, kind, kind)


CASES: list[tuple[int, dict[str, Any], dict[str, str]]] = [
    (0, EPSILON, all_of("epsilon")),
    (0, {"epsstab": 0.0}, all_of("epsilon")),
    (0, {"lrn_backward_type": 1, "maxpoolingtoavgpoolinginbackwardpass": 1, **EPSILON}, all_of("epsilon")),
    (2, ALPHA_BETA, all_of("alpha_beta")),
    (2, {"alphabeta_beta": 0, "codeexectype": 1}, all_of("alpha_beta")),
    (6, {"imagemeancopy": MEAN, **ALPHA_BETA}, kinds("alpha_beta1", "alpha_beta1", "alpha_beta", "alpha_beta", "zbox")),
    (8, {"imagemeancopy": MEAN[:, None, None], **EPSILON}, kinds("alpha_beta1", "alpha_beta1", "epsilon", "epsilon", "zbox")),
    (18, {"imagemeancopy": np.ones((3, 6, 5)) * MEAN[:, None, None]}, kinds(*["alpha_beta1"] * 4, "zbox")),
    (22, {}, all_of("alpha_beta1")),
    (26, {}, all_of("gradient")),
    (54, {SWITCH: 5, **EPSILON}, kinds("epsilon", "epsilon", "flat", "epsilon", "flat")),
    (54, {SWITCH: 10, **EPSILON}, kinds("epsilon", "flat", "flat", "flat", "flat")),
    (56, {SWITCH: 10, **EPSILON}, kinds("epsilon", "w_squared", "w_squared", "w_squared", "w_squared")),
    (58, {SWITCH: 0, **ALPHA_BETA}, kinds("alpha_beta", "alpha_beta", "alpha_beta", "alpha_beta", "flat")),
    (60, {SWITCH: 7, **ALPHA_BETA}, kinds("alpha_beta", "alpha_beta", "w_squared", "w_squared", "w_squared")),
    (100, {**EPSILON, **ALPHA_BETA}, kinds("epsilon", "epsilon", "alpha_beta", "alpha_beta", "alpha_beta")),
    (102, {SWITCH: 4, **EPSILON, **ALPHA_BETA}, kinds("epsilon", "epsilon", "alpha_beta", "alpha_beta", "flat")),
    (104, {SWITCH: 5, **EPSILON, **ALPHA_BETA}, kinds("epsilon", "epsilon", "w_squared", "alpha_beta", "w_squared")),
    (114, {SWITCH: 10, **EPSILON, **ALPHA_BETA}, kinds("epsilon", *["alpha_beta"] * 4)),
    (166, {}, all_of("gradient")),
]


def same(found: Array, wanted: Array | list[Array]) -> None:
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-4 * float(np.abs(wanted).max()))


@pytest.mark.parametrize(("formula", "settings", "formulas"), CASES)
def test_a_formula(net: caffe.Net, formula: int, settings: dict[str, Any], formulas: dict[str, str]) -> None:
    chosen = options(formula, **settings)
    caffe.set_mode_dc_cpu()  # relevance has nothing to do with the other fork's modes
    found = net.lrp(np.array([2, 1]), chosen)
    assert found.shape == net.blobs["data"].shape
    assert found.dtype == np.float64
    wanted = [Dense(net, n, chosen).run(formulas, [c]) for n, c in enumerate([2, 1])]
    same(found, wanted)
    np.testing.assert_array_equal(net.lrp_multi([2, 1], chosen), found)
    one = net.lrp_single(2, chosen)
    assert one.shape == (1, *found.shape[1:])
    np.testing.assert_array_equal(one[0], found[0])


@pytest.mark.parametrize("formula", [11, 99])
def test_the_gradient_times_the_value(net: caffe.Net, formula: int) -> None:
    found = net.lrp(3, options(formula))
    net.blobs["fc2"].diff[...] = 0
    net.blobs["fc2"].diff[:, 3] = net.blobs["fc2"].data[:, 3]
    np.testing.assert_array_equal(net.backward(start="fc2")["data"], found)
    assert np.abs(found).max() > 0


def test_where_relevance_starts(net: caffe.Net) -> None:
    below_softmax = net.lrp([0, 3], options(0, lastlayerindex=-1))
    np.testing.assert_array_equal(below_softmax, net.lrp([0, 3], options(0, lastlayerindex=13)))
    np.testing.assert_array_equal(below_softmax, net.lrp([0, 3], options(0, lastlayerindex=-2)))
    lower = net.lrp([7, 0], options(0, lastlayerindex=10))
    assert np.abs(lower - below_softmax).max() > 1e-3
    chosen = options(0, has_init_relevance=True, relevance_for_init=0.75, **EPSILON)
    same(net.lrp(1, chosen), [Dense(net, n, chosen).run(all_of("epsilon"), [1], 0.75) for n in range(2)])
    first_alone = net.lrp([2], options(0))  # fewer classes than images: none for the second
    assert first_alone[0].any()
    assert not first_alone[1].any()


def test_the_softmax_starts_anew_with_all_probabilities(net: caffe.Net) -> None:
    net.lrp(1, options(0, lastlayerindex=14))
    np.testing.assert_array_equal(net.blobs["fc2"].diff, net.blobs["prob"].data)


def test_where_it_ends(net: caffe.Net) -> None:
    found = net.lrp(1, options(0, firstlayerindex=2, **EPSILON))  # blob 2 is pool1
    assert found.shape == net.blobs["pool1"].shape
    data = net.lrp(1, options(0, **EPSILON))
    np.testing.assert_array_equal(net.blobs["pool1"].diff, found)
    assert data.shape == net.blobs["data"].shape


def test_what_stands_in_the_diffs_before_does_not_count(net: caffe.Net) -> None:
    expected = net.lrp(1, options(2))
    net.blobs["prob"].diff[...] = 1
    net.backward()
    np.testing.assert_array_equal(net.lrp(1, options(2)), expected)


def test_relevance_is_kept_without_biases(net: caffe.Net) -> None:
    for blobs in net.params.values():
        for blob in blobs[1:]:
            blob.data[...] = 0
    net.forward()
    scores = net.blobs["fc2"].data[:, 2]
    np.testing.assert_allclose(net.lrp(2, options(0, epsstab=0.0)).sum((1, 2, 3)), scores, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"relpropformulatype": 31}, r"relpropformulatype 31 is no formula of the toolbox; allowed are 0 \(epsilon\), 2 \(alpha-beta\)"),
        ({"relpropformulatype": -1}, "relpropformulatype is not set; allowed are 0"),
        ({"codeexectype": -1}, "codeexectype is -1; allowed is 0 or 1"),
        ({"lrn_backward_type": 2}, "lrn_backward_type is 2; allowed is -1 or 0 or 1"),
        ({"biastreatmenttype": 1}, "biastreatmenttype is 1; allowed is 0"),
        ({"epsstab": -0.5}, "epsstab must be at least 0, not -0.5"),
        ({"alphabeta_beta": -1}, "alphabeta_beta must be at least 0, not -1"),
        ({"firstlayerindex": -1}, "firstlayerindex must be a whole number of at least 0, not -1"),
        ({"firstlayerindex": 13}, r"firstlayerindex 13 must be below the layer where relevance starts, 13 \('fc2'\)"),
        ({"lastlayerindex": 15}, "lastlayerindex is 15; the net has 15 layers"),
        ({"lastlayerindex": -3}, "lastlayerindex must be a whole number of at least -2, not -3"),
        ({"relpropformulatype": 54}, "auxiliaryvariable_maxlayerindexforflatdistinconv must be a whole number of at least 0, not -1"),
        ({"relpropformulatype": 6}, "formula 6 has zB at the lowest layer, which needs imagemeancopy"),
        (
            {"relpropformulatype": 6, "imagemeancopy": np.ones((2, 6, 5))},
            r"imagemeancopy of shape \(2, 6, 5\) is no mean of images \(3, 6, 5\)",
        ),
        ({"numclasses": 1000}, "numclasses is 1000, but layer 'fc2' has 4 values for each image"),
    ],
)
def test_options_that_the_toolbox_aborts_on(net: caffe.Net, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises((UsageError, ShapeError), match=sentence):
        net.lrp([1, 2], options(0, **changes) if "relpropformulatype" not in changes else options(**{"formula": 0, **changes}))


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (4, "there is no class 4 at layer 'fc2'; allowed is 0 to 3"),
        ([0, -1], "there is no class -1"),
        ([0, 1, 2], "there are 3 classes, but 2 images"),
        (None, "class_inds must be a class's number, or one for each image, not None"),
        (1.5, "class_inds must be a class's number"),
        ([[0, 1], [1, 2]], "class_inds must be a class's number"),
    ],
)
def test_classes_that_are_none(net: caffe.Net, classes: Any, sentence: str) -> None:
    with pytest.raises((UsageError, ShapeError), match=sentence):
        net.lrp(classes, options(0))


def test_the_default_options_abort_there(net: caffe.Net) -> None:
    with pytest.raises(UsageError, match=r"asks for formula 31, which it does not have; give a caffe.RelPropOpts\(\) whose .*166 \(guided"):
        net.lrp(1)
    with pytest.raises(UsageError, match=r"lrp_opts must be a caffe.RelPropOpts, not \{\}"):
        net.lrp(1, {})  # type: ignore[arg-type]  # what a script may write
    with pytest.raises(UsageError, match="firstlayerindex is 1; allowed is 0 for lrp_single"):
        net.lrp_single(1, options(0, firstlayerindex=1))


def test_options_by_name() -> None:
    chosen = caffe.RelPropOpts()
    chosen.lrptype_eltwise = 2  # the toolbox's own default options set it, and nothing reads it
    chosen.epscap_pool = 1e-3
    with pytest.raises(UsageError, match="RelPropOpts has no option 'epsstabb'; did you mean epsstab"):
        chosen.epsstabb = 1.0


OTHERS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "next" type: "%s" bottom: "conv" %s top: "next" %s }
layer { name: "fc" type: "InnerProduct" bottom: "next" top: "fc" inner_product_param { num_output: 4 } }
"""


def test_activations_copy_under_formulas_0_and_2_alone(tmp_path: Path) -> None:
    net = make(tmp_path, OTHERS % ("TanH", "", ""))
    net.lrp(1, options(2))
    np.testing.assert_array_equal(net.blobs["conv"].diff, net.blobs["next"].diff)
    with pytest.raises(UsageError, match=r"layer 'next' \(TanH\): the LRP toolbox has no relevance for it under formula 100"):
        net.lrp(1, options(100))


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (("Eltwise", 'bottom: "data"', "eltwise_param { operation: SUM }"), r"layer 'next' \(Eltwise\): the LRP toolbox has no relevance"),
        (("BatchNorm", "", ""), r"layer 'next' \(BatchNorm\): the LRP toolbox has no relevance for it; dreamopt.attribute"),
        (("LRN", "", "lrn_param { norm_region: WITHIN_CHANNEL }"), r"layer 'next' \(LRN\): lrn_backward_type 1 is for LRN across channels"),
    ],
)
def test_layers_that_the_toolbox_does_not_know(tmp_path: Path, layer: tuple[str, str, str], sentence: str) -> None:
    text = OTHERS if layer[0] != "Eltwise" else OTHERS.replace("kernel_size: 2", "kernel_size: 1")
    net = make(tmp_path, text % layer)
    with pytest.raises(UsageError, match=sentence):
        net.lrp(1, options(0, lrn_backward_type=1))


def test_nets_without_a_place_to_start(tmp_path: Path) -> None:
    net = make(tmp_path, OTHERS % ("ReLU", "", ""))
    with pytest.raises(UsageError, match="the layer below the lowest Softmax, and the net has none"):
        net.lrp(1, options(0, lastlayerindex=-1))
    whole = make(tmp_path, OTHERS.replace("InnerProduct", "Convolution").replace("inner_product_param { num_output: 4 }",
                 "convolution_param { num_output: 4 kernel_size: 1 }") % ("ReLU", "", ""))  # fmt: skip
    with pytest.raises(UsageError, match="the highest InnerProduct, and the net has none"):
        whole.lrp(1, options(0))
    values = whole.blobs["fc"].data[0]
    place = int(np.abs(values).argmax())  # of a map: channel, row and column
    assert whole.lrp(place, options(0, lastlayerindex=2)).any()
    expected = np.where(np.arange(values.size).reshape(values.shape) == place, values, 0)
    np.testing.assert_array_equal(whole.blobs["fc"].diff[0], expected)
