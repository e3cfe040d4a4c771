"""Reading .npy files: the array as numpy wrote it, and a sentence for everything else."""

import struct

import numpy as np
import pytest

from dreamopt.errors import WeightsError
from dreamopt.parts.npy import read_npy


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "i1", ">i8", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_it_reads_what_numpy_writes(tmp_path, dtype, order) -> None:
    array = np.asarray(np.arange(2 * 3 * 5).reshape(2, 3, 5), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    read = read_npy(tmp_path / "a.npy", "the mean", WeightsError)
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)
    np.save(tmp_path / "a.npy", np.array(7.5))
    assert read_npy(tmp_path / "a.npy", "the mean", WeightsError) == 7.5


def npy(header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header + data


HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }\n"
DAMAGED = {
    "empty": (b"", "it does not begin as one"),
    "text": (b"1.0 2.0", "it does not begin as one"),
    "archive": (b"PK\x03\x04", "it is an archive of several arrays"),
    "no header": (b"\x93NUMPY\x01", "its header is damaged"),
    "version": (npy(HEADER % b"2,", bytes(8), b"\x07\x00"), "its header is damaged"),
    "tokens": (npy(b"{'descr': '<f4', (((\n"), "its header is damaged"),
    "indent": (npy(b"  a\n b\n"), "its header is damaged"),
    "deep": (npy(b"(" * 9000 + b")" * 900), "its header is damaged"),
    "spaces": (npy(b"{" + b" " * 4000 + b"["), "its header is damaged"),  # numpy's reader takes 10 s for it
    "long": (npy(b"{" + b" " * 60000 + b"}"), "its header is damaged"),
    "digits": (npy(HEADER % (b"9" * 5000 + b",")), "its header is damaged"),
    "huge": (npy(HEADER % b"1000000000000, 1000000", bytes(8)), "it is truncated"),
    "overflow": (npy(HEADER % (b"9" * 300 + b",")), "it is truncated"),
    "negative": (npy(HEADER % b"-1, -2", bytes(8)), "it is truncated"),
    "truncated": (npy(HEADER % b"3,", bytes(11)), "it is truncated, or damaged: 11 bytes follow a header that says the shape"),
    "a bool": (npy(HEADER % b"True,", bytes(8)), ""),
    "a set": (npy(HEADER % b"2, {3}", bytes(8)), "its header is damaged"),
    "axes": (npy(HEADER % (b"1," * 70), bytes(8)), ""),
    "object": (npy(HEADER.replace(b"<f4", b"|O") % b"1,", b"cos\nsystem\n(S'true'\ntR."), "it has values of type object"),
    "text values": (npy(HEADER.replace(b"<f4", b"<U4") % b"1,", bytes(16)), "it has values of type <U4"),
    "fields": (npy(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", bytes(4)), "it has values of type"),
    "descr": (npy(HEADER.replace(b"'<f4'", b"('<f4',)") % b"1,", bytes(4)), "its header is damaged"),
    "keys": (npy(b"{'descr': '<f4', 'shape': (1,)}\n", bytes(4)), "its header is damaged"),
    "order": (npy(HEADER.replace(b"False", b"'no'") % b"1,", bytes(4)), "its header is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_a_sentence(tmp_path, kind) -> None:
    content, message = DAMAGED[kind]
    path = tmp_path / "m.npy"
    path.write_bytes(content)
    if not message:  # numpy's own business: an array or a sentence
        try:
            assert read_npy(path, "the mean", WeightsError).size <= 2
        except WeightsError:
            return
        return
    with pytest.raises(WeightsError, match=rf"^the mean '.*m\.npy' cannot be read as a \.npy file of numbers: {message}") as caught:
        read_npy(path, "the mean", WeightsError)
    assert str(caught.value).isprintable()


def test_a_header_of_python_2_is_read(tmp_path) -> None:
    path = tmp_path / "old.npy"
    path.write_bytes(npy(HEADER % b"2L,", np.float32([3, 4]).tobytes()))
    assert read_npy(path, "the mean", WeightsError).tolist() == [3.0, 4.0]


def test_the_header_of_python_2_is_read(tmp_path) -> None:
    path = tmp_path / "old.npy"
    path.write_bytes(npy(HEADER % b"2L, 1L", struct.pack("<2f", 1.5, -2)))
    assert np.array_equal(read_npy(path, "the mean", WeightsError), [[1.5], [-2]])
