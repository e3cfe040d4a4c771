"""``caffe.layer_type_list``."""

from dreamopt.engine import known_types

_READ_AS_INPUTS = ("Data", "HDF5Data", "ImageData", "MemoryData", "WindowData")


def layer_type_list() -> list[str]:
    """Return the types of layers that a net may have: those that run, and data layers, which become inputs."""
    return sorted({*known_types(), *_READ_AS_INPUTS})
