"""PriorBox."""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from dreamopt.engine.layer import MAP, Example, Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import same_rank

_MOST_BOXES = 10_000  # SSD has 6
_DENSE = {32: (-16.0, -8.0, 0.0, 8.0), 64: (-16.0, 0.0)}
"""FaceBoxes: by size, how far the centres of the squares in a grid are from the place's, in pixels."""


class PriorBox(Layer):
    """The boxes that SSD expects at each place of a map (first bottom), as parts of an image (second bottom).

    At row i and column j their centre is ``(j + offset) step_w, (i + offset) step_h``, a step being image size by map size
    unless it is given. For each ``min_size`` (cut to whole pixels, as the fork does) there is a square of it, then one of
    ``sqrt(min_size max_size)``, then for each further aspect ratio r, and 1 / r with ``flip``, a box of
    ``min_size sqrt(r)`` by ``min_size / sqrt(r)``. The top has shape 1x2xB: x1, y1, x2, y2 of all boxes, and as many
    variances. No gradient. Not in Caffe 1.0.

    With ``densified``, as in FaceBoxes, a square is less by one pixel, and those of 32 and 64 pixels stand in a grid: 4 x 4
    at -16, -8, 0 and 8 pixels from the centre, and 2 x 2 at -16 and 0, rows first.

    References
    ----------
    weiliu89/caffe, branch ssd, PriorBoxLayer; Liu et al., SSD, 2016. sfzhang15/FaceBoxes, PriorBoxLayer; Zhang et al., FaceBoxes, 2017.
    """

    fork = "SSD, FaceBoxes"
    differs = "no gradient: it reads its bottoms' shapes only; a net of FaceBoxes is known by the number of boxes that it regresses"
    examples = (
        Example("prior_box_param { min_size: 2 max_size: 3 aspect_ratio: 2 }", (MAP, (2, 3, 9, 8))),
        Example("prior_box_param { min_size: [32, 64, 128] densified: true }", (MAP, (2, 3, 90, 80))),
    )
    differentiable = False
    bottoms = (2, 2)
    sizes: list[tuple[float, float]]
    shifts: list[tuple[float, float]]
    variances: list[float]

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the parameters, and make the boxes' widths and heights."""
        p = self.param.prior_box_param
        if not p.min_size or min(p.min_size) <= 0:
            self.fail("min_size is missing or not above 0")
        if p.max_size and (len(p.max_size) != len(p.min_size) or any(b <= a for a, b in zip(p.min_size, p.max_size, strict=True))):
            self.fail("max_size has to be given as often as min_size, or never, and each has to be above its min_size")
        if any(r <= 0 for r in p.aspect_ratio):
            self.fail("aspect_ratio has to be above 0")
        if len(p.min_size) * (2 + 2 * len(p.aspect_ratio)) > _MOST_BOXES:
            sizes = f"{len(p.min_size)} sizes and {len(p.aspect_ratio)} aspect ratios"
            self.fail(f"there are {sizes}; allowed are {_MOST_BOXES} boxes at each place")
        if len(p.variance) not in (0, 1, 4) or any(v <= 0 for v in p.variance):
            self.fail("variance has to be given once or four times, and above 0")
        for name in ("img", "step"):
            both, h, w = (p.HasField(f"{name}{end}") for end in ("_size" if name == "img" else "", "_h", "_w"))
            if h != w or (both and h):
                self.fail(f"{name}_h and {name}_w have to be given together, and not beside one number for both")
        for name in ("img_size", "img_h", "img_w", "step", "step_h", "step_w"):
            if p.HasField(name) and getattr(p, name) <= 0:
                self.fail(f"{name} is {getattr(p, name):g}; allowed is above 0")
        self.variances = list(p.variance) * (4 if len(p.variance) == 1 else 1) or [0.1] * 4
        self._lay_out()
        return ()

    def _lay_out(self) -> None:
        """Make the boxes' widths and heights, and how far their centres are from the place's, in pixels."""
        p = self.param.prior_box_param
        ratios = [1.0]
        for r in p.aspect_ratio:
            if all(abs(r - known) >= 1e-6 for known in ratios):
                ratios += [r, 1 / r] if p.flip else [r]
        self.sizes, self.shifts = [], []
        for i, least in enumerate(map(int, p.min_size)):
            shifts = _DENSE.get(least, (0.0,)) if p.densified else (0.0,)
            self.shifts += [(x, y) for y in shifts for x in shifts]
            self.sizes += [(float(least - p.densified),) * 2] * len(shifts) ** 2
            if p.max_size:
                self.sizes.append((sqrt(least * int(p.max_size[i])),) * 2)
            self.sizes += [(least * sqrt(r), least / sqrt(r)) for r in ratios[1:]]
            self.shifts += [(0.0, 0.0)] * (len(self.sizes) - len(self.shifts))

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (1, 2, 4 boxes)."""
        for b in bottoms:
            same_rank(self, b, 4, "PriorBox")
        return [(1, 2, count(bottoms[0], 2) * len(self.sizes) * 4)]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Lay the boxes out; the bottoms' values do not count."""
        p, x = self.param.prior_box_param, bottoms[0]
        rows, columns = x.shape[2:]
        height, width = (p.img_h, p.img_w) if p.HasField("img_h") else (p.img_size, p.img_size)
        if not height:
            height, width = bottoms[1].shape[2:]
        step_h, step_w = (p.step_h, p.step_w) if p.HasField("step_h") else (p.step, p.step)
        if not step_h:
            step_h, step_w = height / rows, width / columns
        size = torch.tensor(self.sizes, dtype=torch.float64)
        cx, cy = ((torch.arange(n, dtype=torch.float64) + p.offset) * step for n, step in ((columns, step_w), (rows, step_h)))
        centre = torch.stack([cx.expand(rows, columns), cy[:, None].expand(rows, columns)], 2)[:, :, None]
        centre = centre + torch.tensor(self.shifts, dtype=torch.float64)
        boxes = torch.cat([centre - size / 2, centre + size / 2], 3) / torch.tensor([width, height] * 2)
        if p.clip:
            boxes = boxes.clamp(0, 1)
        variances = torch.tensor(self.variances, dtype=torch.float64).expand(boxes.shape)
        return [torch.stack([boxes.flatten(), variances.flatten()])[None].to(x)]
