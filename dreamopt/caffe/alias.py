"""Let ``import caffe`` mean `dreamopt.caffe`."""

from __future__ import annotations

import importlib
import sys

# pycaffe's modules, and what stands for each.
_MODULES = {
    "caffe": "dreamopt.caffe",
    "caffe._caffe": "dreamopt.caffe",
    "caffe.pycaffe": "dreamopt.caffe",
    "caffe.classifier": "dreamopt.caffe.classifier",
    "caffe.coord_map": "dreamopt.caffe.coord_map",
    "caffe.detector": "dreamopt.caffe.detector",
    "caffe.draw": "dreamopt.caffe.draw",
    "caffe.io": "dreamopt.caffe.io",
    "caffe.net_spec": "dreamopt.caffe.net_spec",
    "caffe.proto": "dreamopt.caffe.proto",
    "caffe.proto.caffe_pb2": "dreamopt.caffe.proto.caffe_pb2",
}


def install() -> None:
    """Make ``import caffe``, and imports of pycaffe's modules, mean dreamopt's, in this process from now on.

    Examples
    --------
    >>> import dreamopt.caffe.alias
    >>> dreamopt.caffe.alias.install()  # doctest: +SKIP
    >>> import caffe  # doctest: +SKIP
    """
    sys.modules.update({name: importlib.import_module(ours) for name, ours in _MODULES.items()})
