"""Upsample."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import MAP, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import same_rank, text
from dreamopt.engine.layers._places import scatter


class Upsample(Layer):
    """A larger map: the values at the places that a mask names (SegNet's), or each repeated over a square (YOLO v3's).

    With a mask, the second bottom, a value of the first goes to place ``y width + x`` of a map of zeros; the mask is the second
    top of a MAX `Pooling`. The top's size is ``upsample_h`` by ``upsample_w``, or the bottom's times ``scale`` (``scale_h``,
    ``scale_w``; default 2), less one row or column with ``pad_out_h`` or ``pad_out_w``. Of several values for one place the last
    counts, and has the gradient.

    Without a mask, each value fills a square of ``scale`` by ``scale`` (default 1, as that fork's). Not in Caffe 1.0.

    References
    ----------
    alexgkendall/caffe-segnet, UpsampleLayer; Badrinarayanan et al., SegNet, 2015. ChenYingpeng/darknet2caffe, UpsampleLayer.
    """

    fork = "SegNet, ENet, YOLO v3"
    differs = (
        "SegNet's and ENet's, with a mask; of several values for one place the last counts and has the gradient (the fork gives "
        "it to all). YOLO's, without a mask: each value fills a square"
    )
    examples = (
        Example(shapes=(MAP, MAP), labels=(1,)),
        Example("upsample_param { scale: 3 }"),
        Example("upsample_param { upsample_h: 7 upsample_w: 9 }", (MAP, MAP), labels=(1,)),
    )
    bottoms = (1, 2)
    scale: Shape

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the size."""
        p = self.param.upsample_param
        if len(bottoms) == 1:
            factor = p.scale if p.HasField("scale") else 1
            self.scale = (factor, factor)
            others = [field.name for field, _ in p.ListFields() if field.name != "scale"]
            if others or factor < 1:
                self.fail(f"without a mask it takes a scale of 1 and more, but has {', '.join(others) or 'scale 0'}")
            return ()
        for name in ("upsample", "scale"):
            if p.HasField(f"{name}_h") != p.HasField(f"{name}_w"):
                self.fail(f"{name}_h and {name}_w have to be given together")
        if p.HasField("scale") and p.HasField("scale_h") and not p.HasField("upsample_h"):
            self.fail("scale and scale_h are both given; allowed is one of the two")
        self.scale = (p.scale_h, p.scale_w) if p.HasField("scale_h") else (p.scale, p.scale)
        if p.HasField("upsample_h"):
            if min(p.upsample_h, p.upsample_w) < 2:
                self.fail(f"upsample_h and upsample_w are {p.upsample_h} and {p.upsample_w}; allowed is 2 and more")
            return ()
        if min(self.scale) < 2:
            self.fail(f"the scale is {text(self.scale)}; allowed is 2 and more")
        if (p.pad_out_h and self.scale[0] != 2) or (p.pad_out_w and self.scale[1] != 2):
            self.fail(f"the scale is {text(self.scale)}; pad_out_h and pad_out_w are for scale 2 only")
        return ()

    def size(self, x: Sequence[int]) -> Shape:
        """Return the top's height and width for a bottom of this shape."""
        p = self.param.upsample_param
        if p.HasField("upsample_h"):
            return p.upsample_h, p.upsample_w
        return x[2] * self.scale[0] - int(p.pad_out_h), x[3] * self.scale[1] - int(p.pad_out_w)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check that each value has its place."""
        same_rank(self, bottoms[0], 4, "Upsample")
        if len(bottoms) == 2 and bottoms[0] != bottoms[1]:
            self.fail(f"the bottom has shape {text(bottoms[0])}, the mask {text(bottoms[1])}; they have to be equal")
        return [(*bottoms[0][:2], *self.size(bottoms[0]))]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say how far the squares lie apart; a mask counts places of the whole map, and a size given is the whole map's."""
        return Reach((self.scale[0], self.scale[1]), up=(self.scale[0], self.scale[1])) if len(bottoms) == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Put the values where they belong."""
        if len(bottoms) == 1:
            return [bottoms[0].repeat_interleave(self.scale[0], 2).repeat_interleave(self.scale[1], 3)]
        return [scatter(self, bottoms[0], bottoms[1], self.size(bottoms[0].shape))]

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps where the values went."""
        return CaffeTraits(saves_forward_state=True)
