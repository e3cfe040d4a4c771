"""Weights and means: what is stored comes back, what is damaged is one clear error."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamopt.errors import DreamoptWarning, WeightsError
from dreamopt.schema import LayerWeights, parse_net, read_mean, read_weights, shapes_agree, write_weights
from dreamopt.schema.caffe_pb2 import BlobProto, BlobShape, LayerParameter, NetParameter, V1LayerParameter

KINDS = ("w.caffemodel", "w.caffemodel.h5")


def some_layers() -> list[LayerWeights]:
    rng = np.random.default_rng(7)
    shapes = {"conv1": [(4, 3, 5, 2), (4,)], "relu": [], "scalar": [()], "none": [(0, 3)], "fc8": [(10, 7), (10,), (1, 1, 1, 3)]}
    return [
        LayerWeights(name, name.strip("18"), [rng.standard_normal(s).astype(np.float32) for s in sizes]) for name, sizes in shapes.items()
    ]


def assert_equal(a: list[LayerWeights], b: list[LayerWeights]) -> None:
    assert [layer.name for layer in a] == [layer.name for layer in b]
    for x, y in zip(a, b, strict=True):
        assert [blob.shape for blob in x.blobs] == [blob.shape for blob in y.blobs]
        assert all(np.array_equal(p, q) for p, q in zip(x.blobs, y.blobs, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_comes_back(tmp_path: Path, name: str) -> None:
    layers = some_layers()
    path = tmp_path / name
    write_weights(path, layers)
    loaded = read_weights(path)
    by_name = {layer.name: layer for layer in loaded}
    assert_equal([by_name[layer.name] for layer in layers], layers)
    if name.endswith("caffemodel"):
        assert_equal(loaded, layers)
        assert [layer.type for layer in loaded] == [layer.type for layer in layers]
        expected = NetParameter.FromString(path.read_bytes())
        assert [tuple(blob.shape.dim) for blob in expected.layer[0].blobs] == [(4, 3, 5, 2), (4,)]
    for layer in loaded:
        for blob in layer.blobs:
            assert blob.dtype == np.float32
            assert blob.flags.writeable
            assert blob.flags.aligned
            assert blob.flags.c_contiguous
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", KINDS)
def test_arrays_of_any_layout_and_type_are_written(tmp_path: Path, name: str) -> None:
    blobs: list[Any] = [np.arange(6.0).reshape(2, 3).T, np.arange(10, dtype=">f4")[::2], np.float32(3)]
    write_weights(tmp_path / name, [LayerWeights("a", "A", blobs)])
    for blob, loaded in zip(blobs, read_weights(tmp_path / name)[0].blobs, strict=True):
        np.testing.assert_array_equal(loaded, blob)


def test_names_with_slashes_in_hdf5(tmp_path: Path) -> None:
    layers = [
        LayerWeights("inception_3a/1x1", "", [np.ones((2, 3), np.float32)]),
        LayerWeights("inception_3a", "", [np.zeros(4, np.float32)]),
    ]
    with pytest.warns(DreamoptWarning, match="inception_3a/1x1"):
        write_weights(tmp_path / "w.h5", layers)
    assert_equal(read_weights(tmp_path / "w.h5"), layers[::-1])


def test_newer_forms_of_hdf5_are_read(tmp_path: Path) -> None:
    values = np.arange(3000, dtype=np.float64).reshape(30, 100)
    with h5py.File(tmp_path / "w.h5", "w", libver="latest") as file:
        file.create_dataset("data/fc/0", data=values, compression="gzip")
        file.create_dataset("data/fc/1", data=values[0])
    (layer,) = read_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(layer.blobs[0], values)
    np.testing.assert_array_equal(layer.blobs[1], values[0])


def test_a_shared_weight_that_hdf5_leaves_out_is_empty(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w", libver="earliest") as file:
        file["data/ip/1"] = np.ones(3, np.float32)
    assert [blob.shape for blob in read_weights(tmp_path / "w.h5")[0].blobs] == [(0,), (3,)]


def _link(file: h5py.File) -> None:
    file["data/a"] = h5py.SoftLink("/elsewhere")


def _loop(file: h5py.File) -> None:
    group = file.create_group("data/a")
    group["self"] = file["data"]
    group["again"] = file["data"]


def _word(file: h5py.File) -> None:
    file["data/a/weight"] = np.ones(3, np.float32)


def _integers(file: h5py.File) -> None:
    file["data/a/0"] = np.ones(3, np.int32)


def _no_group(file: h5py.File) -> None:
    file["data/a"] = np.ones(3, np.float32)


def _no_data(file: h5py.File) -> None:
    file["model/a/0"] = np.ones(3, np.float32)


def _unwritten(file: h5py.File) -> None:
    file.create_dataset("data/a/0", (1000, 1000, 100), np.float32)


def _external(file: h5py.File) -> None:
    file.create_dataset("data/a/0", (10,), np.float32, external=[("elsewhere", 0, 40)])


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("make", [_link, _loop, _word, _integers, _no_group, _no_data, _unwritten, _external])
def test_hdf5_that_is_not_caffes_is_refused(tmp_path: Path, make: Any, libver: str) -> None:
    with h5py.File(tmp_path / "w.h5", "w", libver=libver) as file:
        make(file)
    with pytest.raises(WeightsError, match=r"w\.h5: "):
        read_weights(tmp_path / "w.h5")


# ---- old and odd caffemodels ---------------------------------------------------------------------------------------


def in_file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(content)
    return path


def key(number: int, wire: int = 2) -> bytes:
    return varint(number << 3 | wire)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def block(number: int, content: bytes) -> bytes:
    return key(number) + varint(len(content)) + content


def layer(*blobs: bytes) -> bytes:
    return block(100, block(1, b"conv1") + b"".join(block(7, blob) for blob in blobs))


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


SHAPE23 = block(7, block(1, b"\x02\x03"))


@pytest.mark.parametrize(
    "blob",
    [
        SHAPE23 + block(5, floats(1, 2, 3, 4, 5, 6)),
        block(5, floats(1, 2, 3, 4, 5, 6)) + SHAPE23,
        block(5, floats(1, 2)) + SHAPE23 + block(5, floats(3, 4, 5, 6)),
        SHAPE23 + b"".join(key(5, 5) + floats(v) for v in (1, 2, 3, 4, 5, 6)),
        key(5, 5) + floats(1) + block(5, floats(2, 3)) + SHAPE23 + key(5, 5) + floats(4) + key(5, 5) + floats(5) + key(5, 5) + floats(6),
        SHAPE23 + block(8, struct.pack("<6d", 1, 2, 3, 4, 5, 6)),
        SHAPE23 + b"".join(key(8, 1) + struct.pack("<d", v) for v in (1, 2, 3, 4, 5, 6)),
        SHAPE23 + block(5, floats(9)) + block(8, struct.pack("<6d", 1, 2, 3, 4, 5, 6)),
        block(7, key(1, 0) + b"\x02" + key(1, 0) + b"\x03")
        + block(5, floats(1, 2, 3, 4, 5, 6))
        + block(6, floats(7, 7))
        + block(99, b"unknown"),
        block(7, block(1, b"\x02")) + block(7, block(1, b"\x03")) + block(5, floats(1, 2, 3, 4, 5, 6)),
    ],
)
def test_every_way_to_write_values(tmp_path: Path, blob: bytes) -> None:
    (loaded,) = read_weights(in_file(tmp_path, block(1, b"net") + layer(blob)))
    np.testing.assert_array_equal(loaded.blobs[0], [[1, 2, 3], [4, 5, 6]])


def test_v1_and_v0(tmp_path: Path) -> None:
    net = NetParameter()
    layer_v1 = net.layers.add(name="one", type=V1LayerParameter.SOFTMAX_LOSS)
    layer_v1.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    layer_v0 = net.layers.add(top=["x"])
    layer_v0.layer.name, layer_v0.layer.type = "nought", "innerproduct"
    layer_v0.layer.blobs.add(num=2, channels=1, height=1, width=1, data=[1, 2])
    loaded = read_weights(in_file(tmp_path, net.SerializeToString()))
    assert [(w.name, w.type, [b.shape for b in w.blobs]) for w in loaded] == [
        ("one", "SoftmaxWithLoss", [(1, 1, 2, 3)]),
        ("nought", "InnerProduct", [(2, 1, 1, 1)]),
    ]


def shaped(*dims: int) -> bytes:
    return block(7, BlobShape(dim=dims).SerializeToString())


BROKEN = {
    "count": (
        layer(SHAPE23 + block(5, floats(1, 2))),
        r"layer 'conv1', byte \d+: a blob of the shape \(2, 3\) needs 6 values, but 2 are stored",
    ),
    "no values": (layer(SHAPE23), "needs 6 values, but 0 are stored"),
    "negative": (layer(shaped(-2, -3) + block(5, floats(1, 2, 3, 4, 5, 6))), r"the shape \(-2, -3\)"),
    "overflow": (layer(shaped(2**62, 4) + block(5, b"")), "product is below"),
    "huge empty": (layer(shaped(2**62, 0)), "product is below"),
    "huge": (layer(shaped(2**15, 2**15) + block(5, floats(1))), "needs 1073741824 values, but 1 are stored"),
    "axes": (layer(shaped(*[1] * 40) + block(5, floats(1))), "32 axes"),
    "odd bytes": (layer(SHAPE23 + block(5, b"12345")), "no multiple of 4"),
    "cut value": (layer(SHAPE23 + key(5, 5) + b"12"), "cut off"),
    "cut layer": (layer(SHAPE23 + block(5, floats(*range(6))))[:-3], "truncated"),
    "length": (block(100, b"")[:-1] + b"\xff\xff\xff\xff\x7f", "34359738367 bytes"),
    "endless number": (b"\xff" * 12, "ten bytes"),
    "group": (key(3, 3) + b"\x00", "wire type 3"),
    "field nought": (b"\x02\x00", "no field"),
    "layer of another type": (key(100, 0) + b"\x05", "no layer"),
    "no layers": (block(1, b"net"), "no layers"),
    "empty": (b"", "empty"),
    "prototxt": (b'name: "x"\nlayer {\n  name: "conv1"\n}\n' * 3, "prototxt"),
    "text": (b"hello, this is no net, but a text of some length\n", "a text"),
    "html": (b"<!doctype HTML><title>404</title>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
    "zip": (b"PK\x03\x04" + bytes(99), "zip"),
    "hdf5 head": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "hdf5 nought": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "hdf5 new": (b"\x89HDF\r\n\x1a\n" + b"\x03\x08\x08" + bytes(99), "HDF5"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    with pytest.raises(WeightsError, match=message) as captured:
        read_weights(in_file(tmp_path, content))
    assert str(captured.value).startswith(str(tmp_path / "w.caffemodel"))
    assert "\n" not in str(captured.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", "a\x00b"):
        with pytest.raises(WeightsError, match=r"cannot be read|no name"):
            read_weights(path)


ROOT = Path(__file__).resolve().parents[3]
BOMBS = {
    "layers": b"\xa2\x06\x00" * 3_000_000,
    "fields": b"\x0a\x00" * 6_000_000,
    "blobs": block(100, b"\x3a\x00" * 3_000_000),
    "values apart": layer((key(5, 5) + floats(0) + key(1, 0) + b"\x01") * 1_000_000),
    "axes": layer(block(7, b"\x08\x01" * 3_000_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_file_takes_long_or_much_memory(tmp_path: Path, name: str) -> None:
    path = in_file(tmp_path, BOMBS[name])
    code = f"""
        import time
        from tests.support.resident import peak
        from dreamopt.schema import read_weights
        from dreamopt.errors import WeightsError
        before = peak()
        start = time.process_time()
        try:
            read_weights({str(path)!r})
        except WeightsError:
            print(time.process_time() - start, peak() - before)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, held = map(float, process.stdout.split())
    assert seconds < 20
    assert held < 25 * len(BOMBS[name])  # 19: values apart are objects of their own until the layer is whole


def test_large_weights_are_held_once(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    write_weights(path, [LayerWeights(str(i), "InnerProduct", [np.full((1000, 5000), i, np.float32)]) for i in range(5)])
    start = time.perf_counter()
    layers = read_weights(path)
    assert time.perf_counter() - start < 5
    assert [float(layer.blobs[0][-1, -1]) for layer in layers] == [0, 1, 2, 3, 4]


# ---- random files --------------------------------------------------------------------------------------------------


def survives(path: Path) -> None:
    message = str(path)
    try:
        read_weights(path)
    except WeightsError as error:
        message = str(error)
    assert message.startswith(str(path))


EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), st.binary(max_size=9)), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("damage")
    write_weights(folder / KINDS[0], some_layers())
    return folder, (folder / KINDS[0]).read_bytes()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS, keep=st.booleans())
def test_no_damage_breaks_the_reader(originals: tuple[Path, bytes], edits: list[tuple[float, int, bytes]], keep: bool) -> None:
    folder, content = originals  # HDF5 files: tests/unit/schema/test_hdf5.py
    for share, cut, put in edits:
        at = int(share * len(content))
        content = content[:at] + put + content[at + (len(put) if keep else cut) :]
    path = folder / "damaged"
    path.write_bytes(content)
    survives(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=300))
def test_no_bytes_break_the_reader(originals: tuple[Path, bytes], content: bytes) -> None:
    path = originals[0] / "random"
    for head in (b"", b"\x93NUMPY\x01\x00"):
        path.write_bytes(head + content)
        survives(path)
        message = str(path)
        try:
            read_mean(path)
        except WeightsError as error:
            message = str(error)
        assert str(path) in message


BLOBS = st.lists(st.integers(0, 4), max_size=4).flatmap(
    lambda shape: st.tuples(
        st.just(shape), st.lists(st.floats(width=32, allow_nan=False), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
    )
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nets=st.lists(st.tuples(st.text(max_size=8), st.lists(BLOBS, max_size=3)), min_size=1, max_size=4))
def test_what_protobuf_writes_is_read(originals: tuple[Path, bytes], nets: list[tuple[str, list[tuple[list[int], list[float]]]]]) -> None:
    net = NetParameter(
        layer=[LayerParameter(name=n, type="T", blobs=[BlobProto(shape=BlobShape(dim=s), data=v) for s, v in blobs]) for n, blobs in nets]
    )
    path = originals[0] / "protobuf"
    path.write_bytes(net.SerializeToString())
    expected = [LayerWeights(n, "T", [np.array(v, np.float32).reshape(s) for s, v in blobs]) for n, blobs in nets]
    assert_equal(read_weights(path), expected)


# ---- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_weights(path, some_layers())
    before = path.read_bytes()
    broken: Any = [LayerWeights("a", "A", [np.ones(3, np.float32), "no array"])]  # type: ignore[list-item]
    with pytest.raises(WeightsError, match=re.escape(str(path))):
        write_weights(path, broken)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(WeightsError, match="cannot be written"):
        write_weights(tmp_path / "no" / name, some_layers())


def test_one_name_twice(tmp_path: Path) -> None:
    twice = [LayerWeights("a", "A", [np.full(2, i, np.float32)]) for i in (1, 2)]
    write_weights(tmp_path / "w.caffemodel", twice)
    assert_equal(read_weights(tmp_path / "w.caffemodel"), twice)
    with pytest.raises(WeightsError, match="occurs twice"):
        write_weights(tmp_path / "w.h5", twice)
    with pytest.raises(WeightsError, match="another layer's weight"), pytest.warns(DreamoptWarning):
        write_weights(tmp_path / "w.h5", [twice[0], LayerWeights("a/0", "A", [np.ones(3, np.float32)])])


def test_the_net_is_written_with_its_weights(tmp_path: Path) -> None:
    text = 'name: "n" input: "x" input_shape { dim: [1, 2] } layer { name: "a" type: "Scale" bottom: "x" top: "a" blobs { data: 1 } }'
    net = parse_net(text).param
    write_weights(tmp_path / "w.caffemodel", [LayerWeights("a", "", [np.ones(2, np.float32)])], net)
    loaded = NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert loaded.name == "n"
    assert [(layer.name, layer.type, len(layer.blobs)) for layer in loaded.layer] == [("input", "Input", 0), ("a", "Scale", 1)]
    assert list(loaded.layer[1].blobs[0].data) == [1, 1]
    with pytest.raises(WeightsError, match="'b' that is not in the net"):
        write_weights(tmp_path / "w.caffemodel", [LayerWeights("b", "", [])], net)


# ---- means, shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "expected"),
    [((3, 5, 7), (3, 5, 7)), ((1, 3, 5, 7), (3, 5, 7)), ((3,), (3,)), ((5, 7), (1, 5, 7)), ((1, 3, 1, 1), (3, 1, 1))],
)
def test_means(tmp_path: Path, stored: tuple[int, ...], expected: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).standard_normal(stored)
    np.save(tmp_path / "m.npy", values)
    (tmp_path / "m.binaryproto").write_bytes(BlobProto(shape=BlobShape(dim=stored), data=values.ravel()).SerializeToString())
    for name in ("m.npy", "m.binaryproto"):
        mean = read_mean(tmp_path / name)
        assert mean.dtype == np.float32
        np.testing.assert_array_equal(mean, values.astype(np.float32).reshape(expected))
    if len(stored) == 4:
        old = dict(zip(("num", "channels", "height", "width"), stored, strict=True))
        (tmp_path / "old.binaryproto").write_bytes(BlobProto(**old, data=values.ravel()).SerializeToString())
        assert read_mean(tmp_path / "old.binaryproto").shape == expected


def test_means_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "m.npy"
    for values in (
        np.ones((2, 3, 4, 5)),
        np.ones(()),
        np.ones((3, 0)),
        np.array([1, np.nan]),
        np.array([True]),
        np.array(["a"]),
        np.array([{}], object),
    ):
        np.save(path, values, allow_pickle=True)
        with pytest.raises(WeightsError, match=r"m\.npy"):
            read_mean(path)
    np.save(path, np.ones((3, 5, 7)))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WeightsError, match="truncated"):
        read_mean(path)
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"1234")
    with pytest.raises(WeightsError, match="truncated"):
        read_mean(path)


@pytest.mark.parametrize(
    ("a", "b", "agree"),
    [
        ((2, 3), (1, 1, 2, 3), True),
        ((2, 3), (2, 3), True),
        ((), (1, 1, 1, 1), True),
        ((2, 3), (3, 2), False),
        ((2, 1), (2,), False),
        ((6,), (2, 3), False),
    ],
)
def test_shapes_agree_up_to_leading_ones(a: tuple[int, ...], b: tuple[int, ...], agree: bool) -> None:
    assert shapes_agree(a, b) is agree
    assert shapes_agree(b, a) is agree


def test_squeezenet(shared: Path) -> None:
    path = shared / "models" / "squeezenet" / "squeezenet.caffemodel"
    expected = NetParameter.FromString(path.read_bytes())
    loaded = read_weights(path)
    assert [(w.name, w.type) for w in loaded] == [(layer.name, layer.type) for layer in expected.layer]
    for weights, layer in zip(loaded, expected.layer, strict=True):
        for blob, proto in zip(weights.blobs, layer.blobs, strict=True):
            assert blob.shape == tuple(proto.shape.dim)
            np.testing.assert_array_equal(blob.ravel(), np.array(proto.data, np.float32))
