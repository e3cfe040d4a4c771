"""Native MAX pooling and LRN are torch's."""

import pytest
import torch

from dreamopt.engine.native import lrn as native_lrn
from dreamopt.engine.native import pooling
from dreamopt.engine.native.layout import pixel_stride
from tests.support.native import images, needs_kernels

pytestmark = needs_kernels


WINDOWS = [  # batch, channels, height, width, kernel, stride, pad, ceil
    (2, 20, 9, 7, (3, 3), (2, 2), (0, 0), True),
    (1, 16, 8, 11, (3, 3), (1, 1), (1, 1), False),
    (3, 5, 10, 6, (2, 4), (2, 3), (1, 2), False),
    (1, 1, 5, 5, (5, 5), (1, 1), (0, 0), False),
    (1, 33, 30, 17, (15, 17), (1, 1), (0, 0), False),
    (2, 19, 7, 9, (1, 1), (2, 2), (0, 0), False),
    (1, 40, 6, 6, (2, 2), (3, 3), (0, 0), True),
]


@pytest.mark.parametrize("setting", WINDOWS)
@pytest.mark.parametrize("ties", [False, True])
def test_max_pooling_and_its_gradient(kind, setting, ties):
    n, channels, height, width, kernel, stride, pad, ceil = setting
    x = images(n, channels, height, width)
    if ties:
        x = x.round().relu()
    x.requires_grad_()
    y = torch.nn.functional.max_pool2d(x, kernel, stride, pad, 1, ceil)
    grad = images(*y.shape, seed=1)
    (expected,) = torch.autograd.grad(y, x, grad)
    windows = (kernel, stride, pad)
    top, gradient = images(n, channels + 9, *y.shape[2:], seed=2), images(n, channels + 9, *y.shape[2:], seed=3)
    out, there = top[:, 4 : 4 + channels], gradient[:, 5 : 5 + channels]
    there.copy_(grad)
    places = torch.zeros(y.shape, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    before = top.clone()
    assert pooling.max_pool(x.detach(), out, *windows, places) is out
    assert torch.equal(out, y)
    assert torch.equal(top[:, :4], before[:, :4])
    assert torch.equal(top[:, 4 + channels :], before[:, 4 + channels :])
    found = pooling.max_pool_backward(there, places, torch.full_like(x, torch.nan), *windows)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    base = images(*x.shape, seed=4)
    added = pooling.max_pool_backward(there, places, base.clone(memory_format=torch.channels_last), *windows, add=True)
    torch.testing.assert_close(added, expected + base, rtol=1e-5, atol=1e-5)


def test_no_gradient_goes_back_to_what_the_relu_cut_off(kind):
    x = (images(2, 18, 9, 9) - 1).relu().requires_grad_()
    y = torch.nn.functional.max_pool2d(x, 3, 2)
    assert 0.1 < (y == 0).float().mean() < 0.9
    grad = images(*y.shape, seed=1)
    (expected,) = torch.autograd.grad(y, x, torch.where(y > 0, grad, 0))
    windows, places = ((3, 3), (2, 2), (0, 0)), torch.empty_like(y, dtype=torch.uint8)
    pooling.max_pool(x.detach(), torch.empty_like(y), *windows, places, masked=True)
    assert torch.equal(places == 255, y == 0)
    torch.testing.assert_close(pooling.max_pool_backward(grad, places, torch.empty_like(x), *windows), expected, rtol=1e-5, atol=1e-6)


def test_what_is_not_a_number_is_the_largest_as_in_torch(kind):
    x = images(1, 17, 7, 7)
    x[0, 3, 2, 2] = torch.nan
    x[0, 5, 4, 4] = -torch.inf
    y = torch.nn.functional.max_pool2d(x, 3, 2)
    assert y.isnan().any()
    torch.testing.assert_close(pooling.max_pool(x, torch.empty_like(y), *((3, 3), (2, 2), (0, 0))), y, equal_nan=True, rtol=0, atol=0)


def lrn(x, size, a, beta, k):
    squares = torch.nn.functional.pad(x * x, (0, 0, 0, 0, size // 2, size // 2))
    return x * (k + a * sum(squares[:, i : i + x.shape[1]] for i in range(size))) ** -beta


@pytest.mark.parametrize("channels", [1, 3, 16, 37, 64])
@pytest.mark.parametrize("setting", [(5, 2e-2, 0.75, 1.0), (3, 0.5, 0.6, 2.0), (1, 0.3, 1.0, 0.5), (7, 0.1, 0.5, 1.5)])
def test_lrn_and_its_gradient(kind, channels, setting):
    x, grad = images(2, channels, 5, 6).double().requires_grad_(), images(2, channels, 5, 6, seed=1)
    y = lrn(x, *setting)
    (expected,) = torch.autograd.grad(y, x, grad.double())
    whole, top = images(2, channels + 20, 5, 6, seed=2), images(2, channels + 7, 5, 6, seed=3)
    bottom, out = whole[:, 11 : 11 + channels], top[:, 2 : 2 + channels]
    bottom.copy_(x.detach())
    assert channels == 1 or pixel_stride(bottom) == channels + 20
    before = top.clone()
    native_lrn.lrn(bottom, out, *setting)
    torch.testing.assert_close(out.double(), y.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(top[:, :2], before[:, :2])
    assert torch.equal(top[:, 2 + channels :], before[:, 2 + channels :])
    torch.testing.assert_close(
        native_lrn.lrn_backward(bottom, grad, torch.empty_like(grad), *setting).double(), expected, rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(native_lrn.lrn_backward(bottom, grad, grad, *setting).double(), expected, rtol=1e-4, atol=1e-6)


def test_bits_do_not_depend_on_threads(kind):
    x, grad, threads = images(2, 48, 31, 30), images(2, 48, 15, 15, seed=1), torch.get_num_threads()
    windows, results = ((3, 3), (2, 2), (0, 0)), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            places, y = torch.empty_like(grad, dtype=torch.uint8), torch.empty_like(grad)
            pooling.max_pool(x, y, *windows, places)
            back = pooling.max_pool_backward(grad, places, torch.empty_like(x), *windows)
            results.append((y, back, native_lrn.lrn_backward(x, x, torch.empty_like(x), 5, 1e-2, 0.75, 1.0)))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *results))
