"""ROIPooling."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, pad

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, Example, Layer, Shape, Weight
from dreamopt.engine.layers._axes import same_rank, text


class ROIPooling(Layer):
    """The largest value in each of ``pooled_h`` by ``pooled_w`` parts of a box, for each box of the second bottom.

    A box is (item, x1, y1, x2, y2); its corners, times ``spatial_scale`` and rounded, halves away from 0, are rows and
    columns of the map, both within the box, which is at least 1 by 1. Part i of n of h rows goes from ``floor(i h / n)`` to
    before ``ceil((i + 1) h / n)``; one that lies outside the map is 0. No gradient reaches the boxes. Not in Caffe 1.0.

    References
    ----------
    rbgirshick/caffe-fast-rcnn, ROIPoolingLayer; Girshick, Fast R-CNN, 2015.
    """

    fork = "Fast R-CNN"
    differs = "windows are cut by whole numbers (the fork: by float32); no gradient reaches the boxes"
    examples = (Example("roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 2 }", (MAP, (4, 5)), labels=(1,)),)
    bottoms = (2, 2)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the parts."""
        p = self.param.roi_pooling_param
        if min(p.pooled_h, p.pooled_w) < 1:
            self.fail(f"pooled_h and pooled_w are {p.pooled_h} and {p.pooled_w}; allowed is 1 and more")
        if p.spatial_scale <= 0:
            self.fail(f"spatial_scale is {p.spatial_scale:g}; allowed is above 0")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (boxes, C, pooled_h, pooled_w)."""
        p, (x, boxes) = self.param.roi_pooling_param, bottoms
        same_rank(self, x, 4, "ROIPooling")
        if len(boxes) < 2 or boxes[1] != 5 or any(d != 1 for d in boxes[2:]):
            self.fail(f"the boxes have shape {text(boxes)}; it takes 5 numbers for each box: item, x1, y1, x2, y2")
        return [(boxes[0], x[1], p.pooled_h, p.pooled_w)]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pool box by box."""
        p, x = self.param.roi_pooling_param, bottoms[0]
        boxes = bottoms[1].detach().reshape(-1, 5)
        corners = boxes[:, 1:] * p.spatial_scale
        corners = corners.sign() * (corners.abs() + 0.5).floor()
        whole = torch.cat([boxes[:, :1], corners], 1).long().tolist()
        if not whole:
            return [x.new_zeros(0, x.shape[1], p.pooled_h, p.pooled_w)]
        return [torch.stack([self._box(x, *box) for box in whole])]

    def _box(self, x: Tensor, item: int, x1: int, y1: int, x2: int, y2: int) -> Tensor:
        p, (height, width) = self.param.roi_pooling_param, x.shape[2:]
        if not 0 <= item < x.shape[0]:
            self.fail(f"a box is of item {item}, but the bottom has items 0 to {x.shape[0] - 1}")
        x2, y2 = max(x1, x2) + 1, max(y1, y2) + 1
        left, right = (min(max(v, 0), width) for v in (x1, x2))
        top, bottom = (min(max(v, 0), height) for v in (y1, y2))
        if left == right or top == bottom:
            return x.new_zeros(x.shape[1], p.pooled_h, p.pooled_w)
        lowest = torch.finfo(x.dtype).min
        part = pad(x[item, :, top:bottom, left:right], (left - x1, x2 - right, top - y1, y2 - bottom), value=lowest)
        y = adaptive_max_pool2d(part, (p.pooled_h, p.pooled_w))
        return torch.where(y > lowest, y, 0)

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps where the largest values were."""
        return CaffeTraits(saves_forward_state=True)
