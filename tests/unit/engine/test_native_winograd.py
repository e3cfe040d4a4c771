"""Winograd's convolutions are the direct ones, wherever the values lie in memory."""

import pytest
import torch

from dreamopt.engine.executor.convolution import Backward, Geometry, Packed
from dreamopt.engine.native import winograd
from dreamopt.engine.native.layout import is_native, pixel_stride
from tests.support.native import images, needs_kernels

pytestmark = needs_kernels

SHAPES = [  # batch, channels, kernels, height, width, pad, groups
    (1, 16, 32, 8, 8, 1, 1),
    (2, 3, 5, 7, 9, 1, 1),
    (1, 17, 33, 13, 11, 0, 1),
    (2, 24, 40, 9, 5, 2, 1),
    (2, 12, 20, 6, 7, 1, 2),
    (3, 15, 27, 4, 5, 1, 3),
    (1, 1, 1, 3, 3, 0, 1),
    (1, 40, 70, 29, 31, 1, 1),
    (2, 20, 36, 1, 6, 1, 1),
]


def close(y, exact):
    return (y - exact).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_against_float64(kind, shape):
    n, channels, kernels, height, width, pad, groups = shape
    x, w, bias = (
        images(n, channels, height, width),
        images(kernels, channels // groups, 3, 3, seed=1),
        images(1, kernels, 1, 1, seed=2).flatten(),
    )
    exact = torch.nn.functional.conv2d(x.double(), w.double(), bias.double(), 1, pad, 1, groups)
    out = torch.full(exact.shape, torch.nan).contiguous(memory_format=torch.channels_last)
    convolve = winograd.WinogradKernels(w, groups)
    assert convolve(x, bias, (pad, pad), out) is out
    assert close(out, exact)
    assert close(convolve(x, None, (pad, pad), torch.empty_like(out)), exact - bias.double()[:, None, None])
    assert close(convolve(x, bias, (pad, pad), torch.empty_like(out), relu=True), exact.relu())


def test_slices_of_concatenations(kind):
    whole, top = images(2, 50, 9, 10), images(2, 60, 9, 10, seed=3)
    x, out, mask = whole[:, 7:30], top[:, 11:37], images(2, 31, 9, 10, seed=4)[:, 3:26]
    w, bias = images(26, 23, 3, 3, seed=1), torch.arange(26.0)
    assert pixel_stride(x) == 50
    assert is_native(out)
    before = top.clone()
    mask[0, 2, 3, 4] = torch.nan  # which passes a ReLU, as in torch
    passed = torch.where(mask <= 0, 0, x)
    exact = out.double() + torch.nn.functional.conv2d(passed.double(), w.double(), bias.double(), padding=1)
    winograd.WinogradKernels(w)(x, bias, (1, 1), out, add=True, relu=True, mask=mask)
    assert close(out, exact.relu())
    assert torch.equal(top[:, :11], before[:, :11])
    assert torch.equal(top[:, 37:], before[:, 37:])


@pytest.mark.parametrize("varies", [(), (2,), (3,)], ids=["a constant", "rows", "columns"])
def test_equal_windows_have_equal_bits(kind, varies):
    """As they do in direct convolutions: max pooling over a constant image takes the first of a window, not what rounding made the largest."""
    shape = [1, 19, 14, 17]
    x = images(*(length if axis in (0, 1, *varies) else 1 for axis, length in enumerate(shape)))
    x = x.expand(shape).contiguous(memory_format=torch.channels_last)
    w = images(37, 19, 3, 3, seed=1)
    y = winograd.WinogradKernels(w)(x, torch.arange(37.0), (0, 0), torch.empty(1, 37, 12, 15, memory_format=torch.channels_last))
    for axis in {2, 3} - set(varies):
        assert torch.equal(y, y.narrow(axis, 0, 1).expand(y.shape))
    assert y.std() > 1


def test_what_is_not_a_number_stays_so(kind):
    x, w = images(1, 16, 12, 12), images(16, 16, 3, 3, seed=1)
    x[0, 3, 6, 6] = torch.nan
    y = winograd.WinogradKernels(w)(x, None, (1, 1), torch.empty_like(x), relu=True)
    assert y[0, :, 6, 6].isnan().all()
    assert not y[0, :, 0, 0].isnan().any()


def test_bits_do_not_depend_on_threads_or_on_the_batch(kind):
    x, w, bias = images(3, 48, 30, 31), images(80, 48, 3, 3, seed=1), torch.arange(80.0)
    convolve, threads = winograd.WinogradKernels(w), torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(convolve(x, bias, (1, 1), torch.empty(3, 80, 30, 31, memory_format=torch.channels_last)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    alone = convolve(x[1:2], bias, (1, 1), torch.empty(1, 80, 30, 31, memory_format=torch.channels_last))
    assert torch.equal(alone[0], results[0][1])


@pytest.mark.parametrize("pad", [0, 1, 2])
def test_the_executor_takes_it_and_its_gradient_is_right(pad, monkeypatch):
    geometry = Geometry((3, 3), (1, 1), (pad, pad), (1, 1), 1)
    x, w, bias = images(2, 24, 11, 14), images(32, 24, 3, 3, seed=1), torch.arange(32.0)
    calls = []
    run = winograd.WinogradKernels.__call__
    monkeypatch.setattr(winograd.WinogradKernels, "__call__", lambda *a, **k: (calls.append(1), run(*a, **k))[1])
    exact = torch.nn.functional.conv2d(x.double().requires_grad_(), w.double(), bias.double(), padding=pad)
    assert close(Packed(w, bias, geometry)(x), exact)
    grad = images(*exact.shape, seed=5)
    wanted = torch.nn.grad.conv2d_input(tuple(x.shape), w.double(), grad.double(), padding=pad)
    assert close(Backward(w, geometry)(grad, tuple(x.shape), None), wanted)
    there = images(*x.shape, seed=6)
    assert close(Backward(w, geometry)(grad, tuple(x.shape), there.clone(memory_format=torch.channels_last)), wanted + there)
    assert len(calls) == 3


def test_pays_where_it_was_measured_to():
    assert winograd.pays((1, 64, 56, 56), 192, 1, (1, 1))
    assert winograd.pays((8, 512, 7, 7), 512, 1, (1, 1))
    assert not winograd.pays((1, 3, 224, 224), 64, 1, (1, 1))
    assert not winograd.pays((1, 512, 4, 4), 512, 1, (1, 1))
