"""Reading a ``.npy`` file that somebody else may have made: one array of numbers, as long as its header says."""

from __future__ import annotations

import ast
import math
import os
import re
import struct
import warnings
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import DreamoptError, printable
from dreamopt.parts.reading import StrPath, open_regular

_MAGIC = b"\x93NUMPY"
_SHOWN = 200
_LONGEST_HEADER = 4096
_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}
"""By the file's version, how the length of its header is written."""
_PYTHON_2 = re.compile(r"(?<=\d)L\b")  # its long integers


def read_npy(path: StrPath, what: str, error: type[DreamoptError], kinds: str = "iuf") -> NDArray[Any]:
    """Return the array of a ``.npy`` file.

    Parameters
    ----------
    path : str or path
        The file.
    what : str
        Names it in the error, as "the vector".
    error : type
        The error to raise.
    kinds : str
        Which kinds of numbers it may hold, in numpy's letters: i and u whole numbers, f floats, b True and False, c complex numbers.

    Returns
    -------
    ndarray
        Of the file's type and shape; a copy in memory.

    Raises
    ------
    DreamoptError
        Of the type ``error``, for a file that is refused by `open_regular`, no ``.npy`` file, damaged, truncated, or of other values.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from dreamopt.errors import UsageError
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "vector.npy"
    >>> np.save(path, np.array([1.0, 2.0]))
    >>> read_npy(path, "the vector", UsageError)
    array([1., 2.])
    """
    with open_regular(path, what, error) as stream:
        fault = f"{what} '{os.fspath(path)}' cannot be read as a .npy file of numbers"
        head = stream.read(len(_MAGIC))
        if head != _MAGIC:
            kind = "it is an archive of several arrays (.npz)" if head.startswith(b"PK") else "it does not begin as one"
            raise error(f"{fault}: {kind}")
        stream.seek(0)
        try:
            shape, by_columns, dtype = _header(stream)
        except Exception as problem:  # a literal of Python, which may raise any of its errors
            raise error(f"{fault}: its header is damaged ({printable(problem, _SHOWN) or type(problem).__name__})") from problem
        if dtype.kind not in kinds:
            raise error(f"{fault}: it has values of type {printable(dtype, _SHOWN)}")
        count, rest = math.prod(shape), os.fstat(stream.fileno()).st_size - stream.tell()
        if any(length < 0 for length in shape) or len(shape) > 32 or count * dtype.itemsize > rest:
            raise error(f"{fault}: it is truncated, or damaged: {rest} bytes follow a header that says the shape {shape} of {dtype}")
        values: NDArray[Any] = np.fromfile(stream, dtype, count)
        return values.reshape(shape, order="F" if by_columns else "C")


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type; numpy's own reader takes minutes for some headers of a few kilobytes."""
    version = np.lib.format.read_magic(stream)
    if version not in _LENGTHS:
        raise ValueError(f"its version is {'.'.join(map(str, version))}, and 1.0 and 2.0 are read")
    (length,) = struct.unpack(_LENGTHS[version], stream.read(struct.calcsize(_LENGTHS[version])))
    if length > _LONGEST_HEADER:
        raise ValueError(f"it has {length} bytes, and at most {_LONGEST_HEADER} are read")
    text = stream.read(length)
    if len(text) < length:
        raise ValueError("it is truncated")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a strange escape, or an old name of a type
        fields = ast.literal_eval(_PYTHON_2.sub("", text.decode("latin-1")).strip())
        if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
            raise ValueError("it is no mapping of descr, fortran_order and shape")
        dtype = np.dtype(fields["descr"])
    if not isinstance(fields["shape"], tuple) or not all(type(length) is int for length in fields["shape"]):
        raise ValueError(f"its shape is {fields['shape']}")
    if not isinstance(fields["fortran_order"], bool):
        raise ValueError(f"its fortran_order is {fields['fortran_order']}")
    return fields["shape"], fields["fortran_order"], dtype
