"""Copies of images that count as images: each has its image's objective, and draws of its own."""

from __future__ import annotations

import torch

from dreamopt.attribution.score import ScoreFunction
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.network import Network
from dreamopt.objective import each
from dreamopt.objective.strings import as_objective


def test_copies_have_the_objective_of_their_image() -> None:
    weights = torch.tensor([[1.0, 2.0], [-3.0, 5.0], [7.0, -11.0]])
    network = Network(FunctionBackend([("fc", "InnerProduct", lambda x: (x * x) @ weights.T)], (2,)))
    score = ScoreFunction(network, each([as_objective("fc:0").bind(network), as_objective("fc:2").bind(network)]))
    copies = torch.arange(24.0).reshape(12, 2)  # two images, three copies of each, two copies of each copy
    values, gradients = score.of_copies(3).gradients(copies, 2)
    rows = [0] * 6 + [2] * 6
    assert values.shape == (6, 2)
    expected = torch.stack([copies[i].square() @ weights[row] for i, row in enumerate(rows)])
    torch.testing.assert_close(values.flatten(), expected)
    torch.testing.assert_close(score.of_copies(3).values(copies, 2), values)
    torch.testing.assert_close(gradients, torch.stack([2 * copies[i] * weights[row] for i, row in enumerate(rows)]))
    torch.testing.assert_close(score.of_copies(3).of_copies(2).values(copies)[:, 0], expected)


def test_copies_draw_other_numbers() -> None:
    network = Network(FunctionBackend([("fc", "InnerProduct", lambda x: x)], (2,)))
    score = ScoreFunction(network, as_objective("fc:0").bind(network), seed=5)
    draws = [
        one.stream.uniform("noise", 0, 1, 3) for one in (score, score.of_copies(1), score.of_copies(2), score.of_copies(1).of_copies(1))
    ]
    assert draws[1] == draws[2]
    assert len({tuple(draw) for draw in draws}) == 3
