"""Mean files: the ``.binaryproto`` of Caffe, NVIDIA's Caffe and C3D, and numpy's ``.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamopt.errors import WeightsError
from dreamopt.parts.npy import read_npy
from dreamopt.schema.blob import Array, read_blob
from dreamopt.schema.file_type import describe_message
from dreamopt.schema.weights import mapped_file, refuse_other_types
from dreamopt.schema.wire import Wire

_NPY = b"\x93NUMPY"


def read_mean(path: str | Path) -> Array:
    """Read the mean that is subtracted from inputs.

    Parameters
    ----------
    path : str or Path
        A ``.binaryproto`` or ``.npy``; the contents tell which.

    Returns
    -------
    ndarray
        float32, (C, H, W) or, for a mean of each channel, (C,), or for volumes (C, L, H, W); channels in the file's order, which is BGR
        for Caffe's own. What a ``.npy`` of three axes holds, (C, H, W) or (H, W, C), only the net's channels can tell.

    Raises
    ------
    WeightsError
        For a file that is damaged, something else, or of another shape.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mean.npy"
    >>> np.save(path, np.array([104.0, 117.0, 123.0]))
    >>> read_mean(path)
    array([104., 117., 123.], dtype=float32)
    """
    with mapped_file(path, "the mean") as buffer:
        head = buffer[:4096]
        if head.startswith(_NPY):
            with np.errstate(over="ignore"):
                mean = read_npy(path, "the mean", WeightsError).astype(np.float32)
        else:
            refuse_other_types(path, head, "a mean (.binaryproto or .npy)")
            wire = Wire(buffer, str(path))
            other = describe_message(wire, len(buffer))
            if other and not other.startswith("a mean"):
                raise WeightsError(f"{path}: a mean (.binaryproto or .npy) expected, but this is {other}")
            mean = read_blob(wire, 0, len(buffer))
            if mean.shape == (0,):
                raise WeightsError(f"{path}: the file has no mean: a caffemodel is given as the weights")
    stored = mean.shape
    if mean.ndim > 3 and stored[0] == 1:
        mean = mean[0]
    if mean.ndim == 2:
        mean = mean[np.newaxis]
    if (mean.ndim not in (1, 3) and not (len(stored) == 5 and mean.ndim == 4)) or mean.size == 0:
        allowed = "(C, H, W), (1, C, H, W), (H, W) or (C,), or for volumes (1, C, L, H, W)"
        raise WeightsError(f"{path}: the mean has the shape {stored}, but has to be {allowed}")
    if not np.isfinite(mean).all():
        raise WeightsError(f"{path}: the mean has values that are infinite or no numbers")
    return mean
