"""Networks: input spaces, names, labels, and the engine's nets behind them."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize

import dreamopt
from dreamopt.backends.base import pick_device
from dreamopt.backends.torch_functions import FunctionBackend, Layer
from dreamopt.errors import (
    BackendError,
    DeadGradientError,
    DreamoptError,
    DreamoptWarning,
    ImageError,
    ModelError,
    ShapeError,
    TargetError,
    UsageError,
)
from dreamopt.network import Network, load_net
from dreamopt.objectives import Channel
from dreamopt.optimize import Adam, run
from dreamopt.problem import Problem
from tests.support.toy import LABELS, PROTOTXT, toy_network


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    path = tmp_path / "small.prototxt"
    path.write_text(PROTOTXT)
    return path


def load(path: Path, **how: object) -> Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        return load_net(path, device="cpu", **how)  # type: ignore[arg-type]


def test_missing_weights_are_random_and_said_to_be(prototxt: Path) -> None:
    with pytest.warns(DreamoptWarning, match="weights of conv1, left, right, fc are random"):
        network = load_net(prototxt, seed=3, device="cpu")
    assert any("random (seed 3)" in note for note in network.describe()["notes"])
    assert network.hash() == load(prototxt, seed=3).hash() != load(prototxt, seed=4).hash()


def test_missing_weights_without_fillers_are_0_and_said_to_be(prototxt: Path) -> None:
    prototxt.write_text(re.sub(r"weight_filler { [^}]* }", "", PROTOTXT, count=1))
    said = (
        "the weights of left, right, fc are random .*, of conv1, low are all 0 .the prototxt names no weight_filler., since no weights file"
    )
    with pytest.warns(DreamoptWarning, match=said):
        load_net(prototxt, device="cpu")


def test_names_before_and_after_an_in_place_relu(prototxt: Path) -> None:
    network = load(prototxt)
    x = 50 * torch.randn(2, 3, 17, 19, generator=torch.Generator().manual_seed(0))
    activations = network.activations(x, ["conv1", "relu1", "low", "relu_low"])
    assert activations["conv1"].min() < 0
    torch.testing.assert_close(activations["relu1"], activations["conv1"].relu())
    assert [info.in_place for info in network.layers if info.type == "ReLU"] == [True, True]
    assert [name for _, name in network.producers("relu1")] == ["conv1"]
    assert [info.name for info, _ in network.producers("both")] == ["left", "right"]


def test_shapes_at_any_size(prototxt: Path) -> None:
    network = load(prototxt)
    assert network.input_shape == (3, 17, 19)
    assert network.shape_of("both") == (11, 8, 9)
    assert network.shape_of("both", (30, 23)) == (11, 14, 11)
    assert network.shape_of("fc") == (7,)
    with pytest.raises(ShapeError, match=r"'fc' cannot be reached with an input of \(3, 30, 23\).*use the file's size, \(3, 17, 19\)"):
        network.shape_of("fc", (30, 23))
    with pytest.raises(ShapeError, match=r"must be of shape \(N, 3, 17, 19\)"):
        network.activations(torch.zeros(1, 4, 17, 19), ["conv1"])


def test_unknown_names_come_with_near_ones(prototxt: Path) -> None:
    network = load(prototxt)
    with pytest.raises(TargetError, match="no layer 'Conv-1'; did you mean conv1"):
        network.resolve("Conv-1")
    with pytest.raises(TargetError, match="no layer 'zzz'; it has data, conv1, relu1"):
        network.resolve("zzz")


def test_the_engines_gradient_and_batches(prototxt: Path) -> None:
    network = load(prototxt, scale=0.02)
    problem = Problem(network, Channel("fc", (3, 0, 6)), ["l2(1e-3)"])
    x = problem.x0(seed=1)
    assert optimize.approx_fprime(x[:20], lambda head: problem(np.concatenate([head, x[20:]]))[0], 1e-3) == pytest.approx(
        problem(x)[1][:20], rel=0.05, abs=1e-3
    )
    together = run(problem, Adam(), 6, seed=2)
    for i in range(3):
        alone = run(Problem(network, problem.objective.item(i), ["l2(1e-3)"], items=[i]), Adam(), 6, seed=2)
        torch.testing.assert_close(alone.images[0], together.images[i], rtol=1e-4, atol=1e-5)


def test_scipy_with_the_engine(prototxt: Path) -> None:
    problem = Problem(load(prototxt), "both:3 - 0.2*relu1:1", size=(21, 16))
    start = problem.x0(seed=0)
    found = optimize.minimize(problem, start, jac=True, method="L-BFGS-B", bounds=problem.bounds, options={"maxiter": 10})
    assert found.fun < problem(start)[0]


@pytest.mark.parametrize("target", ["relu_low:1", "relu_low:1@2,3"])
def test_the_layer_that_stops_the_gradient(prototxt: Path, target: str) -> None:
    problem = Problem(load(prototxt), target)
    with pytest.raises(
        DeadGradientError, match=r"layer 'relu_low' \(ReLU, .*small.prototxt:\d+\) lets nothing through.*negative"
    ) as caught:
        problem.x0()
    assert "aim at 'low', which is before it" in str(caught.value)
    with pytest.raises(DeadGradientError, match=r"layer 'low' \(Convolution, .* since all its weights that count are zero; load weights"):
        Problem(load(prototxt), "low:1").x0()


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_a_gradient_that_comes_from_padding_alone(tmp_path: Path) -> None:
    path = tmp_path / "padded.prototxt"
    path.write_text(
        'input: "data" input_shape { dim: 1 dim: 3 dim: 6 dim: 7 }'
        'layer { name: "padded" type: "Convolution" bottom: "data" top: "padded"'
        "  convolution_param { num_output: 2 kernel_size: 1 pad: 1 weight_filler { type: 'xavier' } } }"
    )
    with pytest.raises(DeadGradientError, match=r"'padded' \(Convolution, .*where it saw nothing but its own padding; aim at "):
        Problem(load_net(path), "padded:1@0,3").x0()
    Problem(load_net(path), "padded:1@1,3").x0()


def test_a_net_with_a_vector_for_input(tmp_path: Path) -> None:
    path = tmp_path / "generator.prototxt"
    path.write_text(
        'input: "code" input_shape { dim: 1 dim: 6 }'
        'layer { name: "fc" type: "InnerProduct" bottom: "code" top: "fc" inner_product_param { num_output: 30 weight_filler { type: "xavier" } } }'
        'layer { name: "image" type: "Reshape" bottom: "fc" top: "image" reshape_param { shape { dim: 0 dim: 2 dim: 3 dim: 5 } } }'
    )
    network = load(path)
    assert (network.input_shape, network.has_image_input) == ((6,), False)
    assert network.shape_of("image") == (2, 3, 5)
    result = run(Problem(network, "image:1"), Adam(0.1), 5)
    assert (result.values > result.history[0]).all()
    with pytest.raises(ImageError, match=r"input 'code' is a vector of \(6,\), not a picture"):
        result.rgb()
    with pytest.raises(UsageError, match="is a vector"):
        Problem(network, "image:1", size=32)
    with pytest.raises(UsageError, match="a mean was given"):
        load(path, mean=3)


def test_other_inputs_are_fed_zeros(tmp_path: Path) -> None:
    path = tmp_path / "two.prototxt"
    path.write_text(
        'layer { name: "info" type: "Input" top: "info" input_param { shape { dim: 4 dim: 5 } } }'
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 7 dim: 9 } } }'
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"'
        '  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }'
        'layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }'
        'layer { name: "sum" type: "Eltwise" bottom: "fc" bottom: "info" top: "sum" }'
    )
    network = load(path)
    assert (network.input_name, network.input_shape) == ("data", (3, 7, 9))
    assert any("input 'info' (4, 5) is fed zeros" in note for note in network.describe()["notes"])
    x = torch.randn(2, 3, 7, 9)
    activations = network.activations(x, ["fc", "sum"])
    assert torch.equal(activations["fc"], activations["sum"])
    assert [name for _, name in network.producers("sum")] == ["fc", "info"]
    with pytest.raises(DeadGradientError, match="layer 'info' does not depend on the input 'data'"):
        Problem(network, "info:1").x0()


class TestInputSpace:
    @pytest.mark.parametrize("order", ["BGR", "RGB"])
    @pytest.mark.parametrize("scale", [1.0, 0.017, -2.0])
    def test_there_and_back(self, prototxt: Path, order: str, scale: float) -> None:
        network = load(prototxt, mean=(10, 20, 30), channel_order=order, scale=scale)
        picture = np.random.default_rng(0).integers(0, 256, (17, 19, 3), dtype=np.uint8)
        x = network.from_rgb(picture)
        blue = 0 if order == "BGR" else 2
        np.testing.assert_allclose(x[blue], (picture[..., 2] - (10.0, 20.0, 30.0)[blue]) * scale, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(network.to_rgb(x[None])[0], picture, atol=1e-3)
        low, high = network.bounds
        assert (low < high).all()
        assert low.shape == (3, 1, 1)
        np.testing.assert_allclose(network.mean.flatten(), [10, 20, 30])

    @pytest.mark.parametrize("channels", [1, 2, 4])
    def test_any_number_of_channels(self, channels: int) -> None:
        network = toy_network(channels=channels)
        result = run(Problem(network, "conv2:1"), Adam(), 3)
        # Other than one and three are a grid of planes: 1 x 2 and 2 x 2, two pixels between them.
        assert result.rgb().shape == (1, *{1: (11, 13), 2: (24, 13), 4: (24, 28)}[channels], 3)
        picture = np.random.default_rng(0).integers(0, 256, (11, 13, channels), dtype=np.uint8)
        first = 2 if channels >= 3 else 0  # the first three are red, green, blue, and the net is BGR
        np.testing.assert_allclose(network.to_rgb(network.from_rgb(picture))[:11, :13, 0], picture[..., first])
        np.testing.assert_allclose(network.to_rgb(network.from_rgb(picture), "0")[..., 1], picture[..., first])
        if channels == 4:
            np.testing.assert_allclose(network.to_rgb(network.from_rgb(picture), "colour"), picture[..., :3])
        if channels == 1:
            assert network.from_rgb(picture[..., 0]).shape == (1, 11, 13)
            assert network.from_rgb(np.full((11, 13, 3), 200)).mean() == pytest.approx(200 - 110)
        red = np.zeros((11, 13, 3)) + np.array([200, 0, 0])
        expected = {1: [59.8], 2: [59.8, 59.8], 4: [0, 0, 200, 59.8]}[channels]
        mean = network.preprocessing.mean
        np.testing.assert_allclose(network.from_rgb(red)[:, 3, 5], np.array(expected) - mean, rtol=1e-6)
        with pytest.raises(ImageError, match=rf"\(11, 13, 5\) does not fit a net of {channels} channels"):
            network.from_rgb(np.zeros((11, 13, 5)))

    def test_what_is_assumed_is_said(self, prototxt: Path) -> None:
        said = load(prototxt).describe()
        assert said["mean"] == [104, 117, 123]
        assert said["assumed"] == ["mean 104, 117, 123 (that of Caffe's model zoo)", "channel order BGR", "scale 1"]
        assert load(prototxt, channel_order="RGB").describe()["mean"] == [123, 117, 104]
        assert load(prototxt, mean=5, channel_order="BGR", scale=1).describe()["assumed"] == []

    def test_mean_files_and_mean_images(self, prototxt: Path, tmp_path: Path) -> None:
        mean = np.random.default_rng(0).uniform(90, 130, (3, 17, 19)).astype(np.float32)
        np.save(tmp_path / "mean.npy", mean)
        network = load(prototxt, mean=tmp_path / "mean.npy")
        assert network.describe()["mean_image"]
        np.testing.assert_allclose(network.mean.flatten(), mean.mean((1, 2)), rtol=1e-5)
        picture = np.full((17, 19, 3), 128, np.uint8)
        np.testing.assert_allclose(network.from_rgb(picture), 128 - mean, rtol=1e-5)
        assert network.bounds_at((17, 19))[0].shape == (3, 17, 19)
        assert network.bounds_at((20, 19))[0].shape == (3, 1, 1)
        np.testing.assert_allclose(network.to_rgb(network.from_rgb(picture[:12])), 128, atol=1e-3)

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ({"mean": (1, 2)}, r"mean of shape \(2,\) does not fit a net of 3 channels"),
            ({"mean": np.zeros((4, 5))}, r"mean of shape \(4, 5\)"),
            ({"mean": (1, 2, float("nan"))}, "not finite"),
            ({"scale": 0}, "scale must be a finite number other than 0"),
            ({"channel_order": "GBR"}, "BGR or RGB, not 'GBR'"),
            ({"labels": "nowhere.txt"}, "labels file 'nowhere.txt' cannot be read"),
        ],
    )
    def test_what_does_not_fit(self, prototxt: Path, how: dict[str, object], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            load(prototxt, **how)


def test_labels(prototxt: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n\n")
    network = load(prototxt, labels=tmp_path / "labels.txt")
    assert network.labels == LABELS
    wanted = {"tench": 0, "Tinca tinca": 0, "n01440764 tench, Tinca tinca": 0, "TABBY CAT": 1, "rule": 3, "potter's wheel (clay)": 6}
    assert {name: network.find_label(name) for name in wanted} == wanted
    assert str(Problem(network, "fc:potter's wheel (clay)").objective) == "fc:6"
    with pytest.raises(TargetError, match="no labels are known"):
        load(prototxt).find_label("tench")


def test_backends_and_devices(prototxt: Path) -> None:
    with pytest.raises(BackendError, match=r"no backend 'tensorflow'; there is auto, .*engine.*, remote"):
        load_net(prototxt, backend="tensorflow")
    with pytest.raises(BackendError, match="'abacus' is no device"):
        load_net(prototxt, device="abacus")
    with pytest.raises(BackendError, match="'cuda:99' is not here"):
        pick_device("cuda:99")
    assert pick_device("auto").type in ("cpu", "cuda")
    assert dreamopt.load_net is load_net


def test_the_name_of_a_layer_of_several_tops_means_the_first(tmp_path: Path) -> None:
    slices = """layer { name: "halves" type: "Slice" bottom: "data" top: "one" top: "two" slice_param { axis: 1 slice_point: 2 } }
layer { name: "first" type: "Slice" bottom: "two" top: "first" top: "rest" slice_param { axis: 1 slice_point: 1 } }
layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }"""
    path = tmp_path / "slices.prototxt"
    path.write_text('layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 5 dim: 3 dim: 4 } } }\n' + slices)
    net = load_net(path, device="cpu")
    assert net.resolve("halves") == "halves"
    assert net.shape_of("halves") == (2, 3, 4)
    assert net.shape_of("halves[1]") == (3, 3, 4)
    assert net.shape_of("first") == (1, 3, 4), "whose first top has its name"
    assert net.writer("halves[1]").name == "halves"
    x = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    activations = net.activations(x, ["halves", "halves[0]", "one"])
    assert torch.equal(activations["halves"], x[:, :2])
    assert torch.equal(activations["halves[0]"], x[:, :2])
    assert torch.equal(activations["one"], x[:, :2].relu())


def test_an_unknown_layer_of_a_large_net() -> None:
    layers: list[Layer] = [(f"step{i:02}", "Power", lambda x: 2 * x) for i in range(30)]
    with pytest.raises(
        TargetError, match=r"no layer 'zzz'; it has data, step00, .*step10, \.\.\. and 19 more \(dreamopt inspect lists them\)$"
    ):
        Network(FunctionBackend(layers, (2, 3, 4))).resolve("zzz")
    with pytest.raises(TargetError, match=r"it has data, step00, step01$"):
        Network(FunctionBackend(layers[:2], (2, 3, 4))).resolve("zzz")


def test_a_real_net(shared: Path) -> None:
    folder = shared / "models/squeezenet"
    network = load_net(folder / "deploy.prototxt", folder / "squeezenet.caffemodel", labels=folder / "labels.txt", device="cpu")
    problem = Problem(network, ["pool_final:goldfish", "fire5/concat:3", "fire5/conv1x1_2:2@3,3"], size=(97, 83))
    assert str(problem.objective) == "pool_final:1 | fire5/concat:3 | fire5/conv1x1_2:2@3,3"
    result = run(problem, Adam(), 4)
    assert (result.values > result.history[0]).all()
    with pytest.raises(DeadGradientError, match=r"'fire5/relu_conv1x1_2' .*the one value that it gets is negative \(the largest is -"):
        run(Problem(network, "fire5/relu_conv1x1_2:2@3,3", size=(97, 83), items=[2]), Adam(), 4)


def test_the_embedded_net() -> None:
    network = load_net(device="cpu")
    assert network.labels is not None
    assert load_net("tiny", device="cpu").hash() == network.hash()
    problem = Problem(network, f"{network.layers[-1].bottoms[0]}:{network.labels[3]}")
    assert problem.objective.layers
    assert network.describe()["assumed"] == []


def test_a_name_is_a_model_that_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="dreamopt models get bvlc_googlenet"):
        load_net("bvlc_googlenet")
    with pytest.raises(ModelError, match="bvlc_googlenet"):
        load_net("bvlc_googlnet")
    with pytest.raises(DreamoptError, match=r"lost\.prototxt"):
        load_net("lost.prototxt")
