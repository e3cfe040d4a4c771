"""BN."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import text
from dreamopt.schema.caffe_pb2 import FillerParameter


class BN(Layer):
    """Batch normalisation with a scale and a shift for each channel (axis 1), in the three forms that forks gave it.

    SegNet's and ENet's, where ``bn_mode``, ``scale_filler`` or ``shift_filler`` is given, has the weights scale and shift.
    INFERENCE is ``y = scale x + shift``, the statistics being inside the two. LEARN is
    ``y = scale (x - mean) / sqrt(var + 1e-9) + shift`` with the batch's own (biased) statistics, in TEST too.

    That of BVLC's pull request 1965, where ``var_eps``, ``decay`` or ``moving_average`` is given, and no ``slope_filler`` or
    ``bias_filler``, has the weights scale, shift, mean and variance:
    ``y = scale (x - mean) / sqrt(variance + var_eps) + shift``, in TEST with ``moving_average`` by the stored statistics, else
    by the batch's own.

    PSPNet's has the weights slope, bias, mean and variance: ``y = slope (x - mean) / sqrt(variance + eps) + bias``. It runs
    in TEST, or with ``frozen: true``; training statistics are left to Caffe. Not in Caffe 1.0.

    References
    ----------
    alexgkendall/caffe-segnet, BNLayer; yjxiong/caffe and hszhao/PSPNet, BNLayer; ChenglongChen/batch_normalization,
    BNLayer.
    """

    fork = "SegNet, ENet, PSPNet, Inception-BN"
    differs = (
        "three forms: that of BVLC's pull request 1965 (scale, shift, mean, variance) where `var_eps`, `decay` or "
        "`moving_average` is given, and no `slope_filler` or `bias_filler`; SegNet's and ENet's (scale, shift) where `bn_mode`, "
        "`scale_filler` or `shift_filler` is; else PSPNet's (slope, bias, mean, variance), which in TRAIN phase needs `frozen: "
        "true`"
    )
    examples = (
        Example("bn_param { bn_mode: INFERENCE }", positive=True),
        Example("bn_param { bn_mode: LEARN }", positive=True, per_sample=False),
        Example("bn_param { moving_average: true }", positive=True, fixed_weights=(2, 3)),
        Example(positive=True, fixed_weights=(2, 3)),
    )
    has_weights = True
    channels: int
    segnet: bool
    moving: bool

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want two or four weights of shape (1, C, 1, 1)."""
        p = self.param.bn_param
        if len(bottoms[0]) < 2:
            self.fail(f"the bottom has shape {text(bottoms[0])}; allowed are 2 axes and more")
        psp = p.HasField("slope_filler") or p.HasField("bias_filler")
        self.moving = not psp and any(p.HasField(field) for field in ("var_eps", "decay", "moving_average"))
        self.segnet = not self.moving and any(p.HasField(field) for field in ("bn_mode", "scale_filler", "shift_filler"))
        if not self.segnet and not self.moving and self.phase == "TRAIN" and not p.frozen:
            self.fail("it works in TEST, and with frozen: true; in TRAIN its statistics are left to Caffe")
        for name in ("eps", "var_eps"):
            if getattr(p, name) < 0:
                self.fail(f"{name} is {getattr(p, name):g}; allowed is 0 and more")
        self.channels = bottoms[0][1]
        shape, ones = (1, self.channels, 1, 1), FillerParameter(type="constant", value=1)
        if self.segnet or self.moving:
            own = [Weight(shape, p.scale_filler if p.HasField("scale_filler") else ones), Weight(shape, p.shift_filler)]
            return own if self.segnet else [*own, Weight(shape), Weight(shape, ones)]
        slope = p.slope_filler if p.HasField("slope_filler") else ones
        return [Weight(shape, slope), Weight(shape, p.bias_filler), Weight(shape), Weight(shape, ones)]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check the channels."""
        if len(bottoms[0]) < 2 or bottoms[0][1] != self.channels:
            self.fail(f"the bottom has shape {text(bottoms[0])}, but the net was made for {self.channels} channels on axis 1")
        return [bottoms[0]]

    @property
    def _is_stored(self) -> bool:
        """Whether the statistics are those of the weights, not the batch's own."""
        p = self.param.bn_param
        if self.segnet:
            return bool(p.bn_mode == p.INFERENCE)
        return bool(p.moving_average) and self.phase == "TEST" if self.moving else True

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that with stored statistics each place depends on the one at its place."""
        return POINTWISE if self._is_stored else None

    @property
    def is_affine(self) -> bool:
        """Say that it is."""
        return True

    def affine(self, bottom: Callable[[], Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what it multiplies by and adds; with the batch's statistics, those of this batch."""
        p = self.param.bn_param
        scale, shift, *stored = (w.reshape(-1) for w in weights)
        if self.segnet and p.bn_mode == p.INFERENCE:
            return scale, shift
        if self._is_stored:
            mean, variance = stored
        else:
            x = bottom()
            variance, mean = torch.var_mean(x, [axis for axis in range(x.dim()) if axis != 1], correction=0)
        factor = scale * torch.rsqrt(variance + self._eps)
        return factor, shift - mean * factor

    @property
    def _eps(self) -> float:
        p = self.param.bn_param
        return float(p.var_eps if self.moving else 1e-9 if self.segnet else p.eps)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Normalise, scale and shift."""
        p, x = self.param.bn_param, bottoms[0]
        scale, shift, *stored = (w.reshape(-1, *[1] * (x.dim() - 2)) for w in weights)
        if self.segnet and p.bn_mode == p.INFERENCE:
            return [x * scale + shift]
        if not self._is_stored:
            axes = [axis for axis in range(x.dim()) if axis != 1]
            var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        else:
            mean, var = (w.detach() for w in stored)
        return [(x - mean) / (var + self._eps).sqrt() * scale + shift]
