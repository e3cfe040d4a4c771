"""Interp."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import interpolate

from dreamopt.engine.layer import MAP, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import same_rank, text


class Interp(Layer):
    """A map in another size by bilinear interpolation, corners upon corners.

    Of the rows and columns that ``pad_beg`` and ``pad_end`` (0 or less) leave, n become ``(n - 1) // shrink_factor + 1``, or
    ``(n - 1) zoom_factor + 1``, or ``height`` (``width``); with both factors and no height first the one, then the other. A
    factor on its own goes before a height, a height before two factors. Instead of all these, a second bottom may give its own
    height and width. Row i of the top is at ``i (n - 1) / (top - 1)`` of the bottom. Not in Caffe 1.0.

    References
    ----------
    DeepLab's Caffe and hszhao/PSPNet, InterpLayer.
    """

    fork = "DeepLab, PSPNet, ICNet"
    differs = "of several sizes given one counts, as the class's docstring says; a second bottom may give the size"
    examples = (
        Example("interp_param { height: 7 width: 9 }"),
        Example("interp_param { shrink_factor: 2 pad_beg: -1 }"),
        Example("interp_param { pad_end: -1 }", (MAP, (1, 2, 7, 3)), fixed=(1,)),
    )
    bottoms = (1, 2)
    fixed: bool

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the size."""
        p = self.param.interp_param
        factors = [name for name in ("zoom_factor", "shrink_factor") if p.HasField(name)]
        has_size = p.HasField("height") and p.HasField("width")
        self.fixed = has_size and len(factors) != 1
        if len(bottoms) == 2 and (has_size or factors):
            self.fail("the second bottom gives the size; allowed beside it are pad_beg and pad_end only")
        if len(bottoms) == 1 and not (has_size or factors):
            self.fail("the size has to be given: height and width, zoom_factor, shrink_factor, or a second bottom of that size")
        for name in ("height", "width") if self.fixed else factors:
            if getattr(p, name) < 1:
                self.fail(f"{name} is {getattr(p, name)}; allowed is 1 and more")
        if max(p.pad_beg, p.pad_end) > 0:
            self.fail(f"pad_beg and pad_end are {p.pad_beg} and {p.pad_end}; allowed is 0 and less, which leaves rows out")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (N, C, height, width)."""
        for b in bottoms:
            same_rank(self, b, 4, "Interp")
        p = self.param.interp_param
        left = tuple(d + p.pad_beg + p.pad_end for d in bottoms[0][2:])
        if min(left) < 1:
            self.fail(f"nothing is left of the bottom of shape {text(bottoms[0])} without {-p.pad_beg} first and {-p.pad_end} last rows")
        if len(bottoms) == 2:
            return [(*bottoms[0][:2], *bottoms[1][2:])]
        if self.fixed:
            return [(*bottoms[0][:2], p.height, p.width)]
        return [(*bottoms[0][:2], *((d - 1) // p.shrink_factor * p.zoom_factor + 1 for d in left))]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that with a zoom alone each row depends on the two around it; else where rows lie depends on how many there are."""
        p = self.param.interp_param
        if len(bottoms) == 2 or self.fixed or p.pad_beg or p.pad_end or p.shrink_factor != 1:
            return None
        z = p.zoom_factor
        return Reach((2 * z - 1, 2 * z - 1), pad=(z - 1, z - 1), up=(z, z))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Cut, and interpolate."""
        p, x = self.param.interp_param, bottoms[0]
        height, width = self.shape([tuple(b.shape) for b in bottoms])[0][2:]
        cut = x[:, :, -p.pad_beg : x.shape[2] + p.pad_end, -p.pad_beg : x.shape[3] + p.pad_end]
        return [interpolate(cut, (height, width), mode="bilinear", align_corners=True)]
