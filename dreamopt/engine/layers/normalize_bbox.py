"""NormalizeBBox."""

from dreamopt.engine.layer import Example
from dreamopt.engine.layers.normalize import Normalize
from dreamopt.schema.caffe_pb2 import NormalizeParameter


class NormalizeBBox(Normalize):
    """`Normalize` under the name that NVIDIA's Caffe gave it, with ``normalize_bbox_param``.

    References
    ----------
    NVIDIA/caffe, NormalizeBBoxLayer.
    """

    fork = "NVIDIA's SSD"
    examples = (Example("normalize_bbox_param { across_spatial: false channel_shared: false eps: 0.1 }"),)

    @property
    def options(self) -> NormalizeParameter:
        """The layer's parameters."""
        return self.param.normalize_bbox_param
