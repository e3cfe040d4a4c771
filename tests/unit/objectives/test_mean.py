"""The mean of a layer, and of its size."""

import numpy as np
import pytest
import torch

from dreamopt.objectives import Mean


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 7)])
def test_it_is_numpys(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(2).normal(size=shape)
    activations = {"a": torch.from_numpy(values).requires_grad_()}
    for absolute in (False, True):
        found = Mean("a", absolute)(activations)
        expected = (np.abs(values) if absolute else values).reshape(2, -1).mean(1)
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-12)
        (gradient,) = torch.autograd.grad(found.sum(), activations["a"])
        assert np.allclose(gradient.numpy(), (np.sign(values) if absolute else 1) / values[0].size, rtol=1e-12)
