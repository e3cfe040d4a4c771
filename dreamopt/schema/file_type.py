"""Recognizing files of another kind than expected: a failed download, a Git LFS pointer, weights instead of a net."""

from __future__ import annotations

import re

_SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Caffe's weights in a .caffemodel.h5"),
    (b"PK\x03\x04", "a zip archive (or a torch checkpoint)"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\x93NUMPY", "a numpy array, such as a mean in an .npy"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF"),
)
_HTML = re.compile(rb"\s*(?:<!doctype\s+html|<html|<head|<\?xml|<!--)", re.IGNORECASE)
_PROTOTXT = re.compile(rb"(?:^|[\s}])(?:layers?\s*:?\s*[{<]|(?:name|input|type|bottom|top)\s*:\s*[\"'])")
_TEXT = frozenset(range(32, 256)) - {127} | {9, 10, 11, 12, 13}


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
    return next((description for signature, description in _SIGNATURES if head.startswith(signature)), "")


def is_text(head: bytes) -> bool:
    """Return whether bytes are a text as far as their characters tell."""
    return all(byte in _TEXT for byte in head)


def is_prototxt(head: bytes) -> bool:
    """Return whether bytes read like a net in text format."""
    return is_text(head) and _PROTOTXT.search(head) is not None
