"""A trained net and how pictures become its input: a differentiable function *image -> activations*."""

from dreamopt.network.face import Network, Size
from dreamopt.network.load import BACKENDS, EMBEDDED, load_net
from dreamopt.network.space import InputSpace

__all__ = ["BACKENDS", "EMBEDDED", "InputSpace", "Network", "Size", "load_net"]
