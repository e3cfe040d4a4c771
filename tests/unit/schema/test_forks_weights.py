"""Weights and means of Caffe's forks, and files of other programs given in their place."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from dreamopt.backends.caffe.description import refuse_foreign
from dreamopt.errors import BackendError, DreamoptError, PrototxtError, WeightsError
from dreamopt.schema import LayerWeights, read_mean, read_net, read_weights
from dreamopt.schema.caffe_pb2 import BlobProto, BlobShape, LayerParameter, NetParameter, RawType

VALUES = np.random.default_rng(3).standard_normal((4, 3, 2, 5))


def raw_blob(kind: str, values: NDArray[np.float64] = VALUES) -> BlobProto:
    types = {"<f8": RawType.DOUBLE, "<f4": RawType.FLOAT, "<f2": RawType.FLOAT16, "<i4": RawType.INT}
    blob = BlobProto(raw_data_type=types[kind], raw_data=values.astype(kind).tobytes(), shape=BlobShape(dim=values.shape))
    if kind != "<f8":
        blob.raw_diff_type, blob.raw_diff = types[kind], bytes(8)
    return blob


def in_layer(blob: BlobProto, path: Path) -> Path:
    path.write_bytes(NetParameter(layer=[LayerParameter(name="conv", type="Convolution", blobs=[blob])]).SerializeToString())
    return path


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 2**28
    length = bytes((len(content) >> shift & 0x7F) | 0x80 for shift in (0, 7, 14)) + bytes([len(content) >> 21])
    return bytes([number << 3 | 2]) + length + content


def c3d_blob(values: NDArray[np.float64], diff: bytes = b"") -> bytes:
    """C3D's BlobProto: num, channels, length, height, width in the fields 1 to 5, then data in 6 and diff in 7."""
    sizes = (1,) * (5 - values.ndim) + values.shape
    return b"".join(bytes([number << 3, size]) for number, size in enumerate(sizes, 1)) + field(6, values.astype("<f4").tobytes()) + diff


@pytest.mark.parametrize(("kind", "form"), [("<f8", "V2, raw float64"), ("<f4", "V2, raw float32"), ("<f2", "V2, raw float16")])
def test_nvidias_raw_values(tmp_path: Path, kind: str, form: str) -> None:
    (layer,) = read_weights(in_layer(raw_blob(kind), tmp_path / "w.caffemodel"))
    np.testing.assert_array_equal(layer.blobs[0], VALUES.astype(kind).astype(np.float32))
    assert (layer.blobs[0].dtype, layer.form) == (np.float32, form)
    (tmp_path / "mean.binaryproto").write_bytes(raw_blob(kind, VALUES[:1]).SerializeToString())
    np.testing.assert_array_equal(read_mean(tmp_path / "mean.binaryproto"), VALUES[0].astype(kind).astype(np.float32))


@pytest.mark.parametrize("raw", [False, True])
def test_a_mean_of_doubles_in_old_axes_is_no_onnx_net(tmp_path: Path, raw: bool) -> None:
    values = VALUES[0]
    blob = BlobProto(num=1, channels=3, height=2, width=5)
    if raw:
        blob.raw_data_type, blob.raw_data = RawType.DOUBLE, values.astype("<f8").tobytes()
    else:
        blob.double_data.extend(values.ravel())
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    np.testing.assert_array_equal(read_mean(tmp_path / "mean.binaryproto"), values.astype(np.float32))
    with pytest.raises(WeightsError, match="but this is a mean"):
        read_weights(tmp_path / "mean.binaryproto")


def test_raw_values_without_a_type_are_doubles_as_protobuf_has_it(tmp_path: Path) -> None:
    blob = raw_blob("<f8")
    blob.ClearField("raw_data_type")
    (layer,) = read_weights(in_layer(blob, tmp_path / "w.caffemodel"))
    np.testing.assert_array_equal(layer.blobs[0], VALUES.astype(np.float32))


def test_raw_values_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"layer 'conv', byte \d+: a blob's raw values are of type 3, but weights are of type 0 \(double\)"
    ):
        read_weights(in_layer(raw_blob("<i4"), tmp_path / "w.caffemodel"))
    short = raw_blob("<f2")
    short.raw_data = short.raw_data[:-2]
    with pytest.raises(WeightsError, match=r"shape \(4, 3, 2, 5\) needs 120 values, but 119 are stored"):
        read_weights(in_layer(short, tmp_path / "w.caffemodel"))
    short.raw_data = short.raw_data[:-1]
    with pytest.raises(WeightsError, match="237 bytes, which is no multiple of 2"):
        read_weights(in_layer(short, tmp_path / "w.caffemodel"))


@pytest.mark.parametrize("diff", [b"", field(7, bytes(12))])
def test_c3ds_blobs_have_five_axes(tmp_path: Path, diff: bytes) -> None:
    filters, biases = VALUES.reshape(2, 3, 4, 1, 5), VALUES[0, 0, 0]
    layer = field(4, b"conv1a") + field(6, c3d_blob(filters, diff)) + field(6, c3d_blob(biases, diff))
    path = tmp_path / "c3d.caffemodel"
    path.write_bytes(field(2, layer))
    (read,) = read_weights(path)
    assert (read.name, read.form) == ("conv1a", "V1, C3D's float32")
    np.testing.assert_array_equal(read.blobs[0], filters.astype(np.float32))
    np.testing.assert_array_equal(read.blobs[1], biases.astype(np.float32).reshape(1, 1, 1, 1, 5))


def test_c3ds_mean_is_a_volume(tmp_path: Path) -> None:
    volume = VALUES.reshape(1, 3, 4, 5, 2)
    (tmp_path / "mean.binaryproto").write_bytes(c3d_blob(volume))
    np.save(tmp_path / "mean.npy", volume)
    for name in ("mean.binaryproto", "mean.npy"):
        np.testing.assert_array_equal(read_mean(tmp_path / name), volume[0].astype(np.float32))


ONNX = b"\x08\x07" + field(2, b"pytorch") + field(3, b"1.9") + field(7, b"\x0a\x00") + field(8, b"\x10\x0d")
OTHERS = {
    "solver's state": (
        b"\x08\x88\x27" + field(2, b"snapshots/lenet_5000.caffemodel") + field(3, c3d_blob(VALUES)),
        r"'lenet_5000\.caffemodel'",
    ),
    "solver's state alone": (
        b"\x08\x88\x27" + field(3, BlobProto(data=[1, 2]).SerializeToString()),
        r"a solver's state.* \(\.caffemodel\)",
    ),
    "onnx": (ONNX, "an ONNX net"),
    "tensorflow": (field(1, b"\x0a\x01x") * 3 + field(4, b""), "perhaps a TensorFlow graph"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(60), "a TensorFlow Lite net"),
    "torch": (b"PK\x03\x04" + bytes(26) + b"archive/data.pklFB" + bytes(50), "a torch checkpoint"),
    "old torch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(9), "a torch checkpoint"),
    "pickle": (b"\x80\x04\x95\x10\x00\x00\x00" + bytes(40), "a Python pickle"),
    "safetensors": (b"\x40\x00\x00\x00\x00\x00\x00\x00" + b'{"conv": {"dtype": "F32"}}' + bytes(60), "a safetensors file"),
    "keras": (b"PK\x03\x04" + bytes(26) + b"metadata.json" + bytes(50), "a Keras net"),
    "npz": (b"PK\x03\x04" + bytes(26) + b"arr_0.npy" + bytes(50), r"an \.npz archive"),
    "darknet": (b"\x00\x00\x00\x00\x02\x00\x00\x00\x05\x00\x00\x00" + bytes(60), "Darknet's weights"),
    "mxnet": (b"\x12\x01" + bytes(70), "MXNet's weights"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "a gzip archive: unpack it first"),
    "tar": (b"net.caffemodel" + bytes(243) + b"ustar\x0000" + bytes(99), "a tar archive: unpack it first"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a Git LFS pointer"),
    "html": (b"\xef\xbb\xbf<!DOCTYPE html><title>Quota exceeded</title>", "an HTML page"),
    "matlab": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(99), r"a MATLAB file: save its array with numpy\.save"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_other_programs_are_called_by_their_name(tmp_path: Path, name: str) -> None:
    content, message = OTHERS[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    for read in (read_weights, read_mean):
        with pytest.raises(WeightsError, match=rf"^{path}: .*expected, but this is .*{message}"):
            read(path)
    with pytest.raises(PrototxtError, match="but this is"):
        read_net(path)


def test_kerass_hdf5_is_called_by_its_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["model_weights/conv/kernel:0"] = np.ones(3, np.float32)
    with pytest.raises(WeightsError, match="has no group 'data', in which Caffe keeps the weights: it is Keras's"):
        read_weights(tmp_path / "net.h5")


def test_weights_given_as_the_net_are_called_so_whatever_their_size(tmp_path: Path) -> None:
    path = in_layer(raw_blob("<f4"), tmp_path / "w.caffemodel")
    with path.open("ab") as stream:
        stream.truncate(2**25 + 2**20)
    with pytest.raises(PrototxtError, match="is expected, but this is a binary file; if it is a caffemodel, give it as the weights"):
        read_net(path)


def test_a_mean_is_no_caffemodel(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"w\.caffemodel: the file has no mean: a caffemodel is given as the weights"):
        read_mean(in_layer(raw_blob("<f4"), tmp_path / "w.caffemodel"))
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(BlobProto(num=1, channels=3, height=2, width=5, data=np.arange(30)).SerializeToString())
    with pytest.raises(WeightsError, match=r"weights \(\.caffemodel\) expected, but this is a mean \(\.binaryproto\)"):
        read_weights(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_net_in_any_encoding_that_marks_itself(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('name: "nét" layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }', encoding=encoding)
    assert read_net(path).name == "nét"
    path.write_bytes("name: 'x'".encode("utf-16") + b"\x00")
    with pytest.raises(DreamoptError, match=r"net\.prototxt"):
        read_net(path)
    for without in ("utf-16-le", "utf-16-be"):
        path.write_bytes("name: 'x' layer { name: 'y' }".encode(without))
        with pytest.raises(DreamoptError, match=r"net\.prototxt: .* is a text in UTF-16 without its byte-order mark: save it as UTF-8"):
            read_net(path)


def test_files_that_are_missing_are_named_by_what_they_were_to_be(tmp_path: Path) -> None:
    for read, what in ((read_weights, "weights"), (read_mean, "mean")):
        with pytest.raises(WeightsError, match=rf"^the {what} '.*gone' cannot be read: No such file"):
            read(tmp_path / "gone")


def test_real_caffe_is_not_given_what_it_would_abort_on(tmp_path: Path) -> None:
    fields = {"BlobProto": ["data", "double_data"], "BatchNormParameter": ["eps"]}
    weights = read_weights(in_layer(raw_blob("<f2"), tmp_path / "w.caffemodel"))
    with pytest.raises(BackendError, match=r"Caffe 1\.0 cannot read 'w', whose values are raw float16; the built-in engine can"):
        refuse_foreign("w", weights, fields, "Caffe 1.0")
    refuse_foreign("w", weights, {**fields, "BlobProto": ["raw_data"]}, "NVIDIA's")
    refuse_foreign("w", weights, None, "Caffe 1.0")
    norm = [LayerWeights("bn", "BatchNorm", [np.ones(2, np.float32)] * 5, "V2, float32")]
    with pytest.raises(BackendError, match=r"whose layer 'bn' \(BatchNorm\) has 5 weights, scale and shift inside"):
        refuse_foreign("w", norm, fields, "Caffe 1.0")
    norm[0].blobs = norm[0].blobs[:3]
    refuse_foreign("w", norm, fields, "Caffe 1.0")
