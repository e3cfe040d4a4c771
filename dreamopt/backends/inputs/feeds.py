"""The inputs of a net that are not optimized: which they are, and what they are fed in a pass."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import ShapeError, UsageError, suggest
from dreamopt.schema import NetDef
from dreamopt.schema.input_roles import Role, choose_input, input_roles, reads_time_first

Shape = tuple[int, ...]
Array = NDArray[np.float32]
FeedValue = Array | Callable[[Shape], Array]
"""An array; or a function that makes one sample's from its shape, as an image is scaled to the size that a pass needs."""
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Feed:
    """What one input is fed.

    Parameters
    ----------
    blob : str
        The input.
    shape : tuple of int
        Its shape in the net's file.
    role : str
        What it is for: `dreamopt.schema.input_roles.Role`.
    batch_axis : int or None
        The axis along which its samples lie; None where it has none.
    follows_size : bool
        Whether its rows and columns are those of the optimized input, at any size.
    value : array, callable or None
        What was given. None is the default: zeros; for ``marks`` 0 at the first step and 1 after it; for ``size`` height, width and
        1; for ``rois`` the whole image.
    """

    blob: str
    shape: Shape
    role: Role
    batch_axis: int | None
    follows_size: bool = False
    value: FeedValue | None = None

    @property
    def is_zero(self) -> bool:
        """Whether it is nothing but zeros, which need not be sent."""
        return self.value is None and self.role not in ("marks", "size", "rois")

    def array(self, samples: int, item: Shape) -> Array:
        """Return what a pass of so many samples is fed, ``item`` being the shape of one sample of the optimized input.

        Raises
        ------
        ShapeError
            For an array of another number of samples.
        """
        shape = self._shape(samples, item)
        if self.role == "rois":
            return self._boxes(samples, item)
        if self.value is not None:
            return self._given(self.value, shape, samples)
        values = np.zeros(shape, np.float32)
        if self.role == "marks":
            values[1:] = 1
        elif self.role == "size" and values.ndim == 2 and len(item) == 3:
            values[:] = 1
            values[:, : min(2, shape[1])] = item[1:3][: shape[1]]
        return values

    def fed_shape(self, samples: int, item: Shape) -> Shape:
        """Return the shape of what `array` returns, also for a number of samples that what was given does not fit."""
        value, axis = self.value, self.batch_axis
        if value is None or callable(value) or axis is None or value.ndim != len(self.shape) or self.role == "rois":
            return self.array(samples, item).shape
        shape = self.array(math.lcm(samples, max(1, value.shape[axis])), item).shape
        return (*shape[:axis], samples, *shape[axis + 1 :])

    def _shape(self, samples: int, item: Shape) -> Shape:
        shape = list(self.shape)
        if self.batch_axis is not None:
            shape[self.batch_axis] = samples
        if self.follows_size:
            shape[2:] = item[1:]
        return tuple(shape)

    def _given(self, value: FeedValue, shape: Shape, samples: int) -> Array:
        axis = self.batch_axis
        item = shape if axis is None else (*shape[:axis], *shape[axis + 1 :])
        values = np.asarray(value(item) if callable(value) else value, np.float32)
        if values.size == 1:
            return np.full(shape, values.reshape(()), np.float32)
        rows = _one_sample(values, item)
        if rows is not None:
            return np.array(np.broadcast_to(rows if axis is None else np.expand_dims(rows, axis), shape))
        fits = values.ndim == len(shape) and all(
            k == axis or values.shape[k] == size or (k > 1 and len(shape) == 4 and not self.follows_size) for k, size in enumerate(shape)
        )
        if not fits:
            allowed = " or ".join(dict.fromkeys([str(item), str(self.shape)]))
            raise UsageError(
                f"the feed of input '{self.blob}' has the shape {values.shape}, but has to be one number or of shape {allowed}"
            )
        if axis is None:
            return values
        if samples % values.shape[axis]:
            raise ShapeError(
                f"the feed of input '{self.blob}' is for {values.shape[axis]} samples, but the batch has {samples}; "
                "give one sample's, which serves every sample of any batch"
            )
        return np.repeat(values, samples // values.shape[axis], axis)

    def _boxes(self, samples: int, item: Shape) -> Array:
        """Return boxes (image, x, y, x, y) of each sample, the same for all."""
        if self.value is None:
            per_sample = self.shape[0] if self.batch_axis is None else 1
            height, width = item[1:3] if len(item) == 3 else (1, 1)
            one = np.tile(np.array([0, 0, 0, width - 1, height - 1], np.float32), (per_sample, 1))
        else:
            one = np.array(self.value(self.shape) if callable(self.value) else self.value, np.float32)
            if one.size % 5 or one.size == 0:
                raise UsageError(f"the feed of input '{self.blob}' has the shape {one.shape}, but has to be rows of (image, x, y, x, y)")
        one = one.reshape(-1, 5)
        rows = np.tile(one, (samples, 1))
        rows[:, 0] += np.repeat(np.arange(samples), len(one))
        return rows.reshape(-1, *self.shape[1:])

    def describe(self) -> Any:
        """Return what a result file says of it: the numbers where they are few, else a hash; fit for JSON."""
        if self.value is None:
            return str(self)
        if callable(self.value):
            return getattr(self.value, "description", "computed")
        values = self.value
        if values.size <= _SHOWN:
            return [float(v) for v in values.reshape(-1)]
        digest = hashlib.sha256(str(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()
        return {"shape": list(values.shape), "sha256": digest}

    def __str__(self) -> str:
        """Return a sentence's end: ``is fed zeros``."""
        if self.value is not None:
            return "is fed what was given"
        if self.role == "marks":
            return "is fed 0 at the first step and 1 after it"
        return {"size": "is fed the input's height and width, and 1", "rois": "is fed the whole image"}.get(self.role, "is fed zeros")


def _one_sample(values: Array, item: Shape) -> Array | None:
    """Return values as one sample's; None where they are not."""
    if values.size != math.prod(item):
        return None
    plain = tuple(size for size in values.shape if size != 1)
    if values.ndim == 1 or values.shape == item or plain == tuple(size for size in item if size != 1):
        return values.reshape(item)
    return None


class Feeds:
    """Which input of a net is optimized, and what the others are fed.

    Parameters
    ----------
    definition : NetDef
        The net as read.
    optimized : str, optional
        The input that is optimized; by default the image, as `dreamopt.schema.input_roles.choose_input` finds it.
    given : mapping of str to FeedValue
        What the others are fed, where it is not the default.

    Raises
    ------
    UsageError
        For a name that is no input, or that of the one that is optimized; for an array that does not fit.

    Attributes
    ----------
    optimized : str
        The input that is optimized.
    others : dict of str to Feed
        The other ones.
    """

    def __init__(self, definition: NetDef, optimized: str | None = None, given: Mapping[str, FeedValue] | None = None) -> None:
        shapes = input_shapes(definition)
        layers = definition.param.layer
        roles = input_roles(layers, list(shapes))
        self.optimized = choose_input(roles, shapes) if optimized is None else optimized
        _require(self.optimized, shapes, "optimized")
        for name in given or {}:
            _require(name, shapes, "fed")
            if name == self.optimized:
                raise UsageError(
                    f"input '{name}' is the one that is optimized, and cannot be fed too; choose another with input= (--input)"
                )
        self.shape = shapes[self.optimized]
        main = self.shape
        batch = main[0] if main else 1
        main_is_time_first = reads_time_first(layers, self.optimized)
        self.notes: list[str] = []
        if main_is_time_first:
            self.notes.append(
                f"the first axis of input '{self.optimized}' {main} is time (a recurrent layer reads it): "
                "the samples of a batch are its time steps"
            )
        self.others: dict[str, Feed] = {}
        for name, shape in shapes.items():
            if name == self.optimized:
                continue
            axes = (1, 0) if reads_time_first(layers, name) and not main_is_time_first else (0,)
            axis = next((axis for axis in axes if axis < len(shape) and shape[axis] == batch), None)
            follows = len(shape) == len(main) == 4 and shape[2:] == main[2:] and main[2] * main[3] > 1
            feed = Feed(name, shape, roles[name], axis, follows, (given or {}).get(name))
            if feed.value is not None and not callable(feed.value):
                feed.array(max(1, batch if axis is None or feed.value.ndim != len(shape) else feed.value.shape[axis]), main[1:])
            self.others[name] = feed

    def arrays(self, names: Iterable[str], samples: int, item: Shape) -> dict[str, Array]:
        """Return what those of these inputs that are not optimized are fed in a pass of so many samples."""
        return {name: self.others[name].array(samples, item) for name in names if name in self.others}

    def shapes(self, names: Iterable[str], samples: int, item: Shape) -> dict[str, Shape]:
        """Return the shapes of `arrays`, also for a number of samples that what was given does not fit."""
        return {name: self.others[name].fed_shape(samples, item) for name in names if name in self.others}

    @property
    def changes(self) -> list[str]:
        """One sentence for each input that is not optimized and that a layer reads."""
        return [f"input '{name}' {feed.shape} {feed}" for name, feed in self.others.items() if feed.role != "unread"]

    def describe(self) -> dict[str, Any]:
        """Return what a result file says of the inputs that were given something."""
        return {name: feed.describe() for name, feed in self.others.items() if feed.value is not None}


def input_shapes(definition: NetDef) -> dict[str, Shape]:
    """Return the shapes of a net's inputs by name, in the file's order."""
    shapes: dict[str, Shape] = {}
    for layer in definition.param.layer:
        if layer.type == "Input":
            stored = [tuple(shape.dim) for shape in layer.input_param.shape]
            shapes |= {top: stored[k if len(stored) > 1 else 0] if stored else () for k, top in enumerate(layer.top)}
    return shapes


def _require(name: str, inputs: Iterable[str], what: str) -> None:
    known: Sequence[str] = list(inputs)
    if name not in known:
        hint = suggest(name, known)
        raise UsageError(
            f"'{name}' is to be {what}, but the net's inputs are {', '.join(map(repr, known))}" + (f"; {hint}" if hint else "")
        )
