"""``caffe.io``: pictures into nets and back, blobs and data to and from protobuf messages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.caffe.transformer import Transformer
from dreamopt.errors import ImageError, ShapeError
from dreamopt.schema import caffe_pb2

Array = npt.NDArray[Any]

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]


def load_image(filename: str | os.PathLike[str], color: bool = True) -> npt.NDArray[np.float32]:
    """Read a picture as float32 in [0, 1].

    Parameters
    ----------
    filename : path
        Any picture that scikit-image reads.
    color : bool
        RGB if true; one channel of luminance otherwise.

    Returns
    -------
    ndarray
        (H, W, 3) RGB, or (H, W, 1). An alpha channel is dropped.

    Raises
    ------
    ImageError
        If the file cannot be read as a picture.
    """
    from skimage.color import rgb2gray
    from skimage.io import imread
    from skimage.util import img_as_float

    try:
        image = img_as_float(imread(os.fspath(filename)))
    except (OSError, ValueError) as e:
        raise ImageError(f"{os.fspath(filename)} cannot be read as a picture: {e}") from None
    if image.ndim == 3 and image.shape[2] == 4:
        image = image[:, :, :3]
    if not color and image.ndim == 3:
        image = rgb2gray(image)
    if image.ndim == 2:
        image = np.repeat(image[:, :, np.newaxis], 3 if color else 1, axis=2)
    return np.asarray(image, np.float32)


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> npt.NDArray[np.float32]:
    """Resize a picture of any value range.

    One and three channels go through `skimage.transform.resize` on the range stretched to [0, 1], as in Caffe; any other
    number through `scipy.ndimage.zoom`.

    Parameters
    ----------
    im : ndarray
        (H, W, K).
    new_dims : (int, int)
        Height and width wanted.
    interp_order : int
        Order of the interpolating spline, 0 to 5; 1 is linear.

    Returns
    -------
    ndarray
        (height, width, K), float32.
    """
    height, width = (int(d) for d in new_dims)
    if im.shape[-1] not in (1, 3):
        from scipy.ndimage import zoom

        return np.asarray(zoom(im, (height / im.shape[0], width / im.shape[1], 1), order=interp_order), np.float32)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((height, width, im.shape[-1]), low, np.float32)
    from skimage.transform import resize

    stretched = resize((im - low) / (high - low), (height, width), order=interp_order, mode="constant")
    return np.asarray(stretched * (high - low) + low, np.float32)


def oversample(images: Sequence[Array], crop_dims: Sequence[int]) -> npt.NDArray[np.float32]:
    """Cut ten crops from each picture: the four corners and the middle, then the same mirrored.

    Parameters
    ----------
    images : sequence of ndarray
        (H, W, K) each, all of one size.
    crop_dims : (int, int)
        Height and width of a crop.

    Returns
    -------
    ndarray
        (10 N, height, width, K); corners row by row, then the middle, then the mirrored five.
    """
    height, width = (int(d) for d in crop_dims)
    full_height, full_width = images[0].shape[:2]
    corners = [(y, x) for y in (0, full_height - height) for x in (0, full_width - width)]
    corners.append((int(full_height / 2 - height / 2), int(full_width / 2 - width / 2)))
    crops = []
    for image in images:
        five = [image[y : y + height, x : x + width] for y, x in corners]
        crops += [*five, *(crop[:, ::-1] for crop in five)]
    return np.asarray(crops, np.float32)


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> Array:
    """Return the data (or the diff) of a BlobProto as an array of its shape, legacy 4-D shapes included."""
    values = np.array(blob.diff if return_diff else blob.data)
    legacy = any(blob.HasField(f) for f in ("num", "channels", "height", "width"))
    return values.reshape((blob.num, blob.channels, blob.height, blob.width) if legacy else tuple(blob.shape.dim))


def array_to_blobproto(arr: Array, diff: Array | None = None) -> caffe_pb2.BlobProto:
    """Return a BlobProto with the array's shape and values, and those of ``diff`` where it is given."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[Array]) -> bytes:
    """Serialize arrays as a BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(a) for a in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:  # pycaffe's name, which scripts may use
    """Return the arrays of a serialized BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: Array, label: int | None = None) -> caffe_pb2.Datum:
    """Return a Datum of a (C, H, W) array: bytes for uint8, floats otherwise.

    Raises
    ------
    ShapeError
        If the array has not three axes.
    """
    if arr.ndim != 3:
        raise ShapeError(f"a datum holds (channels, height, width), but the array's shape is {arr.shape}")
    datum = caffe_pb2.Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> Array:
    """Return the (C, H, W) array of a Datum: uint8 if it holds bytes, float64 otherwise."""
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    return np.array(datum.float_data, float).reshape(shape)
