"""What kernels do to each value by itself gives torch's numbers, in slices too."""

import pytest
import torch
from torch import Tensor

from dreamopt.engine.executor import masks
from dreamopt.engine.native import pointwise
from dreamopt.engine.native.layout import is_native
from tests.support.native import needs_kernels

pytestmark = needs_kernels


def sliced(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return values in a slice of a wider tensor's channels."""
    n, channels, height, width = shape
    whole = torch.randn(n, height, width, channels + 7, generator=torch.Generator().manual_seed(seed)).permute(0, 3, 1, 2)
    return whole[:, 3 : 3 + channels]


@pytest.mark.parametrize("shape", [(2, 37, 5, 6), (1, 8, 4, 3), (3, 5, 2, 1), (2, 64, 31, 29)])
def test_a_bit_for_each_value(kind: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "SMALL", 0)
    y, grad = sliced(shape, 1), sliced(shape, 2)
    assert is_native(y)
    y[0, 0, 0, 0], y[0, 1, 0, 0], y[0, 2, 0, 0] = 0.0, float("nan"), -0.0
    grad[0, 0, 0, 0], grad[0, 3, 0, 0] = float("nan"), float("inf")
    kept = masks.passed(y)
    assert kept.numel() == masks.mask_size(shape) == shape[0] * -(-shape[1] // 8) * shape[2] * shape[3]
    expected = torch.where(y <= 0, 0, grad)
    assert torch.equal(masks.masked(grad, kept).nan_to_num(), expected.nan_to_num())
    out = sliced(shape, 3)
    before = out.clone()
    assert masks.masked(grad, kept, out) is out
    assert not torch.equal(out, before)
    assert torch.equal(out.nan_to_num(), expected.nan_to_num())
    rows = grad.contiguous()  # not as kernels take it
    assert torch.equal(masks.masked(rows, kept, rows).nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("shape", [(2, 37, 5, 6), (1, 64, 31, 29), (3, 3, 2, 1)])
@pytest.mark.parametrize("relu", [False, True])
def test_a_factor_and_a_shift(shape: tuple[int, ...], relu: bool) -> None:
    x, grad, out = sliced(shape, 1), sliced(shape, 2), sliced(shape, 3)
    around = out.clone()
    factor, shift = torch.randn(shape[1], generator=torch.Generator().manual_seed(4)), torch.linspace(-1, 1, shape[1])
    leaf = x.clone().requires_grad_()
    y = leaf * factor[:, None, None] + shift[:, None, None]
    y = y.relu() if relu else y
    torch.testing.assert_close(pointwise.affine(x, factor, shift, relu, out), y.detach())
    (expected,) = torch.autograd.grad(y, leaf, grad)
    torch.testing.assert_close(pointwise.affine_back(grad, x if relu else None, factor, shift, out), expected)
    out.copy_(around)
    torch.testing.assert_close(pointwise.affine_back(grad, x if relu else None, factor, shift, out, add=True), around + expected)
    torch.testing.assert_close(pointwise.affine_back(grad, x if relu else None, factor, shift, grad), expected)
