"""SpatialDropout."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import dropout

from dreamopt.engine.layer import Example
from dreamopt.engine.layers import dropout as plain


class SpatialDropout(plain.Dropout):
    """In TRAIN, each channel of each sample is 0 with probability ``dropout_ratio``, else ``x / (1 - ratio)``; in TEST, ``y = x``.

    Not in Caffe 1.0. ``dropout_param`` is Dropout's, ``scale_train`` too.

    References
    ----------
    Tompson et al., Efficient Object Localization Using Convolutional Networks, 2015; ENet's version of Caffe.
    """

    fork = "ENet"
    examples = (Example(), Example("dropout_param { scale_train: false }"))

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        p = self.param.dropout_param
        if self.phase == "TEST":
            return super().apply(x, weights)
        mask = dropout(x.new_ones(x.shape[:2] + (1,) * (x.dim() - 2)), p.dropout_ratio, training=True)
        return x * (mask if p.scale_train else (mask > 0))
