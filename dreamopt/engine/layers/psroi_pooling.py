"""PSROIPooling."""

from collections.abc import Sequence
from math import ceil, floor

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape, Weight
from dreamopt.engine.layers._axes import same_rank, text


class PSROIPooling(Layer):
    """The average of each of ``group_size`` g by g parts of a box, each part out of channels of its own.

    Part (i, j) of channel c is averaged over channel ``(c g + i) g + j`` of the bottom. A box is (item, x1, y1, x2, y2); it spans
    ``s round(x1)`` to ``s (round(x2) + 1)``, s being ``spatial_scale``, at least 0.1 wide and high. A part of it goes from the floor
    of its beginning to the ceiling of its end; one outside the map is 0. No gradient reaches the boxes. Not in Caffe 1.0.

    References
    ----------
    daijifeng001/caffe-rfcn, PSROIPoolingLayer; Dai et al., R-FCN, 2016.
    """

    fork = "R-FCN"
    differs = "windows are cut in float64; no gradient reaches the boxes"
    examples = (Example("psroi_pooling_param { output_dim: 2 group_size: 3 spatial_scale: 2 }", ((2, 18, 5, 4), (4, 5)), labels=(1,)),)
    bottoms = (2, 2)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the parts."""
        p = self.param.psroi_pooling_param
        if min(p.output_dim, p.group_size) < 1:
            self.fail(f"output_dim and group_size are {p.output_dim} and {p.group_size}; allowed is 1 and more")
        if p.spatial_scale <= 0:
            self.fail(f"spatial_scale is {p.spatial_scale:g}; allowed is above 0")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (boxes, output_dim, group_size, group_size)."""
        p, (x, boxes) = self.param.psroi_pooling_param, bottoms
        same_rank(self, x, 4, "PSROIPooling")
        channels = p.output_dim * p.group_size**2
        if x[1] != channels:
            self.fail(f"the map has {x[1]} channels; output_dim {p.output_dim} and group_size {p.group_size} take {channels}")
        if len(boxes) < 2 or boxes[1] != 5 or any(d != 1 for d in boxes[2:]):
            self.fail(f"the boxes have shape {text(boxes)}; it takes 5 numbers for each box: item, x1, y1, x2, y2")
        return [(boxes[0], p.output_dim, p.group_size, p.group_size)]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pool box by box."""
        p, x = self.param.psroi_pooling_param, bottoms[0]
        boxes = bottoms[1].detach().reshape(-1, 5).tolist()
        by_part = x.reshape(x.shape[0], p.output_dim, p.group_size, p.group_size, *x.shape[2:])
        tops = [self._box(by_part, int(item), *corners) for item, *corners in boxes]
        return [torch.stack(tops) if tops else x.new_zeros(0, p.output_dim, p.group_size, p.group_size)]

    def _box(self, x: Tensor, item: int, x1: float, y1: float, x2: float, y2: float) -> Tensor:
        if not 0 <= item < len(x):
            self.fail(f"a box is of item {item}, but the bottom has items 0 to {len(x) - 1}")
        g, (height, width) = self.param.psroi_pooling_param.group_size, x.shape[-2:]
        rows, columns = self._parts(y1, y2, height), self._parts(x1, x2, width)
        parts = [
            x[item, :, i, j, slice(*rows[i]), slice(*columns[j])].flatten(1).sum(1)
            / max((rows[i][1] - rows[i][0]) * (columns[j][1] - columns[j][0]), 1)
            for i in range(g)
            for j in range(g)
        ]
        return torch.stack(parts, 1).reshape(-1, g, g)

    def _parts(self, first: float, last: float, size: int) -> list[tuple[int, int]]:
        """Return where the parts of a side begin and end on the map."""
        p = self.param.psroi_pooling_param
        begin, end = _round(first) * p.spatial_scale, (_round(last) + 1) * p.spatial_scale
        step = max(end - begin, 0.1) / p.group_size
        edges = [(floor(k * step + begin), ceil((k + 1) * step + begin)) for k in range(p.group_size)]
        return [(min(max(a, 0), size), max(min(max(b, 0), size), min(max(a, 0), size))) for a, b in edges]


def _round(x: float) -> float:
    """Round, halves away from 0, as C does."""
    return floor(abs(x) + 0.5) * (1 if x >= 0 else -1)
