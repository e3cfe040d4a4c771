"""``caffe.io.Transformer``: from an image to a net's input, in Caffe's order of steps, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.caffe.images import resize_image
from dreamopt.errors import ShapeError, UsageError

Array = npt.NDArray[Any]


class Transformer:
    """The preprocessing of an image into a net's input.

    In this order: to float32, resize to the input's height and width, `transpose`, `channel_swap`, times `raw_scale`,
    minus `mean`, times `input_scale`. Each is a plain dict by input name; what is not set is left out.

    Parameters
    ----------
    inputs : mapping of str to tuple of int
        Shapes of the net's inputs, batch axis first: ``{"data": (1, 3, 227, 227)}``.

    Examples
    --------
    >>> import numpy as np
    >>> t = Transformer({"data": (1, 3, 4, 5)})
    >>> t.set_transpose("data", (2, 0, 1))
    >>> t.set_channel_swap("data", (2, 1, 0))
    >>> t.set_raw_scale("data", 255)
    >>> t.set_mean("data", np.array([104.0, 117.0, 123.0]))
    >>> t.preprocess("data", np.ones((4, 5, 3))).shape
    (3, 4, 5)
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    @classmethod
    def for_images(
        cls,
        name: str,
        shape: Sequence[int],
        mean: Array | None,
        input_scale: float | None,
        raw_scale: float | None,
        channel_swap: Sequence[int] | None,
    ) -> Transformer:
        """Make one for images (H, W, K), as `Classifier` and `Detector` use it; None leaves a step out."""
        transformer = cls({name: shape})
        transformer.set_transpose(name, (2, 0, 1))
        if mean is not None:
            transformer.set_mean(name, mean)
        if input_scale is not None:
            transformer.set_input_scale(name, input_scale)
        if raw_scale is not None:
            transformer.set_raw_scale(name, raw_scale)
        if channel_swap is not None:
            transformer.set_channel_swap(name, channel_swap)
        return transformer

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise UsageError(f"'{in_}' is not one of the net's inputs: {', '.join(self.inputs)}")
        return tuple(self.inputs[in_])

    def preprocess(self, in_: str, data: Array) -> Array:
        """Turn an image (H, W, K) into the input ``in_``, float32 (K, H, W)."""
        size = self._shape(in_)[2:]
        x: Array = data.astype(np.float32)
        if x.shape[:2] != size:
            x = resize_image(x, size)
        if in_ in self.transpose:
            x = x.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            x = x[list(self.channel_swap[in_])]
        for values, operation in ((self.raw_scale, np.multiply), (self.mean, np.subtract), (self.input_scale, np.multiply)):
            value = values.get(in_)
            if value is not None:
                x = operation(x, value).astype(np.float32, copy=False)
        return x

    def deprocess(self, in_: str, data: Array) -> Array:
        """Turn an input (K, H, W), or (1, K, H, W), back into an image; the resizing stays."""
        self._shape(in_)
        x: Array = data.copy().squeeze()
        if in_ in self.input_scale:
            x = x / self.input_scale[in_]
        if self.mean.get(in_) is not None:
            x = x + self.mean[in_]
        if in_ in self.raw_scale:
            x = x / self.raw_scale[in_]
        if in_ in self.channel_swap:
            x = x[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            x = x.transpose(np.argsort(self.transpose[in_]))
        return x.astype(data.dtype, copy=False)

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes; (2, 0, 1) turns (H, W, K) into (K, H, W)."""
        if len(order) != len(self._shape(in_)) - 1:
            raise ShapeError(
                f"transpose {tuple(order)} has {len(order)} axes; input '{in_}' has {len(self._shape(in_)) - 1} without its batch axis"
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels, after the transpose; (2, 1, 0) turns RGB into BGR."""
        if len(order) != self._shape(in_)[1]:
            raise ShapeError(f"channel swap {tuple(order)} names {len(order)} channels, but input '{in_}' has {self._shape(in_)[1]}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean is taken off: 255 for images in [0, 1] and nets that want 0-255."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set what is subtracted: (K,) for a number per channel, or (K, H, W), resized where it has another size.

        Raises
        ------
        ShapeError
            If it fits neither way.
        """
        shape = self._shape(in_)
        if mean.ndim == 1:
            if len(mean) != shape[1]:
                raise ShapeError(f"the mean has {len(mean)} channels, but input '{in_}' has {shape[1]}")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            if mean.ndim == 2:
                mean = mean[np.newaxis]
            if mean.ndim != 3:
                raise ShapeError(f"a mean has shape (K,), (H, W) or (K, H, W), not {mean.shape}")
            if mean.shape != shape[1:]:
                mean = resize_image(mean.transpose(1, 2, 0), shape[2:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean is taken off."""
        self._shape(in_)
        self.input_scale[in_] = scale
