"""``import dreamopt.caffe as caffe``: pycaffe's face, with no Caffe behind it.

Examples
--------
>>> import dreamopt.caffe as caffe
>>> caffe.set_mode_cpu()
>>> caffe.TEST
1
"""

from dreamopt.caffe import io
from dreamopt.caffe.classifier import Classifier
from dreamopt.caffe.mode import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from dreamopt.caffe.net import Net
from dreamopt.engine import Blob, Layer
from dreamopt.engine import known_types as layer_type_list
from dreamopt.engine.net import TEST, TRAIN

__all__ = [
    "TEST",
    "TRAIN",
    "Blob",
    "Classifier",
    "Layer",
    "Net",
    "io",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]
