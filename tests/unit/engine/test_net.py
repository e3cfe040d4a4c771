"""The engine's net without an oracle: what must hold everywhere, and what is said when it does not."""

from __future__ import annotations

import gc
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt.caffe as caffe
from dreamopt.engine import Net
from dreamopt.errors import DreamoptWarning, NetError, ShapeError, TargetError, UnknownLayerError, UsageError, WeightsError
from dreamopt.schema import LayerWeights, parse_net

TEXT = """
name: "unit"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 11 dim: 13 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "a" type: "Power" bottom: "conv1" top: "a" power_param { power: 2 scale: 0.5 shift: 1 } }
layer { name: "b" type: "Pooling" bottom: "conv1" top: "b" pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc" inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
"""


def net(text: str = TEXT, **options: object) -> Net:
    made = Net(parse_net(text, "unit.prototxt"), **options)  # type: ignore[arg-type]
    made.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 1, made.blobs["data"].shape)
    return made


def test_a_program_gives_the_nets_numbers() -> None:
    n = net()
    n.forward()
    seed = np.random.default_rng(1).normal(0, 1, n.blobs["fc"].shape).astype(np.float32)
    n.blobs["fc"].diff[...] = seed
    n.backward(start="fc")
    x = torch.tensor(n.blobs["data"].data.copy(), requires_grad=True)
    wanted = ["conv1", "relu1", "a", "b", "sum", "fc"]
    values = n.program(wanted)({"data": x})
    np.testing.assert_allclose(values["relu1"].detach(), n.blobs["conv1"].data, rtol=1e-5, atol=1e-6)
    assert (values["conv1"] < 0).any()
    for name in ("a", "b", "sum", "fc"):
        np.testing.assert_allclose(values[name].detach(), n.blobs[name].data, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(values["fc"], x, torch.tensor(seed))
    np.testing.assert_allclose(gradient, n.blobs["data"].diff, rtol=1e-4, atol=1e-5)


def test_a_program_runs_nothing_that_was_not_asked_for() -> None:
    program = net().program(["b"])
    assert [step.node.layer.name for step in program.steps] == ["data", "conv1", "relu1", "b"]
    assert program.shapes({"data": (1, 3, 40, 50)}) == {"b": (1, 4, 38, 48)}
    # a size that the classifier beyond could not take
    assert program({"data": torch.ones(1, 3, 40, 50)})["b"].shape == (1, 4, 38, 48)
    with pytest.raises(UsageError, match="input 'data' is missing"):
        program({})
    with pytest.raises(ShapeError, match="layer 'conv1'"):
        program({"data": torch.ones(1, 7, 40, 50)})


def test_a_program_sees_weights_that_change() -> None:
    n = net()
    program = n.program(["conv1"])
    x = torch.ones(1, 3, 11, 13)
    before = program({"data": x})["conv1"]
    n.params["conv1"][1].data[...] += 2
    torch.testing.assert_close(program({"data": x})["conv1"], before + 2)


def test_names_mean_layers_first_and_what_is_near_is_said() -> None:
    n = net(TEXT.replace('name: "sum"', 'name: "add"'))
    x = {"data": torch.ones(1, 3, 11, 13)}
    torch.testing.assert_close(n.program(["sum"])(x)["sum"], n.program(["add"])(x)["add"])
    with pytest.raises(TargetError, match="no layer or blob 'conv2'; did you mean conv1"):
        n.program(["conv2"])


def test_training_reaches_the_weights() -> None:
    n = net()
    weights = n.parameters()
    leaves = [w.requires_grad_() for ws in weights.values() for w in ws]
    optimizer = torch.optim.SGD(leaves, lr=0.01)
    program = n.program(["fc"])
    x = torch.tensor(n.blobs["data"].data.copy())
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = program({"data": x}, weights)["fc"].square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)
    n.forward()
    torch.testing.assert_close(torch.tensor(n.blobs["fc"].data), program({"data": x})["fc"].detach())


def test_diffs_of_weights_cost_nothing_until_they_are_read() -> None:
    n = net()
    n.forward()
    n.blobs["fc"].diff[...] = 1
    n.backward()
    once = n.params["conv1"][0].diff.copy()
    n.backward()
    np.testing.assert_allclose(n.params["conv1"][0].diff, 2 * once, rtol=1e-5)
    late = net()
    late.forward()
    late.blobs["fc"].diff[...] = 1
    late.backward()
    late.backward()
    with pytest.warns(DreamoptWarning, match="hold the last one only"):
        np.testing.assert_allclose(late.params["conv1"][0].diff, once, rtol=1e-5)


def test_writing_a_blob_between_the_passes_counts() -> None:
    text = TEXT.replace(
        'type: "Power" bottom: "conv1" top: "a" power_param { power: 2 scale: 0.5 shift: 1 }',
        'type: "Power" bottom: "conv1" top: "a" power_param { power: 2 }',
    )
    n = net(text)
    n.forward()
    split = n.bottom_names["a"][0]
    n.blobs[split].data[...] = 3
    n.blobs["a"].diff[...] = 1
    n.backward(start="a", end="a")
    np.testing.assert_allclose(n.blobs[split].diff, 6)


def test_weights_by_name_and_what_became_of_them() -> None:
    n = net()
    kernel = np.ones((4, 3, 3, 3), np.float32)
    report = n.copy_from([LayerWeights("conv1", "Convolution", [kernel, kernel[:, 0, 0, 0]]), LayerWeights("other", "Bias", [kernel])])
    assert (report.loaded, report.missing, report.unused) == (("conv1",), ("fc",), ("other",))
    with pytest.raises(WeightsError, match=r"layer 'conv1'.*\(4, 3, 5, 3\).*unit.prototxt:4.*\(4, 3, 3, 3\)"):
        n.copy_from([LayerWeights("conv1", "", [np.ones((4, 3, 5, 3), np.float32), kernel[:, 0, 0, 0]])])
    with pytest.raises(WeightsError, match="layer 'conv1' has 1 weights"):
        n.copy_from([LayerWeights("conv1", "", [kernel])])
    # legacy shapes agree up to leading ones
    n.copy_from([LayerWeights("fc", "", [np.ones((1, 1, 5, 4 * 9 * 11), np.float32), np.ones((1, 1, 1, 5), np.float32)])])
    assert n.params["fc"][0].data.sum() == 5 * 4 * 9 * 11


@pytest.mark.parametrize("name", ["unit.caffemodel", "unit.caffemodel.h5"])
def test_saving_and_loading(name: str, tmp_path: Path) -> None:
    n, other = net(), net(seed=1)
    assert not np.array_equal(n.params["fc"][0].data, other.params["fc"][0].data)
    n.save(tmp_path / name)
    other.copy_from(tmp_path / name)
    for layer, blobs in n.params.items():
        for mine, theirs in zip(blobs, other.params[layer], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)
    with pytest.raises(UsageError, match=r"\.h5"):
        n.save_hdf5(tmp_path / "weights.caffemodel")


def test_shared_weights_are_the_same_memory() -> None:
    n, other = net(), net(seed=1)
    other.share_with(n)
    n.params["conv1"][0].data[...] = 7
    assert (other.params["conv1"][0].data == 7).all()


def test_fillers_are_seeded_by_net_layer_and_place() -> None:
    a, b, c = net(), net(), net(seed=1)
    np.testing.assert_array_equal(a.params["fc"][0].data, b.params["fc"][0].data)
    assert not np.array_equal(a.params["fc"][0].data, c.params["fc"][0].data)
    alone = net(TEXT.replace('name: "b"', 'name: "bb"'))
    np.testing.assert_array_equal(a.params["fc"][0].data, alone.params["fc"][0].data)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (
            ('type: "Power"', 'type: "Pwer"'),
            UnknownLayerError,
            r"unit.prototxt:7: layer 'a' has the unknown type 'Pwer' \(did you mean Power\?\); known are .*InnerProduct.*register",
        ),
        (('bottom: "a" bottom: "b"', 'bottom: "a" bottom: "d"'), NetError, "'d'"),
        (("coeff: 1 coeff: -0.5", "coeff: 1"), NetError, "unit.prototxt:9: layer 'sum'"),
        (('bottom: "conv1" top: "a"', 'bottom: "conv1" bottom: "data" top: "a"'), NetError, "layer 'a'.*takes 1 bottom"),
        (("kernel_size: 3 stride: 1 pad: 1", "kernel_size: 3 stride: 1"), NetError, "layer 'sum'.*shape"),
        (('top: "b"', 'top: "a"'), NetError, "'a'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: tuple[str, str], error: type[Exception], says: str) -> None:
    assert change[0] in TEXT
    with pytest.raises(error, match=says):
        net(TEXT.replace(*change))


def test_a_size_that_does_not_fit_names_the_layer() -> None:
    n = net()
    n.blobs["data"].reshape(2, 3, 20, 13)
    with pytest.raises(ShapeError, match=r"unit\.prototxt:10: layer 'fc'"):
        n.reshape()
    n.blobs["data"].reshape(2, 5, 11, 13)
    with pytest.raises(ShapeError, match=r"unit\.prototxt:4: layer 'conv1'"):
        n.forward(end="conv1")
    with pytest.raises(ShapeError, match="blob 'data' cannot be reshaped"):
        n.blobs["data"].reshape(2, -3)


def test_pycaffes_ways_to_make_a_net(tmp_path: Path) -> None:
    proto, weights = tmp_path / "n.prototxt", tmp_path / "n.caffemodel"
    proto.write_text(TEXT)
    caffe.set_random_seed(3)
    first = caffe.Net(str(proto), caffe.TEST)
    first.save(str(weights))
    caffe.set_random_seed(0)
    for made in (
        caffe.Net(str(proto), str(weights), caffe.TEST),
        caffe.Net(str(proto), 1, weights=str(weights)),
        caffe.Net(str(proto), caffe.TEST, weights=str(weights), level=0, stages=["deploy"]),
        caffe.Net(network_file=str(proto), phase=caffe.TEST, weights=str(weights)),
    ):
        np.testing.assert_array_equal(made.params["fc"][0].data, first.params["fc"][0].data)
    with pytest.raises(UsageError, match="phase"):
        caffe.Net(str(proto), 5)


def test_gpu_mode_without_a_gpu_warns_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(DreamoptWarning, match="no GPU"):
        caffe.set_mode_gpu()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caffe.set_device(0)
        caffe.set_mode_cpu()


def test_what_layers_remember_is_not_changed_by_writing_between_the_passes() -> None:
    n = net()
    n.forward()
    for top, unchanged in (("b", True), ("a", False)):
        bottom = n.bottom_names[top][0]
        n.blobs[top].diff[...] = 1
        n.backward(start=top, end=top)
        before = n.blobs[bottom].diff.copy()
        n.blobs[bottom].data[...] *= -1
        n.backward(start=top, end=top)
        assert np.array_equal(n.blobs[bottom].diff, before) is unchanged


@pytest.mark.parametrize(("method", "argument"), [("forward", "start"), ("backward", "start"), ("backward", "end")])
def test_a_blob_is_no_layer(method: str, argument: str) -> None:
    n = net(TEXT.replace('name: "data" type', 'name: "input" type'))
    n.forward()
    said = f"{argument} names a layer, and 'data' is a blob; it is written by 'input' and it is read by 'conv1'"
    with pytest.raises(TargetError, match=said):
        getattr(n, method)(**{argument: "data"})


def test_nets_that_nobody_refers_to_do_not_pile_up() -> None:
    """A net and its blobs refer to each other, and Python's collector, here switched off, counts objects, not their bytes."""
    wide = TEXT.replace("num_output: 5 weight_filler", "num_output: 60000 weight_filler").replace('"gaussian" std: 0.1', '"constant"')
    made = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):  # of 95 MB each
            n = net(wide)
            made.append(weakref.ref(n))
            del n
        assert sum(one() is not None for one in made) <= 3
    finally:
        gc.enable()
