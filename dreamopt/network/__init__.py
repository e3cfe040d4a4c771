"""A trained net and how images become its input: a differentiable function *image -> activations*."""

from dreamopt.image.nets import register_loader
from dreamopt.network.choice import choose_layer
from dreamopt.network.load import EMBEDDED, load_net
from dreamopt.network.network import Network, Size
from dreamopt.network.preprocessing import Preprocessing

register_loader(load_net)  # for parametrizations that are given a generator by its files

__all__ = ["EMBEDDED", "Network", "Preprocessing", "Size", "choose_layer", "load_net"]
