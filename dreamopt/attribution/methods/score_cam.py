"""Score-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.attribution.baselines import Baseline, baseline_images, checked_baseline
from dreamopt.attribution.cam import Cam, upsampled
from dreamopt.attribution.masking import blended
from dreamopt.attribution.score import ScoreFunction
from dreamopt.parts.checks import COUNT, Fields


@dataclass(frozen=True)
class ScoreCam(Cam):
    r"""Where a layer has what speaks for the score: its channels' maps, each weighted by the score of what it shows of the image.

    .. math:: M = \max\Big(0, \sum_k w_k A_k\Big), \quad w = \operatorname{softmax}_k s\Big(x_0 + (x - x_0) \odot
        \frac{U(A_k) - \min U(A_k)}{\max U(A_k) - \min U(A_k)}\Big)

    with the layer's map A, scaled to the image by U, linear between places, and the baseline :math:`x_0`. It needs no gradient, but one
    pass for each channel. The paper subtracts the score of the baseline, which the softmax does not notice. The softmax takes scores
    as they are: of logits, as published, a difference of 5 leaves a channel without weight; an activation whose values lie in the hundreds
    leaves one channel alone. A channel that is the same at all places shows nothing, and has the baseline's score.

    Parameters
    ----------
    layer : str or tuple of str, optional
        Whose maps; the name of an in-place ReLU means the value after it. By default the highest layer with a map below the objective. Of
        several layers the maps, each divided by its largest absolute value, are averaged.
    relu : bool
        Cut the sum at 0 from below, as published; it has values below 0 only where the layer's own have.
    channels : int, optional
        Take only so many channels, those whose values vary most over places, which saves time in proportion; all by default.
    baseline : str, float or tuple
        What stands where nothing is visible: "mean" (0 of the net's input space, as published), "black", "grey", "white", "blur", a grey
        level, or (red, green, blue).

    References
    ----------
    .. [1] Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", 2020.

    Examples
    --------
    >>> print(ScoreCam(channels=64))
    score_cam(channels=64)
    """

    examples: ClassVar[tuple[str, ...]] = ("score_cam()", "score_cam(channels=3, relu=False)")

    channels: int | None = None
    baseline: Baseline = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self).whole("channels", COUNT, optional=True)
        object.__setattr__(self, "baseline", checked_baseline(self.baseline))

    def evaluations(self) -> int | None:
        """Return None: it depends on the number of the layer's channels."""
        return None

    def layer_maps(self, score: ScoreFunction, images: Tensor, layer: str) -> Tensor:
        """Return the layer's maps weighted by the softmax of the scores of what each shows."""
        maps = score.activations(images, [layer])[layer]
        if self.channels is not None and self.channels < maps.shape[1]:
            order = maps.flatten(2).var(2).argsort(dim=1, descending=True, stable=True)[:, : self.channels]
            maps = torch.stack([own[numbers] for own, numbers in zip(maps, order, strict=True)])
        hidden = baseline_images(self.baseline, images, score.space)
        scores = []
        for part in score.parts(len(images), maps.shape[1]):
            visible = _from_0_to_1(upsampled(maps[:, part.start : part.stop], images.shape[2:]))
            scores.append(score.values(blended(images, hidden, visible), len(part)))
        weights = torch.cat(scores, 1).softmax(1)
        return (weights.view(*weights.shape, *(1 for _ in maps.shape[2:])) * maps).sum(1, keepdim=True)


def _from_0_to_1(maps: Tensor) -> Tensor:
    """Return maps (N, K, ...) scaled so that each reaches from 0 to 1; 0 everywhere where it is the same at all places."""
    flat = maps.flatten(2)
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    extent = high - low
    return ((flat - low) / torch.where(extent > 0, extent, 1)).view_as(maps)
