"""``caffe.Classifier``: a net with its transformer, asked about whole images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.caffe import io
from dreamopt.caffe.net import Net


class Classifier(Net):
    """A net that classifies images.

    Parameters
    ----------
    model_file, pretrained_file : path
        Prototxt and caffemodel; the phase is TEST.
    image_dims : (int, int), optional
        Height and width to which images are scaled before cropping; the input's own by default.
    mean, input_scale, raw_scale, channel_swap
        For the `transformer`; see `dreamopt.caffe.io.Transformer`.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str],
        image_dims: Sequence[int] | None = None,
        mean: npt.NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, weights=pretrained_file, phase="TEST")
        name = self.inputs[0]
        shape = self.blobs[name].shape
        self.transformer = io.Transformer.for_images(name, shape, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)

    def predict(self, inputs: Sequence[npt.NDArray[Any]], oversample: bool = True) -> npt.NDArray[np.float32]:
        """Return the net's first output for each image.

        Parameters
        ----------
        inputs : sequence of ndarray
            (H, W, K) each, in the range that ``raw_scale`` expects.
        oversample : bool
            Average over ten crops (corners, middle, mirrored); the middle alone otherwise.

        Returns
        -------
        ndarray
            (N, classes).
        """
        scaled = [io.resize_image(image, tuple(self.image_dims)) for image in inputs]
        if oversample:
            crops = io.oversample(scaled, tuple(self.crop_dims))
        else:
            y, x = (self.image_dims / 2.0 - self.crop_dims / 2.0).astype(int)
            height, width = self.crop_dims
            crops = np.asarray([image[y : y + height, x : x + width] for image in scaled])
        name = self.inputs[0]
        preprocessed = np.asarray([self.transformer.preprocess(name, crop) for crop in crops], np.float32)
        arrays: dict[str, Any] = {name: preprocessed}
        predictions = self.forward_all(**arrays)[self.outputs[0]]
        if oversample:
            predictions = predictions.reshape(len(predictions) // 10, 10, -1).mean(1)
        return predictions
