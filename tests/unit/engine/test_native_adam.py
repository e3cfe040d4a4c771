"""The native step of Adam beside torch's operators in float64."""

import pytest
import torch

from dreamopt.engine.native import adam
from tests.support.native import needs_kernels

pytestmark = needs_kernels


@pytest.mark.parametrize("shape", [(1,), (2, 3, 5), (1, 3, 41, 21, 2), (3, 40000)])
def test_a_step_is_that_of_the_formula(shape, kind):
    generator = torch.Generator().manual_seed(0)
    params, gradient, mean = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    square = torch.rand(shape, generator=generator, dtype=torch.float64)
    arguments = [values.float() for values in (params, gradient, mean, square)]
    assert adam.can_step(*arguments)
    before = [values.clone() for values in arguments]
    moved, mean_after, square_after = adam.step(*arguments, adam.Numbers(0.8, 0.95, 0.3, 1e-3))
    mean, square = mean + 0.2 * (gradient - mean), 0.95 * square + 0.05 * gradient**2
    torch.testing.assert_close(mean_after, mean.float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(square_after, square.float(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(moved, (params + 0.3 * mean / (square.sqrt() + 1e-3)).float(), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(after, values) for after, values in zip(arguments, before, strict=True))


def test_each_value_by_itself(kind):
    values = torch.randn(4, 50000, generator=torch.Generator().manual_seed(1))
    values[3] = values[3].abs()
    values[1, 7] = torch.nan
    numbers = adam.Numbers(0.9, 0.999, 2.0, 1e-8)
    whole = adam.step(*values, numbers)
    part = adam.step(*(row[33:] for row in values), numbers)
    assert all(torch.equal(a[33:], b) for a, b in zip(whole, part, strict=True))
    assert [after.isnan().nonzero().flatten().tolist() for after in whole] == [[7]] * 3


def test_other_tensors_take_torch(kind):
    values = torch.zeros(3, 4)
    assert not adam.can_step(values, values.double())
    assert not adam.can_step(values.T)
    assert not adam.can_step(values.to("meta"))
