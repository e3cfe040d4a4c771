"""What objectives are given from outside: images and vectors, immutable and printable, and the tensors made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.image.reference import ImageValue, ReferenceImage
from dreamopt.parts.checks import check_number
from dreamopt.parts.npy import read_npy

Vector = str | tuple[float, ...]
"""Numbers that guide an objective: the path of a .npy file, or the numbers themselves, nested by axis."""


def frozen_image(image: object) -> ReferenceImage:
    """Return a path as a string, and an array (H, W, 3), RGB, 0 to 255, as an immutable `ImageValue`.

    Raises
    ------
    ObjectiveError
        For anything else.
    """
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    if isinstance(image, ImageValue):
        return image
    array = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0 or not np.issubdtype(array.dtype, np.number):
        raise ObjectiveError(f"an image is a file's path or an array (H, W, 3), RGB, 0 to 255, not one of shape {array.shape}")
    return ImageValue(np.clip(np.rint(array), 0, 255).astype(np.uint8))


def frozen_images(image: object) -> ReferenceImage | tuple[ReferenceImage, ...]:
    """Return one image, or a sequence of them with one for each item as a tuple; an array (N, H, W, 3) is a sequence too.

    >>> frozen_images(["a.jpg", np.zeros((2, 4, 3))])
    ('a.jpg', <image 2x4x3 ea14b6d3>)
    """
    many = isinstance(image, tuple | list) or (isinstance(image, np.ndarray | Tensor) and image.ndim == 4)
    if not many:
        return frozen_image(image)
    images = tuple(frozen_image(one) for one in image)  # type: ignore[attr-defined]  # a sequence, as just seen
    if not images:
        raise ObjectiveError("a list of images needs at least one")
    return images


def frozen_vectors(values: object, axes: int = 1) -> Vector | tuple[Vector, ...]:
    """Return a path as a string and numbers as nested tuples; with one axis more, or of several paths, one for each item.

    Parameters
    ----------
    values : str, path, array, or a sequence of these
        Numbers with ``axes`` axes, or paths of such .npy files.
    axes : int
        How many axes one has: 1 for a vector (C,), 3 for a tensor (C, H, W).

    Raises
    ------
    ObjectiveError
        For numbers with another count of axes, or that are not finite.

    Examples
    --------
    >>> frozen_vectors(np.eye(2)), frozen_vectors("v.npy"), frozen_vectors([1, 2.5])
    (((1.0, 0.0), (0.0, 1.0)), 'v.npy', (1.0, 2.5))
    """
    if isinstance(values, str | os.PathLike):
        return os.fspath(values)
    if isinstance(values, tuple | list) and any(isinstance(one, str | os.PathLike) for one in values):
        vectors = tuple(frozen_vectors(one, axes) for one in values)
        if any(len(vectors_of(one, axes)) > 1 for one in vectors):
            raise ObjectiveError("of several vectors each is for one item: a path, or numbers for that item alone")
        return vectors  # type: ignore[return-value]  # each is one vector, as just seen
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ObjectiveError(f"a vector is the path of a .npy file, or numbers, not {values!r}") from problem
    if array.ndim not in (axes, axes + 1) or array.size == 0:
        raise ObjectiveError(f"a vector has {axes} axes here, or {axes + 1} with one vector for each item, not the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ObjectiveError(f"a vector's numbers must be finite; {int((~np.isfinite(array)).sum())} of {array.size} are not")
    check_number("a vector's largest number", float(np.abs(array).max()), error=ObjectiveError)
    frozen: Vector = _tuples(array.tolist())
    return frozen


def vectors_of(vectors: Vector | tuple[Vector, ...], axes: int = 1) -> tuple[Vector, ...]:
    """Return the vectors of a parameter made by `frozen_vectors`, one or one for each item.

    >>> vectors_of((1.0, 2.0)), vectors_of(((1.0, 2.0), "v.npy"))
    (((1.0, 2.0),), ((1.0, 2.0), 'v.npy'))
    """
    return vectors if per_item_vectors(vectors, axes) else (vectors,)  # type: ignore[return-value]


def per_item_vectors(vectors: Vector | tuple[Vector, ...], axes: int = 1) -> bool:
    """Return whether a parameter made by `frozen_vectors` has a vector for each item."""
    depth, inner, paths = 0, vectors, False
    while isinstance(inner, tuple):
        paths = paths or any(isinstance(one, str) for one in inner)
        depth, inner = depth + 1, inner[0]  # type: ignore[assignment]
    return paths or depth > axes


def read_vector(vector: Vector, axes: int = 1) -> Tensor:
    """Return a vector, or the one in a .npy file, as a float64 tensor of so many axes; leading axes of length 1 are dropped.

    Raises
    ------
    ObjectiveError
        For a file that is missing, no .npy file, or of another shape, and for numbers that are not finite or all zero.
    """
    name = f"vector '{vector}'" if isinstance(vector, str) else "a vector"
    if isinstance(vector, str):
        array = read_npy(vector, "vector", ObjectiveError, kinds="biuf").astype(np.float64)
    else:
        array = np.asarray(vector, dtype=np.float64)
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    if array.ndim != axes:
        raise ObjectiveError(f"{name} must have {axes} axes, but its shape is {array.shape}; for a batch give one path for each item")
    if not np.isfinite(array).all():
        raise ObjectiveError(f"{name} holds numbers that are not finite")
    if not array.any():
        raise ObjectiveError(f"{name} is zero everywhere, which is no direction")
    return torch.from_numpy(np.ascontiguousarray(array))


class BoundTensors:
    """Tensors that an objective keeps from `bind` on, one a layer, (1, ...) or one for each item, (N, ...).

    They are moved to the activations' type and device once, so that a step copies nothing.

    Parameters
    ----------
    tensors : sequence of Tensor
        In the order of the objective's layers.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tuple(tensors)

    def like(self, activation: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors with the type and device of ``activation``."""
        if any(t.dtype != activation.dtype or t.device != activation.device for t in self._tensors):
            self._tensors = tuple(t.to(activation) for t in self._tensors)
        return self._tensors

    def item(self, index: int) -> BoundTensors:
        """Return what item ``index`` is given."""
        return BoundTensors([t[index : index + 1] if t.shape[0] > 1 else t for t in self._tensors])


def _tuples(values: Any) -> Any:
    return tuple(map(_tuples, values)) if isinstance(values, list) else values
