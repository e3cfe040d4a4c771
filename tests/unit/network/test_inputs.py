"""Nets of several inputs: which one is optimized, what the others are fed, and nets cut at a blob, by every way to compute them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.backends.inputs.cut import with_input
from dreamopt.backends.inputs.feeds import Feeds
from dreamopt.engine.net import Net
from dreamopt.errors import DreamoptError, DreamoptWarning, NetError, ShapeError, UsageError
from dreamopt.network import Network, load_net
from dreamopt.objective import from_function
from dreamopt.problem import Problem
from dreamopt.schema import parse_net, read_net
from tests.oracle.conftest import caffe_root

# An image beside marks and a few numbers: a column of convolution values is a step of the LSTM, as in nets that read text in images.
SEVERAL = """
name: "several"
input: "cont" input_shape { dim: 5 dim: 1 }
input: "im_info" input_shape { dim: 1 dim: 3 }
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 10 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_h: 8 kernel_w: 6
        weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.3 } }
layer { name: "ip" type: "InnerProduct" bottom: "im_info" top: "ip" inner_product_param { num_output: 4
        weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "tanh" type: "TanH" bottom: "ip" top: "tanh" }
layer { name: "bias" type: "Bias" bottom: "conv" bottom: "tanh" top: "bias" bias_param { axis: 0 } }
layer { name: "score" type: "InnerProduct" bottom: "bias" top: "score" inner_product_param { num_output: 2
        weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "steps" type: "Permute" bottom: "bias" top: "steps" permute_param { order: 3 order: 0 order: 1 order: 2 } }
layer { name: "lstm" type: "LSTM" bottom: "steps" bottom: "cont" top: "lstm" recurrent_param { num_output: 3
        weight_filler { type: "gaussian" std: 0.5 } } }
"""
PAIR = """
input: "mask" input_shape { dim: 2 dim: 1 dim: 7 dim: 9 }
input: "data" input_shape { dim: 2 dim: 3 dim: 7 dim: 9 }
layer { name: "both" type: "Concat" bottom: "data" bottom: "mask" top: "both" }
layer { name: "conv" type: "Convolution" bottom: "both" top: "conv" convolution_param { num_output: 5 kernel_size: 3
        weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.2 } }
layer { name: "next" type: "Convolution" bottom: "conv" top: "next" convolution_param { num_output: 2 kernel_size: 2
        weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "skip" type: "Convolution" bottom: "data" top: "skip" convolution_param { num_output: 2 kernel_size: 4
        weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "sum" type: "Eltwise" bottom: "next" bottom: "skip" top: "sum" }
"""
WORDS = """
input: "words" input_shape { dim: 1 dim: 6 }
layer { name: "flat" type: "Reshape" bottom: "words" top: "flat" reshape_param { shape { dim: 0 dim: 3 dim: 2 } } }
layer { name: "embed" type: "Embed" bottom: "flat" top: "vectors" embed_param { input_dim: 9 num_output: 4
        weight_filler { type: "gaussian" std: 1 } bias_term: false } }
layer { name: "tanh" type: "TanH" bottom: "vectors" top: "tanh" }
layer { name: "ip" type: "InnerProduct" bottom: "tanh" top: "ip" inner_product_param { num_output: 2
        weight_filler { type: "gaussian" std: 0.3 } } }
"""

Open = Callable[..., Network]


@pytest.fixture(params=["engine", "pycaffe", pytest.param("remote", marks=pytest.mark.oracle)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return what opens a net's text by one of the backends, all with the same weights."""
    networks: list[Network] = []

    def make(text: str, **options: Any) -> Network:
        path, weights = files(tmp_path, text)
        if request.param == "pycaffe":  # no Caffe here, but what has its API
            definition, optimized, is_cut = read_net(path), options.get("input"), False
            if optimized is not None:
                definition, optimized, is_cut = with_input(definition, optimized)
            feed = {name: np.asarray(value, np.float32) for name, value in options.get("feed", {}).items()}
            backend = CaffeBackend(definition, weights, InProcess("cpu", dreamopt.caffe), optimized=optimized, feed=feed)
            network = Network(backend, is_image=False if is_cut else None)
        elif request.param == "remote":
            python = ["chroot", str(caffe_root()), "python3"]
            network = load_net(path, weights, backend="remote", python=python, timeout=60, **options)
        else:
            network = load_net(path, weights, device="cpu", **options)
        networks.append(network)
        return network

    yield make
    for network in networks:
        network.backend.close()


def files(folder: Path, text: str) -> tuple[Path, Path]:
    path, weights = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(text)
    Net(path, seed=3).save(weights)
    return path, weights


def truth(folder: Path, text: str, layer: str, seed: np.ndarray[Any, Any], wanted: str, **blobs: Any) -> tuple[Any, Any]:
    """Return a blob's value and the gradient of its product with ``seed``, as a script of pycaffe's gets them."""
    net = Net(*files(folder, text))
    net.reshape()
    for name, values in blobs.items():
        net.blobs[name].reshape(*np.shape(values))
        net.blobs[name].data[...] = values
    net.reshape()
    net.forward()
    net.blobs[layer].diff[...] = seed
    net.backward(start=layer)
    return net.blobs[layer].data.copy(), net.blobs[wanted].diff.copy()


def test_the_image_is_optimized_and_the_others_have_their_defaults(opened: Open, tmp_path: Path) -> None:
    net = opened(SEVERAL)
    assert (net.input_name, net.input_shape) == ("data", (3, 8, 10))
    notes = net.describe()["notes"]
    assert "input 'cont' (5, 1) is fed 0 at the first step and 1 after it" in notes
    assert "input 'im_info' (1, 3) is fed the input's height and width, and 1" in notes
    x = torch.randn(2, 3, 8, 10)
    info, marks = np.tile(np.float32([8, 10, 1]), (2, 1)), np.repeat(np.float32([0, 1, 1, 1, 1])[:, None], 2, 1)
    found = net.activations(x, ["score", "ip"])
    seed = np.float32([[1, 0], [0, 1]])
    value, _ = truth(tmp_path, SEVERAL, "score", seed, "data", data=x.numpy(), im_info=info, cont=marks)
    np.testing.assert_allclose(found["score"], value, rtol=1e-4, atol=1e-6)
    weights = Net(*files(tmp_path, SEVERAL)).params
    np.testing.assert_allclose(found["ip"], info @ weights["ip"][0].data.T, rtol=1e-5)
    if net.backend.name != "remote":  # Caffe 1.0 has no Permute
        lstm, _ = truth(tmp_path, SEVERAL, "lstm", np.ones((5, 2, 3)), "data", data=x.numpy(), im_info=info, cont=marks)
        np.testing.assert_allclose(net.activations(x, ["lstm"])["lstm"], lstm, rtol=1e-4, atol=1e-6)
    assert net.shape_of("ip") == (4,)


def test_feeds_count_with_their_gradient(opened: Open, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, mask = rng.normal(0, 50, (2, 3, 7, 9)).astype(np.float32), rng.normal(0, 50, (1, 7, 9)).astype(np.float32)
    net = opened(PAIR, feed={"mask": mask})
    assert net.input_name == "data"
    seed = rng.normal(0, 1, (2, 2, 4, 6)).astype(np.float32)
    value, gradient = truth(tmp_path, PAIR, "sum", seed, "data", data=x, mask=np.stack([mask, mask]))
    image = torch.from_numpy(x).requires_grad_()
    found = net.activations(image, ["sum"])["sum"]
    (found_gradient,) = torch.autograd.grad((found * torch.from_numpy(seed)).sum(), image)
    np.testing.assert_allclose(found.detach(), value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-4, atol=1e-5)
    assert "input 'mask' (2, 1, 7, 9) is fed what was given" in net.describe()["notes"]
    assert set(net.describe()["feed"]["mask"]) == {"shape", "sha256"}


def test_another_input_is_optimized(opened: Open, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, mask = rng.normal(0, 50, (2, 3, 7, 9)).astype(np.float32), rng.normal(0, 50, (2, 1, 7, 9)).astype(np.float32)
    net = opened(PAIR, input="mask", feed={"data": x})
    assert net.input_shape == (1, 7, 9)
    seed = rng.normal(0, 1, (2, 2, 4, 6)).astype(np.float32)
    value, gradient = truth(tmp_path, PAIR, "sum", seed, "mask", data=x, mask=mask)
    image = torch.from_numpy(mask).requires_grad_()
    found = net.activations(image, ["sum"])["sum"]
    (found_gradient,) = torch.autograd.grad((found * torch.from_numpy(seed)).sum(), image)
    np.testing.assert_allclose(found.detach(), value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-4, atol=1e-5)
    # Views of a sample lie side by side: a feed of two samples serves four rows.
    four = net.activations(torch.from_numpy(mask).repeat_interleave(2, 0), ["sum"])["sum"]
    np.testing.assert_allclose(four[::2], value, rtol=1e-4, atol=1e-4)
    with pytest.raises(ShapeError, match="feed of input 'data' is for 2 samples, but the batch has 3"):
        net.activations(torch.zeros(3, 1, 7, 9), ["sum"])


def test_a_problem_takes_a_feed_of_each_sample(opened: Open) -> None:
    data = np.random.default_rng(4).normal(0, 50, (2, 3, 7, 9)).astype(np.float32)
    net = opened(PAIR, input="mask", feed={"data": data})
    problem = Problem(net, "conv:3", batch=2)
    image = torch.zeros(2, 1, 7, 9, requires_grad=True)
    scores = net.activations(image, ["conv"])["conv"][:, 3].mean((1, 2))
    (gradient,) = torch.autograd.grad(scores.sum(), image)
    evaluation = problem.evaluate(image.detach())
    np.testing.assert_allclose(evaluation.values, scores.detach(), rtol=1e-4)
    np.testing.assert_allclose(evaluation.gradient, gradient, rtol=1e-4, atol=1e-6)
    assert abs(float(scores.detach().diff())) > 0.01
    with pytest.raises(ShapeError, match="feed of input 'data' is for 2 samples, but the batch has 1"):
        Problem(net, "conv:3").evaluate(image.detach()[:1])


@pytest.mark.parametrize(("name", "blob", "activation"), [("conv", "conv", False), ("relu", "conv", True)])
def test_a_blob_inside_is_optimized(opened: Open, tmp_path: Path, name: str, blob: str, activation: bool) -> None:
    rng = np.random.default_rng(2)
    x, inside = rng.normal(0, 50, (1, 3, 7, 9)).astype(np.float32), rng.normal(0, 1, (1, 5, 5, 7)).astype(np.float32)
    net = opened(PAIR, input=name, feed={"data": x[0]})
    assert (net.input_name, net.input_shape) == (blob, (5, 5, 7))
    weights = Net(*files(tmp_path, PAIR)).params
    y = torch.from_numpy(inside).requires_grad_()
    values = torch.nn.functional.leaky_relu(y, 1.0 if activation else 0.2)
    conv = torch.nn.functional.conv2d
    following = conv(values, torch.from_numpy(weights["next"][0].data), torch.from_numpy(weights["next"][1].data))
    expected = following + conv(torch.from_numpy(x), torch.from_numpy(weights["skip"][0].data), torch.from_numpy(weights["skip"][1].data))
    (gradient,) = torch.autograd.grad(expected.square().sum(), y)
    z = torch.from_numpy(inside).requires_grad_()
    found = net.activations(z, ["sum"])["sum"]
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(torch.autograd.grad(found.square().sum(), z)[0], gradient, rtol=1e-4, atol=1e-4)
    with pytest.raises(DreamoptError, match="no layer 'both'"):
        net.shape_of("both")


def test_one_top_of_a_layer_whose_other_top_is_needed_beside_it(opened: Open) -> None:
    text = """
    input: "data" input_shape { dim: 1 dim: 5 dim: 2 dim: 4 }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 1
            weight_filler { type: "gaussian" std: 1 } } }
    layer { name: "slice" type: "Slice" bottom: "conv" top: "first" top: "second" }
    layer { name: "exp" type: "Power" bottom: "first" top: "first" power_param { power: 2 } }
    layer { name: "sum" type: "Eltwise" bottom: "first" bottom: "second" top: "sum" }
    """
    whole, cut = opened(text), opened(text, input="slice[0]", feed={"data": np.full((5, 2, 4), 7.0)})
    second = whole.activations(torch.full((1, 5, 2, 4), 7.0), ["second"])["second"]
    x = torch.randn(1, 3, 2, 4)
    np.testing.assert_allclose(cut.activations(x, ["sum"])["sum"], x**2 + second, rtol=1e-4, atol=1e-4)
    assert cut.input_shape == (3, 2, 4)


def test_words_are_optimized_by_their_vectors(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"takes word indices, which layer 'embed' \(Embed.*--input embed or load_net\(input='embed'\)"):
        Problem(opened(WORDS), "ip:1")
    net = opened(WORDS, input="embed")
    assert (net.input_name, net.input_shape) == ("vectors", (3, 2, 4))
    words = np.float32([[8, 0, 3, 4, 4, 1]])
    table = Net(*files(tmp_path, WORDS)).params["embed"][0].data
    vectors = torch.from_numpy(table[words.astype(int)].reshape(1, 3, 2, 4)).clone().requires_grad_()
    seed = np.float32([[0.5, -2]])
    value, gradient = truth(tmp_path, WORDS, "ip", seed, "vectors", words=words)
    found = net.activations(vectors, ["ip"])["ip"]
    np.testing.assert_allclose(found.detach(), value, rtol=1e-5, atol=1e-6)
    (found_gradient,) = torch.autograd.grad((found * torch.from_numpy(seed)).sum(), vectors)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-4, atol=1e-6)
    assert Problem(net, "ip:1").space.low is None
    problem = Problem(net, "ip:1", batch=2)
    assert problem.evaluate(problem.start()).values.shape == (2,)


def test_a_note_says_that_the_input_is_words(tmp_path: Path) -> None:
    assert any("takes word indices" in note for note in load_net(*files(tmp_path, WORDS), device="cpu").describe()["notes"])


def test_images_and_numbers_and_files_are_fed(tmp_path: Path) -> None:
    path, weights = files(tmp_path, PAIR)
    rng = np.random.default_rng(4)
    grey = rng.integers(0, 255, (7, 9), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "mask.png")
    np.save(tmp_path / "mask.npy", grey[None].astype(np.float32))
    x = torch.randn(2, 3, 7, 9)
    found = {
        text: load_net(path, weights, device="cpu", feed={"mask": text}).activations(x, ["both"])["both"][:, 3]
        for text in (str(tmp_path / "mask.png"), str(tmp_path / "mask.npy"), "2.5", ",".join(map(str, range(63))))
    }
    png, npy, number, numbers = found.values()
    np.testing.assert_allclose(png, np.stack([grey, grey]), atol=0.51)
    np.testing.assert_array_equal(npy, np.stack([grey, grey]))
    np.testing.assert_array_equal(number, np.full((2, 7, 9), 2.5))
    np.testing.assert_array_equal(numbers, np.stack([np.arange(63).reshape(7, 9)] * 2))
    net = load_net(path, weights, device="cpu", feed={"mask": tmp_path / "mask.png"})
    assert str(tmp_path / "mask.png") in net.files
    assert net.describe()["feed"]["mask"]["sha256"]
    # A mask of the image's size in the file follows the size of the image, scaled as a start image is.
    assert net.activations(torch.zeros(1, 3, 14, 18), ["both"])["both"].shape == (1, 4, 14, 18)
    colours = load_net(path, weights, device="cpu", input="mask", feed={"data": tmp_path / "mask.png"})
    three = colours.activations(torch.zeros(1, 1, 7, 9), ["both"])["both"][0, :3]
    np.testing.assert_allclose(three, np.stack([grey] * 3), atol=0.51)


def test_boxes_are_the_whole_image_of_each_sample(opened: Open) -> None:
    text = """
    input: "rois" input_shape { dim: 1 dim: 5 }
    input: "data" input_shape { dim: 1 dim: 2 dim: 6 dim: 8 }
    layer { name: "pool" type: "ROIPooling" bottom: "data" bottom: "rois" top: "pool"
            roi_pooling_param { pooled_h: 1 pooled_w: 1 spatial_scale: 1 } }
    """
    try:
        net = opened(text)
    except DreamoptError:
        pytest.skip("Caffe 1.0 has no ROIPooling")
    if net.backend.name == "remote":
        pytest.skip("Caffe 1.0 has no ROIPooling")
    x = torch.randn(3, 2, 6, 8)
    torch.testing.assert_close(net.activations(x, ["pool"])["pool"][..., 0, 0], x.amax((2, 3)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input": "dat"}, UsageError, "input 'dat' cannot be optimized: the net has no layer or blob 'dat'; did you mean data"),
        ({"input": "score"}, UsageError, "input 'score' cannot be optimized: no layer reads it"),
        ({"feed": {"dat": 1}}, UsageError, "'dat' is to be fed, but the net's inputs are 'cont', 'im_info', 'data'"),
        ({"feed": {"data": 1}}, UsageError, "input 'data' is the one that is optimized"),
        (
            {"feed": {"im_info": [1, 2]}},
            UsageError,
            r"feed of input 'im_info' has the shape \(2,\), but has to be one number or of shape \(3,\)",
        ),
        ({"feed": {"im_info": [1, float("nan"), 2]}}, UsageError, "feed of input 'im_info' must be finite numbers"),
        ({"feed": {"im_info": "1,2,3,x"}}, UsageError, "feed of input 'im_info', '1,2,3,x', is neither a file nor numbers"),
        ({"feed": {"im_info": object()}}, UsageError, "feed of input 'im_info' is not numbers, but object"),
        ({"feed": [1]}, UsageError, "feed must be a mapping of an input's name to what it is fed, not list"),
        ({"input": "conv", "mean": 3}, UsageError, "a mean was given, but the net is cut at 'conv'"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, options: dict[str, Any], error: type[DreamoptError], message: str) -> None:
    path, weights = files(tmp_path, SEVERAL)
    with pytest.raises(error, match=message) as caught:
        load_net(path, weights, device="cpu", **options)
    assert "\n" not in str(caught.value)


def test_a_shape_is_for_the_input_that_is_optimized(tmp_path: Path) -> None:
    text = """
    layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 4 dim: 1 } } }
    layer { name: "data" type: "Input" top: "data" }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: "own" type: "Fork" bottom: "conv" top: "own" }
    layer { name: "next" type: "Power" bottom: "own" top: "next" }
    """
    path = tmp_path / "open.prototxt"
    path.write_text(text)
    read = read_net(path, input_shape=(1, 3, 5, 6))
    assert Feeds(read).shape == (1, 3, 5, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        with pytest.raises(NetError, match=r"Fork.*where the net is to be cut, is not known: give it with input_shape"):
            with_input(read, "own")
        given, name, _ = with_input(read, "own", (1, 2, 3))
        assert (Feeds(given, name).shape, [layer.name for layer in given.param.layer]) == ((1, 2, 3), ["own_input", "next"])
        net = load_net(path, device="cpu", input="own", input_shape={"own": (1, 2, 3), "data": (1, 3, 4, 4)})
    assert net.input_shape == (2, 3)


@pytest.mark.parametrize(
    ("inputs", "chosen"),
    [
        ({"cont": (5, 2), "data": (5, 2, 7)}, "data"),
        ({"label": (1,), "data": (1, 20, 3, 3)}, "data"),
        ({"scalar": (1, 1), "wide": (1, 9)}, "wide"),
        ({"features": (1, 512, 30, 30), "grey": (1, 1, 9, 9)}, "grey"),
        ({"small": (1, 3, 9, 9), "large": (1, 3, 20, 19)}, "large"),
        ({"edge": (1, 1, 20, 19), "image": (1, 3, 20, 19)}, "image"),
        ({"im_info": (1, 3), "clip": (1, 3, 16, 20, 19)}, "clip"),
    ],
)
def test_the_default_is_the_image(inputs: dict[str, tuple[int, ...]], chosen: str) -> None:
    text = "".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {size}" for size in shape)} }}\n'
        f'layer {{ name: "of_{name}" type: "TanH" bottom: "{name}" top: "of_{name}" }}\n'
        for name, shape in inputs.items()
    )
    assert Feeds(parse_net(text)).optimized == chosen


def test_marks_that_have_another_name_are_known_by_their_reader() -> None:
    net = parse_net("""
    input: "begins" input_shape { dim: 7 dim: 2 }
    input: "x" input_shape { dim: 7 dim: 2 dim: 3 }
    layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "begins" top: "lstm" recurrent_param { num_output: 2 } }
    """)
    feeds = Feeds(net)
    assert feeds.optimized == "x"
    np.testing.assert_array_equal(feeds.arrays(["begins"], 4, (2, 3))["begins"], [[0, 0], [1, 1], [1, 1], [1, 1]])
    assert "the first axis of input 'x' (7, 2, 3) is time" in feeds.notes[0]


def test_a_sequence_is_optimized_with_its_steps_as_the_batch(tmp_path: Path) -> None:
    text = """
    input: "cont" input_shape { dim: 4 dim: 1 }
    input: "x" input_shape { dim: 4 dim: 1 dim: 3 }
    layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "lstm" recurrent_param { num_output: 2
            weight_filler { type: "gaussian" std: 1 } } }
    """
    net = load_net(*files(tmp_path, text), device="cpu")

    @from_function
    def second_unit(a: torch.Tensor) -> torch.Tensor:
        return a[:, 0, 1]

    problem = Problem(net, second_unit("lstm"), batch=4)
    x = problem.start(seed=2)
    evaluation = problem.evaluate(x)
    seed = np.zeros((4, 1, 2), np.float32)
    seed[..., 1] = 1
    value, gradient = truth(tmp_path, text, "lstm", seed, "x", x=x.numpy(), cont=np.float32([[0], [1], [1], [1]]))
    np.testing.assert_allclose(evaluation.values, value[:, 0, 1], rtol=1e-5)
    np.testing.assert_allclose(evaluation.gradient, gradient, rtol=1e-4, atol=1e-6)
