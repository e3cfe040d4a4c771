"""Preprocessing: the caller's word before the prototxt's, before the catalogue's, before what is assumed; with Caffe's own values."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import dreamopt.caffe as caffe
from dreamopt.cli import cli
from dreamopt.errors import DreamoptError, DreamoptWarning, NetError, UsageError, WeightsError
from dreamopt.network import Network, load_net
from dreamopt.schema.caffe_pb2 import BlobProto, BlobShape

CONV = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
"""
LENET = """name: "LeNet"
layer { name: "mnist" type: "Data" top: "data" top: "label"
  include { phase: TRAIN }
  transform_param { scale: 0.5 mean_value: 3 }
  data_param { source: "x" batch_size: 7 backend: LMDB } }
layer { name: "mnist" type: "Data" top: "data" top: "label"
  include { phase: TEST }
  transform_param {
    scale: 0.00390625
    mean_value: 33
    crop_size: 12
    force_gray: true
  }
  data_param { source: "x" batch_size: 7 backend: LMDB } }
"""
V1 = """layers { name: "mnist" type: DATA top: "data" top: "label"
  data_param { source: "x" batch_size: 7
    scale: 0.00390625
    mean_file: "/somewhere/mean.binaryproto"
    crop_size: 12 } }
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
"""
V0 = """layers { layer { name: "mnist" type: "data" source: "x" batchsize: 7
    scale: 0.00390625
    meanfile: "somewhere\\\\mean.binaryproto"
    cropsize: 12 } top: "data" top: "label" }
layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 3 } bottom: "data" top: "c" }
"""


def load(path: Path, text: str | None = None, **how: object) -> Network:
    if text is not None:
        path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        return load_net(path, device="cpu", **how)  # type: ignore[arg-type]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return tmp_path / "lenet.prototxt"


def test_what_the_file_says_wins_over_what_is_assumed(net: Path) -> None:
    said = load(net, LENET + CONV).describe()
    assert (said["mean"], said["scale"], said["assumed"]) == ([33.0], 0.00390625, [])
    assert said["sources"] == {"mean": f"{net}:10", "scale": f"{net}:9"}
    image = np.full((12, 12), 161.0)
    torch.testing.assert_close(load(net).from_rgb(image), torch.full((1, 12, 12), 0.5))  # (161 - 33) / 256, as DataTransformer does
    assert load(net, phase="TRAIN", input_shape=(1, 1, 12, 12)).scale == 0.5
    json.dumps(said)


def test_the_callers_word_wins_over_the_files(net: Path) -> None:
    said = load(net, LENET + CONV, mean=5, scale=2, known={"mean": (7.0,), "scale": 3.0}).describe()
    assert (said["mean"], said["scale"], said["sources"]) == ([5.0], 2, {"mean": "option", "scale": "option"})
    said = load(net, scale=2, known={"mean": (7.0,), "scale": 3.0}).describe()
    assert (said["mean"], said["sources"]["mean"]) == ([33.0], f"{net}:10")


def test_the_catalogues_word_wins_over_what_is_assumed(net: Path) -> None:
    plain = 'input: "data" input_shape { dim: [1, 3, 9, 8] }' + CONV
    said = load(net, plain, known={"mean": (7.0, 8.0, 9.0), "scale": 0.017, "channel_order": None}).describe()
    assert (said["mean"], said["scale"], said["channel_order"]) == ([7, 8, 9], 0.017, "BGR")
    assert said["sources"] == {"mean": "catalogue", "scale": "catalogue", "channel_order": "assumed"}
    assert said["assumed"] == ["channel order BGR"]
    assert load(net).describe()["sources"] == dict.fromkeys(("mean", "scale", "channel_order"), "assumed")
    assert load_net(device="cpu").describe()["sources"]["mean"] == "package"


TYPES = {
    "Input": "input_param { shape { dim: [2, 3, 9, 8] } }",
    "Data": "data_param { batch_size: 2 }",
    "ImageData": "image_data_param { batch_size: 2 }",
    "WindowData": "window_data_param { batch_size: 2 }",
    "MemoryData": "memory_data_param { batch_size: 2 channels: 3 height: 9 width: 8 }",
    "DummyData": "dummy_data_param { shape { dim: [2, 3, 9, 8] } }",
    "AnnotatedData": "data_param { batch_size: 2 }",
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_data_layers_transform(net: Path, kind: str) -> None:
    def layer(transform: str) -> str:
        return f'layer {{ name: "d" type: "{kind}" top: "data"\n{transform}\n{TYPES[kind]} }}' + CONV

    said = load(net, layer("transform_param { scale: 0.25 crop_size: 8 force_color: true mean_value: [1, 2, 3] }")).describe()
    assert (said["mean"], said["scale"], said["assumed"]) == ([1, 2, 3], 0.25, ["channel order BGR"])
    assert said["sources"]["mean"] == said["sources"]["scale"] == f"{net}:2"
    one = load(net, layer("transform_param { crop_size: 8 force_color: true mean_value: 99 }")).describe()
    assert (one["mean"], one["scale"]) == ([99, 99, 99], 1)
    none = load(net, layer("transform_param { scale: 0.5 crop_size: 8 force_color: true }")).describe()
    assert (none["mean"], none["sources"]["mean"]) == ([0, 0, 0], f"{net}:1")  # Caffe's transformer subtracts nothing then


@pytest.mark.parametrize(("kind", "raw"), [("Data", True), ("ImageData", True), ("Input", False), ("DummyData", False)])
def test_a_data_layer_without_a_transform_gives_what_it_reads(net: Path, kind: str, raw: bool) -> None:
    said = load(net, f'layer {{ name: "d" type: "{kind}" top: "data" {TYPES[kind]} }}' + CONV, input_shape=(2, 3, 9, 8)).describe()
    assert (said["mean"] == [0, 0, 0], said["sources"]["scale"] == f"{net}:1", said["assumed"] == ["channel order BGR"]) == (raw,) * 3


@pytest.mark.parametrize(("text", "lines"), [(V1, (4, 3)), (V0, (3, 2))])
def test_older_files(net: Path, text: str, lines: tuple[int, int]) -> None:
    network = load(net, text)
    said = network.describe()
    assert (said["scale"], said["sources"]) == (0.00390625, {"mean": "assumed", "scale": f"{net}:{lines[1]}", "channel_order": "assumed"})
    note = next(note for note in said["notes"] if "mean file" in note)
    assert note.startswith(f"{net}:{lines[0]}: the prototxt names the mean file")
    assert note.endswith("which is not in its folder and is not opened: give it with --mean (mean=)")
    mean = np.random.default_rng(1).uniform(0, 255, (1, 3, 15, 14)).astype(np.float32)
    blob = BlobProto(shape=BlobShape(dim=mean.shape), data=mean.ravel())
    (net.parent / "mean.binaryproto").write_bytes(blob.SerializeToString())
    network = load(net)
    middle = mean[0, :, 1:13, 1:13]  # crop_size 12: Caffe subtracts the middle of the mean from the middle of the image
    np.testing.assert_allclose(network.from_rgb(np.full((12, 12, 3), 200)), (200 - middle) * 0.00390625, rtol=1e-5)
    assert network.describe()["sources"]["mean"] == f"{net}:{lines[0]} (mean.binaryproto beside it)"
    assert str(net.parent / "mean.binaryproto") in network.files
    assert not any("mean file" in note for note in network.describe()["notes"])
    assert load(net, mean=(1, 2, 3)).describe()["mean"] == [1, 2, 3]
    for given in (mean, mean[0], mean[0].transpose(1, 2, 0)):  # an option's mean image is cut as the file's own
        np.testing.assert_allclose(load(net, mean=given).from_rgb(np.full((12, 12, 3), 200)), (200 - middle) * 0.00390625, rtol=1e-5)


def test_c3ds_video_data_and_mean_volume(net: Path) -> None:
    text = """layers { name: "data" type: VIDEO_DATA top: "data" top: "label"
  image_data_param { source: "x" batch_size: 2 new_length: 4 crop_size: 12 new_height: 14 new_width: 15
    MEAN } }
layers { name: "c" type: CONVOLUTION3D bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 kernel_depth: 3 } }
"""
    said = load(net, text.replace("MEAN", "mean_value: 98 scale: 0.5")).describe()
    assert (said["mean"], said["scale"], said["sources"]["mean"]) == ([98, 98, 98], 0.5, f"{net}:3")
    mean = np.random.default_rng(2).uniform(0, 255, (1, 3, 4, 14, 15)).astype(np.float32)
    sizes = b"".join(bytes([number << 3, size]) for number, size in enumerate(mean.shape, 1))
    length = len(mean.tobytes())
    data = bytes([6 << 3 | 2, length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14]) + mean.tobytes()
    (net.parent / "mean.binaryproto").write_bytes(sizes + data)
    network = load(net, text.replace("MEAN", 'mean_file: "mean.binaryproto"'))
    assert network.preprocessing is not None
    np.testing.assert_array_equal(network.preprocessing.mean_at((4, 12, 12)), mean[0, :, :, 1:13, 1:13])


def test_a_prototxt_opens_nothing_elsewhere(net: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "mean.npy", np.full(3, 50.0))
    text = (
        'layer { name: "d" type: "Data" top: "data" transform_param { crop_size: 9 mean_file: "FILE" } data_param { batch_size: 2 } }'
        + CONV
    )
    for name in (str(other / "mean.npy"), "other/mean.npy", "../mean.npy", "..", "", "a\\000b", "n" * 400):
        assert load(net, text.replace("FILE", name)).describe()["sources"]["mean"] in ("assumed", f"{net}:1")
    (tmp_path / "mean.npy").symlink_to(other / "mean.npy")
    assert load(net, text.replace("FILE", "mean.npy")).describe()["sources"]["mean"] == "assumed"
    (tmp_path / "mean.npy").unlink()
    (tmp_path / "mean.npy").write_text("no mean")
    with pytest.raises(WeightsError, match=r"mean\.npy"):
        load(net)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            "mean_value: [1, 2]",
            r"lenet\.prototxt:1: layer 'd' \(Data\) has 2 mean_value for an input of 3 channels; allowed is one for all",
        ),
        ("mean_value: [1, 2, 3] mean_file: 'm'", "has mean_value and mean_file, of which Caffe takes one"),
        ("scale: 0", "has the scale 0, but it has to be finite and not 0"),
    ],
)
def test_what_does_not_fit_is_a_sentence(net: Path, transform: str, message: str) -> None:
    text = (
        f'layer {{ name: "d" type: "Data" top: "data" transform_param {{ crop_size: 9 {transform} }} data_param {{ batch_size: 2 }} }}'
        + CONV
    )
    with pytest.raises(DreamoptError, match=message):
        load(net, text, input_shape=(2, 3, 9, 9))
    load(net, input_shape=(2, 3, 9, 9), mean=3, scale=1)


def test_a_mean_beside_the_prototxt_that_does_not_fit_is_named_with_its_place(net: Path) -> None:
    np.save(net.parent / "mean.npy", np.zeros((5, 4, 6), np.float32))
    text = (
        'layer { name: "d" type: "Data" top: "data"\n transform_param { crop_size: 9 mean_file: "mean.npy" } data_param { batch_size: 2 } }'
    )
    with pytest.raises(
        NetError, match=r"prototxt:2 \(mean.npy beside it\): a mean of shape \(5, 4, 6\) does not fit a net of 3 channels.*--mean"
    ):
        load(net, text)


def test_a_mean_that_is_not_finite_is_a_sentence(net: Path) -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" transform_param { crop_size: 9 mean_value: inf } data_param { batch_size: 2 } }' + CONV
    )
    with pytest.raises(DreamoptError, match=r"lenet\.prototxt:1: layer 'd' \(Data\).*mean_value is inf, but has to be finite"):
        load(net, text)


def test_settings_where_caffe_does_not_look_are_said_to_do_nothing(net: Path) -> None:
    text = 'layer { name: "d" type: "Data" top: "data"\ndata_param { batch_size: 2 scale: 9 } transform_param { crop_size: 9 } }'
    said = load(net, text + CONV).describe()
    assert said["scale"] == 1
    assert any(note.startswith(f"{net}:2: scale in the data_param of layer 'd' does nothing") for note in said["notes"])


def test_a_layer_of_the_net_is_no_preprocessing(net: Path) -> None:
    text = """input: "data" input_shape { dim: [2, 3, 9, 8] }
layer { name: "p" type: "Power" bottom: "data" top: "data" power_param { scale: 0.5 shift: -7 } }"""
    assert load(net, text + CONV).describe()["assumed"] == load(net, text.splitlines()[0] + CONV).describe()["assumed"]


def test_caffes_own_net_does_not_look_at_it(net: Path) -> None:
    text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1, 3, 4] } } transform_param { scale: 0.5 mean_value: 9 } }'
    net.write_text(text + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }')
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    np.testing.assert_array_equal(caffe.Net(str(net), caffe.TEST).forward(data=x)["r"], x)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((9, 8, 3), (2, 0, 1)), ((3, 9, 8), (0, 1, 2)), ((3, 9, 3), (0, 1, 2)), ((1, 1, 3), (2, 0, 1)), ((1, 3, 9, 8), None)],
)
def test_the_axes_of_a_mean(net: Path, shape: tuple[int, ...], axes: tuple[int, ...] | None) -> None:
    mean = np.random.default_rng(0).uniform(0, 255, shape)
    network = load(net, 'input: "data" input_shape { dim: [2, 3, 9, 8] }' + CONV, mean=mean)
    expected = mean[0] if axes is None else mean.transpose(axes)
    np.testing.assert_allclose(network.mean.flatten(), expected.mean((1, 2)), rtol=1e-6)
    turned = axes is not None and axes[0] == 2
    assert any("(H, W, C)" in phrase for phrase in network.describe()["assumed"]) == turned
    if expected.shape[1:] == (9, 8):
        np.testing.assert_allclose(network.from_rgb(np.zeros((9, 8, 3))), -expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"mean": float("nan")}, "the mean holds values that are not finite"),
        ({"mean": float("inf")}, "the mean holds values that are not finite"),
        ({"mean": ["a", "b", "c"]}, "the mean must be a number, one for each channel or an array"),
        ({"mean": [[1, 2], [3]]}, "the mean must be a number"),
        ({"mean": np.zeros((3, 0))}, r"mean of shape \(3, 0\) does not fit"),
        ({"scale": float("nan")}, "scale must be a finite number other than 0, not nan"),
        ({"scale": "big"}, "scale must be a finite number other than 0, not 'big'"),
        ({"scale": True}, "scale must be a finite number other than 0, not True"),
        ({"channel_order": 3}, "channel_order must be BGR or RGB, not '3'"),
    ],
)
def test_arguments_that_do_not_fit(net: Path, how: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(net, 'input: "data" input_shape { dim: [2, 3, 9, 8] }' + CONV, **how)


def test_numpys_numbers_are_numbers(net: Path) -> None:
    text = 'input: "data" input_shape { dim: [2, 3, 9, 8] }' + CONV
    network = load(net, text, mean=np.float32(5), scale=np.float32(0.5))
    assert (network.scale, network.describe()["mean"]) == (0.5, [5, 5, 5])


def test_inspect_names_the_source_of_each_number(net: Path) -> None:
    net.write_text(LENET + CONV)
    shown = CliRunner().invoke(cli, ["inspect", str(net), "--mean", "7"]).stdout
    assert f"input data: 1x12x12, 0-255 minus mean 7, times 0.00390625\n  said: mean by option; scale by {net}:9\n" in shown
    summary = json.loads(CliRunner().invoke(cli, ["inspect", str(net), "--json"]).stdout)
    assert summary["input"]["sources"] == {"mean": f"{net}:10", "scale": f"{net}:9"}
