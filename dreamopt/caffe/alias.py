"""Let ``import caffe`` mean `dreamopt.caffe`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator

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


def install(old_names: bool = False) -> None:
    """Make ``import caffe``, and imports of pycaffe's modules, mean dreamopt's, in this process from now on.

    Parameters
    ----------
    old_names : bool
        Also add what old scripts use of other libraries and today's versions lack: ``np.float``, ``scipy.misc.imread`` ...

    Examples
    --------
    >>> import dreamopt.caffe.alias
    >>> dreamopt.caffe.alias.install()  # doctest: +SKIP
    >>> import caffe  # doctest: +SKIP
    """
    sys.modules.update({name: importlib.import_module(ours) for name, ours in _MODULES.items()})
    if old_names:
        from dreamopt.caffe.legacy.names import install as add_old_names

        add_old_names()


@contextlib.contextmanager
def temporary_caffe_module() -> Iterator[None]:
    """Let ``import caffe`` mean dreamopt's within a block, where this Python has no Caffe: modules of Python layers import it."""
    if "caffe" in sys.modules or importlib.util.find_spec("caffe") is not None:
        yield
        return
    install()
    try:
        yield
    finally:
        for name in _MODULES:
            sys.modules.pop(name, None)
