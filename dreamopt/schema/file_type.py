"""Recognizing files of another kind than expected: a failed download, a Git LFS pointer, another program's weights, weights as a net."""

from __future__ import annotations

import re
from collections import Counter

from dreamopt.errors import WeightsError
from dreamopt.schema.wire import BYTES, VARINT, Wire

_SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Caffe's weights in a .caffemodel.h5"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x93NUMPY", "a numpy array, such as a mean in an .npy"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file: save its array with numpy.save, axes as Caffe's, (C, H, W)"),
    (b"MATLAB 7.3 MAT-file", "a MATLAB file: save its array with numpy.save, axes as Caffe's, (C, H, W)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a torch checkpoint"),
    (b"\x12\x01\x00\x00\x00\x00\x00\x00", "MXNet's weights"),
    (b"7767517", "an ncnn net"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95}\]cX(K]")
_SAFETENSORS = re.compile(rb".{5}\x00{3}\{\s*\"", re.DOTALL)
_DARKNET = re.compile(rb"\x00{4}[\x01\x02]\x00{3}[\x00-\x05]\x00{3}", re.DOTALL)
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype\s+html|<html|<head|<\?xml|<!--)", re.IGNORECASE)
_PROTOTXT = re.compile(rb"(?:^|[\s}])(?:layers?\s*:?\s*[{<]|(?:name|input|type|bottom|top)\s*:\s*[\"'])")
_ZIP_NAME = re.compile(rb"PK\x03\x04.{26}([\x20-\x7e]{1,80})", re.DOTALL)
_TEXT = frozenset(range(32, 256)) - {127} | {9, 10, 11, 12, 13}
_MOST_MESSAGE_FIELDS = 200
_BLOB = "a mean (.binaryproto), or one blob alone"


def describe_file_type(head: bytes) -> str:
    """Return what kind of file the first bytes show, if it is none of Caffe's; else an empty string.

    Examples
    --------
    >>> describe_file_type(b"<!DOCTYPE html><html>")
    'an HTML page, most likely of a download that failed'
    >>> describe_file_type(b'name: "CaffeNet"')
    ''
    """
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself: run git lfs pull"
    if _HTML.match(head):
        return "an HTML page, most likely of a download that failed"
    if head.startswith(b"PK\x03\x04"):
        return _describe_zip(head)
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite net"
    if _SAFETENSORS.match(head):
        return "a safetensors file, of another framework"
    if _DARKNET.match(head):
        return "Darknet's weights"
    if len(head) >= 8 and any(head) and (not any(head[1::2]) or not any(head[0::2])) and is_text(bytes(head).replace(b"\0", b"")):
        return "a text in UTF-16 without its byte-order mark: save it as UTF-8"
    found = next((description for signature, description in _SIGNATURES if head.startswith(signature)), "")
    return found or ("a Python pickle, such as an old torch checkpoint, which is never opened" if _PICKLE.match(head) else "")


def _describe_zip(head: bytes) -> str:
    """Return whose archive it is, by the name of its first member."""
    match = _ZIP_NAME.match(head)
    name = match[1].decode() if match else ""
    if ".npy" in name:
        return "an .npz archive: save its one array with numpy.save"
    if "/data.pkl" in name or "/version" in name or "/byteorder" in name:
        return "a torch checkpoint"
    if name.startswith(("metadata.json", "config.json", "model.weights.h5")):
        return "a Keras net"
    return "a zip archive: unpack it first"


def describe_message(wire: Wire, end: int) -> str:
    r"""Return whose protobuf message a file is by its fields, if it shows that it is no NetParameter; else an empty string.

    A solver's state, ONNX's ModelProto, TensorFlow's GraphDef, and a mean (BlobProto) begin with fields that Caffe's net has too, of
    other types.

    Examples
    --------
    >>> state = b"\x08\x88\x27" + b"\x12\x15lenet_5000.caffemodel"
    >>> describe_message(Wire(state, "lenet.solverstate"), len(state))
    "a solver's state, which holds no net: give the weights saved with it, 'lenet_5000.caffemodel'"
    """
    kinds: Counter[tuple[int, int]] = Counter()
    texts: dict[int, str] = {}
    position = 0
    try:
        while position < end and sum(kinds.values()) < _MOST_MESSAGE_FIELDS:
            entry = next(wire.entries(position, end))
            position = entry.end
            kinds[entry.number, entry.wire] += 1
            if entry.wire == BYTES and entry.end - entry.start < 4096:
                texts.setdefault(entry.number, wire.text(entry))
    except WeightsError:
        return ""  # damaged: the reader of weights says where
    if kinds[100, BYTES] or not kinds:
        return ""
    values = kinds[5, BYTES] or kinds[8, BYTES] or kinds[12, BYTES]  # float32, float64, NVIDIA's raw values
    if values and not kinds[2, BYTES] and (kinds[2, VARINT] or (kinds[7, BYTES] and not kinds[1, VARINT])):
        return _BLOB  # its axes are numbers in the fields 1 to 4, where ONNX has texts, or in field 7, and then field 1 is empty
    if kinds[1, VARINT] and (kinds[7, BYTES] or kinds[8, BYTES]) and not kinds[5, BYTES]:
        return "an ONNX net"
    if kinds[1, VARINT] and (kinds[2, BYTES] or kinds[3, BYTES]) and not kinds[5, BYTES]:
        net = texts.get(2, "")
        name = net.replace("\\", "/").rpartition("/")[2]
        beside = f", '{name}'" if name.isprintable() and name else " (.caffemodel)"
        return f"a solver's state, which holds no net: give the weights saved with it{beside}"
    if kinds[5, BYTES] and not kinds[2, BYTES] and (kinds[1, VARINT] or kinds[7, BYTES]):
        return _BLOB
    if kinds[1, BYTES] > 1 and not kinds[2, BYTES]:
        return "no caffemodel, but perhaps a TensorFlow graph"
    return ""


def is_text(head: bytes) -> bool:
    """Return whether bytes are a text as far as their characters tell."""
    return all(byte in _TEXT for byte in head)


def is_prototxt(head: bytes) -> bool:
    """Return whether bytes read like a net in text format."""
    return is_text(head) and _PROTOTXT.search(head) is not None
