"""HDF5 weights in every layout that h5py writes, and files that are damaged: the right values or one sentence, in bounded time."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from dreamopt.errors import WeightsError
from dreamopt.schema import LayerWeights, hdf5, read_weights, write_weights

Options = dict[str, Any]

VALUES = {
    "conv1": (np.random.default_rng(3).standard_normal((4, 3, 5, 2)), np.array([1.5, -2.0, 1e-3, 60000.0])),
    "block/fc": (np.random.default_rng(4).standard_normal((10, 7)),),
    "bias": (np.float64(-0.25),),
    "none": (np.zeros((0, 3)),),
}
# With HDF5 2.0, the superblock's version is 0 for the first four, 2 for the next two and 3 for the others.
FILES: dict[str, Options] = {
    "earliest": {"libver": "earliest"},
    "h5py's default": {},
    "track_order": {"track_order": True},
    "user block": {"userblock_size": 4096},
    "v108": {"libver": ("v108", "v108")},
    "v110": {"libver": "v110"},
    "latest": {"libver": "latest"},
    "latest, track_order": {"libver": "latest", "track_order": True},
    "pages": {"libver": "latest", "fs_strategy": "page"},
}
LAYOUTS: dict[str, Options] = {
    "contiguous": {},
    "chunks": {"chunks": True},
    "gzip": {"compression": "gzip"},
    "lzf": {"compression": "lzf"},
    "shuffle, fletcher32": {"shuffle": True, "fletcher32": True},
    "resizable": {"maxshape": True},
}
TYPES = ("<f4", ">f4", "<f8", ">f8", "<f2", ">f2", "g")


def write(path: Path, file: Options, layout: Options, dtype: str) -> None:
    with h5py.File(path, "w", **file) as stream:
        for name, blobs in VALUES.items():
            for i, values in enumerate(blobs):
                options = dict(layout) if np.size(values) and np.ndim(values) else {}
                if options.pop("maxshape", False):
                    options["maxshape"] = (None,) * np.ndim(values)
                stream.create_dataset(f"data/{name}/{i}", data=np.asarray(values, dtype), **options)


def assert_loads(path: Path, dtype: str) -> None:
    layers = {layer.name: layer.blobs for layer in read_weights(path)}
    assert set(layers) == set(VALUES)
    for name, blobs in VALUES.items():
        for blob, values in zip(layers[name], blobs, strict=True):
            assert blob.dtype == np.float32
            assert blob.flags.writeable
            np.testing.assert_array_equal(blob, np.asarray(values, dtype).astype(np.float32))
            assert blob.shape == np.shape(values)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("file", ["h5py's default", "latest"])
def test_every_layout_of_a_dataset_loads(tmp_path: Path, file: str, layout: str) -> None:
    write(tmp_path / "w.h5", FILES[file], LAYOUTS[layout], "<f4")
    assert_loads(tmp_path / "w.h5", "<f4")


@pytest.mark.parametrize("file", FILES)
def test_every_form_of_a_file_loads(tmp_path: Path, file: str) -> None:
    write(tmp_path / "w.h5", FILES[file], LAYOUTS["gzip"], "<f4")
    assert_loads(tmp_path / "w.h5", "<f4")


@pytest.mark.parametrize("dtype", TYPES)
def test_every_floating_point_type_loads(tmp_path: Path, dtype: str) -> None:
    write(tmp_path / "w.h5", {}, {}, dtype)
    assert_loads(tmp_path / "w.h5", dtype)


def test_the_forms_are_those_of_several_superblocks(tmp_path: Path) -> None:
    versions = {}
    for name in ("earliest", "v108", "latest"):
        write(tmp_path / "w.h5", FILES[name], {}, "<f4")
        versions[name] = (tmp_path / "w.h5").read_bytes()[8]
    assert versions == {"earliest": 0, "v108": 2, "latest": 3}


# Superblock 1 is for a width of chunk trees that h5py cannot ask for; made with libhdf5's H5Pset_istore_k(16).
SUPERBLOCK_1 = (
    "c-rgqaB<`1lHy`y00IsU1{MYZ5DQ8|z<(%sB819^$)`YRMkw6_rPnaQ#2LYI5>RnLsOjkHLV{dfL8||w0hm2cSRphA!zdVuz{Axs07OSX`LHy4"
    "h6z<&N@7VOa(eWj&|X~W*M}Lx&tWAl{l4KGO~0e*7c>3#u%fC<OGYhEDNVn@e*P|?6bwsuD$J<nqo?ChKw3Ev!Vck=a1vJzxbTdY1Eb{tW;rm0"
    "6IGo718vIz9d=an(bMrLz*P>gLc)v@#@B$*Ob`KBa|BwfV(^)PB?w5Rpn^QGy$u2i4B{LN;`LB@R$vT)<e8Wu268}49A+lw9$rM0fsBP{XQ&v^"
    "@IX&jCfuWGgd6~>HyD9Yie7IJswa*JVXsfnn#Bxf(9|*FFz*Tub?D~Z5kk)wsOnfoqjVIEf>A&h&|nWF93X55Al(4O3&4B;l*@QL"
)


def test_superblock_1_loads(tmp_path: Path) -> None:
    content = zlib.decompress(base64.b85decode(SUPERBLOCK_1))
    assert content[8] == 1
    (tmp_path / "w.h5").write_bytes(content)
    (layer,) = read_weights(tmp_path / "w.h5")
    assert layer.name == "fc"
    np.testing.assert_array_equal(layer.blobs[0], [[0, 1, 2], [3, 4, 5]])


def test_layers_come_in_the_order_of_the_file_where_it_is_tracked(tmp_path: Path) -> None:
    write(tmp_path / "w.h5", FILES["track_order"], {}, "<f4")
    assert [layer.name for layer in read_weights(tmp_path / "w.h5")] == list(VALUES)
    write(tmp_path / "w.h5", FILES["earliest"], {}, "<f4")
    assert [layer.name for layer in read_weights(tmp_path / "w.h5")] == sorted(VALUES)


def test_values_that_compress_well_load(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/fc/0", data=np.zeros((2000, 3000), np.float32), compression="gzip", compression_opts=9)
        file.create_dataset("data/fc/1", (70, 50), np.float32)  # never written to: zeros
    assert (tmp_path / "w.h5").stat().st_size < 100_000
    (layer,) = read_weights(tmp_path / "w.h5")
    assert [blob.shape for blob in layer.blobs] == [(2000, 3000), (70, 50)]
    assert not any(blob.any() for blob in layer.blobs)


def test_a_layer_under_two_names_loads_twice(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/a/0"] = np.arange(3.0)
        file["data/b"] = file["data/a"]
    first, second = read_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(first.blobs[0], [0, 1, 2])
    np.testing.assert_array_equal(second.blobs[0], [0, 1, 2])


def test_a_relative_path_and_one_that_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("-w.h5"), {}, {}, "<f4")
    assert_loads(Path("-w.h5"), "<f4")


# ---- what cannot be read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((10**6, 10**6), "has 1000000000000 values"),
        ((1000, 1000, 100), "far more than a file of"),
        ((46340, 46340), "far more than a file of"),
    ],
)
@pytest.mark.parametrize("layout", [{}, {"chunks": True}, {"compression": "gzip"}])
def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path: Path, layout: Options, shape: tuple[int, ...], sentence: str) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/a/0", shape, np.float32, **layout)
    with pytest.raises(WeightsError, match=rf"w\.h5: the dataset '/data/a/0' of shape .* {sentence}") as captured:
        read_weights(tmp_path / "w.h5")
    assert "damaged" not in str(captured.value)


def test_a_filter_that_this_h5py_lacks_is_named(tmp_path: Path) -> None:
    write(tmp_path / "w.h5", {}, LAYOUTS["gzip"], "<f4")
    content = (tmp_path / "w.h5").read_bytes()
    filter_message = b"\x01\x00\x08\x00\x01\x00\x01\x00deflate\x00"
    assert filter_message in content
    (tmp_path / "w.h5").write_bytes(content.replace(filter_message, b"\x21\x03\x08\x00\x00\x00\x01\x00unknown\x00"))
    with pytest.raises(WeightsError, match=r"w\.h5: '/data/block/fc/0' went through the filter 801 \(unknown\), which"):
        read_weights(tmp_path / "w.h5")


def test_a_solver_state_is_no_weights(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.solverstate.h5", "w") as file:
        file["iter"] = 7
        file["learned_net"] = "net_iter_7.caffemodel.h5"
    with pytest.raises(WeightsError, match="a solver's state, whose field 'learned_net' names the weights"):
        read_weights(tmp_path / "s.solverstate.h5")


ENDINGS = {
    "while True: pass": "came to no end in 1 seconds of computing, and was stopped",
    "import time; time.sleep(99)": "gave no answer in 2 seconds, and was stopped",
    "import os; os.abort()": "was ended by signal 6",
    "raise ValueError('what h5py did not expect')": r"ended with status 1 \(ValueError: what h5py did not expect\)",
    "print('{\"tree\": {\"a\": {\"0\": [2, 3]}}}'); print('{}'); print('cut')": r"ended with status 0 \(without a word\)",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize("program", ENDINGS)
def test_whatever_becomes_of_the_child_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    child = tmp_path / "child.py"
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]), 99))\n"
    child.write_text(limit + program)
    monkeypatch.setattr(hdf5, "_CHILD", child)
    monkeypatch.setattr(hdf5, "CPU_SECONDS", 1)
    monkeypatch.setattr(hdf5, "WAIT_SECONDS", 2 if "sleep" in program else 60)
    write(tmp_path / "w.h5", {}, {}, "<f4")
    with pytest.raises(WeightsError, match=ENDINGS[program]) as captured:
        read_weights(tmp_path / "w.h5")
    assert str(captured.value).startswith(f"{tmp_path / 'w.h5'}: ")
    assert "\n" not in str(captured.value)


def test_the_child_imports_nothing_of_dreamopt_and_the_parent_no_h5py(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.h5", [LayerWeights("a", "", [np.ones(3, np.float32)])])
    code = f"""
        import sys
        from dreamopt.schema import read_weights
        assert read_weights({str(tmp_path / "w.h5")!r})[0].blobs[0].sum() == 3
        assert "h5py" not in sys.modules
        import runpy
        before = set(sys.modules)
        runpy.run_path({str(hdf5._CHILD)!r})
        assert not [name for name in set(sys.modules) - before if name.startswith(("dreamopt", "torch"))]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to four of: a byte or bit changed, eight bytes from elsewhere or random, a cut, a doubled stretch."""
    buffer = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(min(len(buffer), 2500)))
        match int(rng.integers(6)):
            case 0:
                buffer[at] = rng.integers(256)
            case 1:
                buffer[at] ^= 1 << int(rng.integers(8))
            case 2:
                start = int(rng.integers(len(buffer)))
                buffer[at : at + 8] = buffer[start : start + 8]
            case 3:
                buffer[at - at % 8 : at - at % 8 + 8] = int(rng.integers(len(buffer))).to_bytes(8, "little")
            case 4:
                buffer = buffer[: max(at, 40)] if rng.random() < 0.2 else buffer
            case 5:
                buffer[at:at] = buffer[at : at + 8]
    return bytes(buffer)


def sources(folder: Path) -> list[bytes]:
    contents = []
    for file in ("earliest", "track_order", "v108", "latest"):
        for layout in ("contiguous", "chunks", "gzip"):
            write(folder / "source.h5", FILES[file], LAYOUTS[layout], "<f4")
            contents.append((folder / "source.h5").read_bytes())
    return contents


# Starting Python and h5py takes a hundred times as long as reading such a file: here every file has a fork of one that has started.
MANY = """
    import importlib.util, os, signal, sys
    import h5py, numpy
    spec = importlib.util.spec_from_file_location("child", sys.argv[1])
    child = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    for line in sys.stdin:
        path = line.rstrip("\\n")
        process = os.fork()
        if process == 0:
            try:
                signal.alarm(int(sys.argv[3]))
                with open(path + ".answer", "wb") as stream:
                    child.main(path, os.path.getsize(path), int(sys.argv[2]), stream)
            finally:
                os._exit(0)
        os.waitpid(process, 0)
"""


def outcome(path: Path, read: Callable[[], list[LayerWeights]]) -> str:
    """Return what is wrong with a file, "" where nothing is."""
    try:
        layers = read()
    except WeightsError as error:
        return str(error).removeprefix(f"{path}: ")
    return "" if sum(blob.nbytes for layer in layers for blob in layer.blobs) < 2**28 else f"{path} is a bomb"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that begin as copies")
def test_no_mutation_hangs_or_breaks_the_reader(tmp_path: Path) -> None:
    """200 seeded mutations of twelve files, and 20 files of random bytes behind a signature.

    Every tenth, and whichever ends its process, is then read as users' files are.
    """
    originals = sources(tmp_path)
    paths = [tmp_path / f"{seed}.h5" for seed in range(220)]
    for seed, path in enumerate(paths):
        rng = np.random.default_rng(seed)
        noise = b"\x89HDF\r\n\x1a\n" + bytes([seed % 4]) + rng.bytes(300)
        path.write_bytes(mutated(originals[seed % len(originals)], rng) if seed < 200 else noise)
    limits = str(hdf5.CPU_SECONDS), str(hdf5.WAIT_SECONDS)
    command = [sys.executable, "-c", textwrap.dedent(MANY), str(hdf5._CHILD), *limits]
    subprocess.run(command, input="".join(f"{path}\n" for path in paths), text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    outcomes = {}
    for seed, path in enumerate(paths):
        try:
            with Path(f"{path}.answer").open("rb") as stream:
                outcomes[path] = outcome(path, partial(hdf5._receive, path, stream))
        except EOFError:
            outcomes[path] = "ended"
        if seed % 10 == 0 or outcomes[path] == "ended":
            apart = outcome(path, partial(read_weights, path))
            assert outcomes[path] in ("ended", apart)
            outcomes[path] = apart
    sentences = [sentence for sentence in outcomes.values() if sentence]
    assert 60 < len(sentences) < 220
    assert not [sentence for sentence in sentences if "\n" in sentence or str(tmp_path) in sentence or "Traceback" in sentence]


def test_a_file_without_damage_to_its_values_gives_them(tmp_path: Path) -> None:
    """Bytes that mean nothing may be anything: the values must still be the right ones."""
    write(tmp_path / "w.h5", FILES["earliest"], {}, "<f4")
    content = bytearray((tmp_path / "w.h5").read_bytes())
    content += b"what another program left behind the end of the file"
    (tmp_path / "w.h5").write_bytes(content)
    assert_loads(tmp_path / "w.h5", "<f4")


def test_a_value_that_float32_cannot_hold_is_infinite(tmp_path: Path) -> None:
    values: npt.NDArray[np.float64] = np.array([1e300, -1e300, np.nan, 0.1])
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/a/0"] = values
    (layer,) = read_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(layer.blobs[0], np.array([np.inf, -np.inf, np.nan, 0.1], np.float32))
