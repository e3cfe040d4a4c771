"""Reorg."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import same_rank, text


class Reorg(Layer):
    """YOLO v2's passthrough: squares of ``stride`` s by s places become channels; with ``reverse``, channels become squares.

    With ``reverse``, channel k of C at (i, j) goes to channel ``k mod D`` at ``(i s + o div s, j s + o mod s)``, where
    ``D = C / s^2`` and ``o = k div D``. Without it, darknet runs the same rule backwards on the bottom's numbers taken for a map of
    ``C / s^2`` channels of ``H s`` by ``W s``, and takes the result for one of ``C s^2`` channels of ``H / s`` by ``W / s``, which
    mixes places and channels; weights were trained with that. Not in Caffe 1.0.

    References
    ----------
    pjreddie/darknet, reorg_layer; Redmon and Farhadi, YOLO9000, 2016.
    """

    fork = "YOLO v2"
    differs = "in darknet's order of channels"
    examples = (Example("reorg_param { stride: 2 }", ((2, 4, 6, 8),)), Example("reorg_param { stride: 2 reverse: true }", ((2, 12, 5, 3),)))

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the stride."""
        if self.param.reorg_param.stride < 1:
            self.fail("stride is missing or 0; allowed is 1 and more")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (N, C s^2, H / s, W / s), or with ``reverse`` (N, C / s^2, H s, W s)."""
        same_rank(self, bottoms[0], 4, "Reorg")
        p, (n, c, h, w) = self.param.reorg_param, bottoms[0]
        s = p.stride
        if c % (s * s) or (not p.reverse and (h % s or w % s)):
            self.fail(f"the bottom has shape {text(bottoms[0])}; stride {s} has to divide height and width, its square the channels")
        return [(n, c // (s * s), h * s, w * s) if p.reverse else (n, c * s * s, h // s, w // s)]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say how far the squares lie apart; the other way round, places and channels are mixed."""
        s = self.param.reorg_param.stride
        return Reach((s, s), up=(s, s)) if self.param.reorg_param.reverse or s == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Move the values."""
        x, s = bottoms[0], self.param.reorg_param.stride
        n, c, h, w = x.shape
        d = c // (s * s)
        top = self.shape([tuple(x.shape)])[0]
        if self.param.reorg_param.reverse:
            return [x.reshape(n, s, s, d, h, w).permute(0, 3, 4, 1, 5, 2).reshape(top)]
        return [x.reshape(n, d, h, s, w, s).permute(0, 3, 5, 1, 2, 4).reshape(top)]
