"""The canvas: colours, and pictures to start from, on nets whose scale is negative too."""

import numpy as np
import pytest
import torch

import dreamopt
from dreamopt.image import Pixels
from dreamopt.image.colour import colour_tensor
from tests.support.toy import toy_network


@pytest.mark.parametrize("scale", [1.0, 0.017, -0.5])
def test_black_is_black_whatever_the_scale(scale: float) -> None:
    network = toy_network(scale=scale)
    picture = np.random.default_rng(0).integers(0, 256, (11, 13, 3)).astype(np.uint8)
    problem = dreamopt.Problem(network, "conv2:3", parametrization=Pixels(init=picture))
    np.testing.assert_allclose(network.to_rgb(problem.images(problem.start(0)))[0], picture, atol=1e-3)
    image = problem.start(0)
    for colour, level in (("black", 0.0), ("white", 255.0), ("grey", 127.5), (10.0, 10.0)):
        painted = colour_tensor(colour, image, problem.space).expand(3, 11, 13)[None]
        torch.testing.assert_close(network.to_rgb(painted), torch.full((1, 11, 13, 3), level, dtype=painted.dtype), atol=1e-3, rtol=0)
