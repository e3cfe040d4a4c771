"""``caffe.proto.caffe_pb2``: real protobuf classes, which ``google.protobuf.text_format`` can fill and print.

All of Caffe 1.0's messages that nets, weights and data are made of; not the solver's.
"""

from typing import NoReturn

from dreamopt.schema.caffe_pb2 import *  # noqa: F403 - all of it, under Caffe's name


def __getattr__(name: str) -> NoReturn:
    if name.startswith("Solver"):
        raise AttributeError(
            f"caffe_pb2.{name} is for training, which dreamopt leaves to Caffe; it has the messages of nets, weights and data"
        )
    raise AttributeError(f"module 'caffe.proto.caffe_pb2' has no attribute '{name}'")
