"""``caffe.Detector``: a net asked about windows of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from dreamopt.caffe import io
from dreamopt.caffe.net import Net
from dreamopt.errors import ShapeError, UsageError

Array = npt.NDArray[Any]
Windows = Iterable[tuple[str | os.PathLike[str], Sequence[Sequence[float]]]]


class Detector(Net):
    """A net that classifies windows of images.

    Parameters
    ----------
    model_file, pretrained_file : path
        Prototxt and caffemodel; the phase is TEST.
    mean, input_scale, raw_scale, channel_swap
        For the `transformer`; see `dreamopt.caffe.io.Transformer`.
    context_pad : int, optional
        Width, in pixels of the net's input, of a border in which the window's surroundings are seen, as in R-CNN; what lies
        beyond the image is filled with the mean.

    References
    ----------
    R. Girshick et al., Rich feature hierarchies for accurate object detection and semantic segmentation, 2014, appendix A.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str],
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, weights=pretrained_file, phase="TEST")
        self.transformer = io.Transformer.for_images(
            self.inputs[0], self.blobs[self.inputs[0]].shape, mean, input_scale, raw_scale, channel_swap
        )
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the border of context, and the mean image that fills it, in the range of the images given."""
        name = self.inputs[0]
        channels, height, width = self.blobs[name].shape[1:]
        self.crop_dims = np.array((height, width, channels))
        self.context_pad = context_pad
        mean = self.transformer.mean.get(name)
        mean_image = np.zeros((channels, height, width), np.float32) if mean is None else np.broadcast_to(mean, (channels, height, width))
        swap = self.transformer.channel_swap.get(name)
        if swap is not None:
            mean_image = mean_image[np.argsort(swap)]
        self.crop_mean: Array = mean_image.transpose(1, 2, 0) / self.transformer.raw_scale.get(name, 1.0)

    def detect_windows(self, images_windows: Windows) -> list[dict[str, Any]]:
        """Return the net's first output for each window of each image.

        Parameters
        ----------
        images_windows : iterable of (path, windows)
            A window is (ymin, xmin, ymax, xmax), in pixels.

        Returns
        -------
        list of dict
            With the keys ``window``, ``prediction`` and ``filename``.
        """
        name = self.inputs[0]
        detections: list[dict[str, Any]] = []
        crops = []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                crops.append(self.transformer.preprocess(name, self.crop(image, window)))
                detections.append({"window": window, "filename": filename})
        if not crops:
            return []
        arrays: dict[str, Any] = {name: np.asarray(crops, np.float32)}
        for detection, prediction in zip(detections, self.forward_all(**arrays)[self.outputs[0]], strict=True):
            detection["prediction"] = prediction
        return detections

    def detect_selective_search(self, image_fnames: Sequence[str]) -> NoReturn:
        """Raise a UsageError: selective search is a MATLAB program."""
        raise UsageError("selective search is a MATLAB program that dreamopt does not run: give windows of any source to detect_windows")

    def crop(self, im: Array, window: Sequence[float]) -> Array:
        """Cut a window, with its context where the detector has some.

        Parameters
        ----------
        im : ndarray
            (H, W, K).
        window : sequence of float
            (ymin, xmin, ymax, xmax).

        Returns
        -------
        ndarray
            The window; with context, an image of the net's input size.

        Raises
        ------
        ShapeError
            If the window has no area inside the image.
        """
        y0, x0, y1, x1 = (int(v) for v in window)
        visible = im[max(y0, 0) : y1, max(x0, 0) : x1]
        if visible.size == 0:
            raise ShapeError(f"the window {tuple(window)} holds nothing of an image of {im.shape[0]} x {im.shape[1]} pixels")
        if not self.context_pad:
            return visible
        size = int(self.crop_dims[1])
        low, high, position = zip(
            *(self._span(a, b, full, size) for a, b, full in ((y0, y1, im.shape[0]), (x0, x1, im.shape[1]))), strict=True
        )
        resized = io.resize_image(im[low[0] : high[0], low[1] : high[1]], [p[1] - p[0] for p in position])
        image: Array = np.ones(tuple(self.crop_dims), np.float32) * self.crop_mean
        (top, bottom), (left, right) = position
        image[top:bottom, left:right] = resized
        return image

    def _span(self, first: int, last: int, full: int, size: int) -> tuple[int, int, tuple[int, int]]:
        """Return, along one axis, where the widened window begins and ends in the image, and its position in the net's input."""
        half = (last - first + 1) / 2
        middle = first + half
        scale = size / (size - 2 * (self.context_pad or 0))
        wide_first, wide_last = np.round(middle - scale * half), np.round(middle + scale * half)
        zoom = size / (wide_last - wide_first + 1)
        begin = round(max(0, -wide_first) * zoom)
        low, high = int(np.clip(wide_first, 0, full)), int(np.clip(wide_last, 0, full))
        end = min(begin + round((high - low + 1) * zoom), size)
        return low, high, (int(begin), int(end))
