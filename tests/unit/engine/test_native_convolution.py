"""Native convolutions as products of matrices are torch's in double precision, wherever the values lie in memory."""

import pytest
import torch

from dreamopt.engine.native import convolution
from dreamopt.engine.native.convolution import Source, Target, convolve, panels, panels_of, rows, spread, spread_panels
from tests.support.native import images, needs_kernels

pytestmark = needs_kernels

SHAPES = [  # batch, channels, kernels, height, width, kernel, stride, pad, dilation, groups
    (1, 1, 1, 1, 1, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 3, 33, 9, 10, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (1, 500, 17, 6, 7, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (1, 70, 130, 5, 31, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    (2, 3, 40, 19, 21, (7, 7), (2, 2), (3, 3), (1, 1), 1),
    (1, 3, 5, 29, 24, (11, 9), (4, 3), (1, 0), (1, 1), 1),
    (3, 17, 34, 8, 5, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 60, 20, 11, 13, (3, 2), (2, 1), (2, 0), (2, 3), 1),
    (2, 20, 36, 7, 9, (5, 5), (1, 1), (2, 2), (1, 1), 2),
    (1, 15, 27, 8, 6, (3, 3), (2, 2), (1, 1), (1, 1), 3),
    (1, 6, 4, 3, 2, (3, 4), (1, 1), (3, 2), (1, 1), 1),
]


def close(y, exact):
    return (y - exact).norm() <= 1e-6 * exact.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_against_float64(kind, shape):
    n, channels, out, height, width, kernel, stride, pad, dilation, groups = shape
    x, w, bias = images(n, channels, height, width), images(out, channels // groups, *kernel, seed=1), torch.linspace(-1, 2, out)
    moves = (kernel, stride, pad, dilation, groups)
    exact = torch.nn.functional.conv2d(x.double(), w.double(), bias.double(), *moves[1:])
    y = torch.full(exact.shape, torch.nan).contiguous(memory_format=torch.channels_last)
    weights = panels(w, groups)
    convolve([Source(x)], [Target(y, weights, bias)], *moves)
    assert close(y, exact)
    convolve([Source(x)], [Target(y, weights, bias, relu=True)], *moves)
    assert close(y, exact.relu())
    first = y.clone()
    convolve([Source(x)], [Target(y, weights, add=True)], *moves)
    assert close(y, first.double() + exact - bias.double()[:, None, None])


@pytest.mark.parametrize("shape", SHAPES)
def test_slices_gates_and_sums(kind, shape):
    n, channels, out, height, width, kernel, stride, pad, dilation, groups = shape
    whole, gate = images(n, channels + 9, height, width), images(n, channels + 4, height, width, seed=2)[:, 3 : channels + 3]
    x, w, bias = whole[:, 5 : channels + 5], images(out, channels // groups, *kernel, seed=1), torch.linspace(-1, 2, out)
    moves = (kernel, stride, pad, dilation, groups)
    exact = torch.nn.functional.conv2d(torch.where(gate > 0, x, 0).double(), w.double(), bias.double(), *moves[1:])
    top = images(n, out + 7, *exact.shape[2:], seed=3)
    y, mask = top[:, 2 : out + 2], images(n, out, *exact.shape[2:], seed=4)
    before = top.clone()
    expected = torch.where(mask > 0, (y.double() + exact).relu(), 0)
    convolve([Source(x, gate)], [Target(y, panels(w, groups), bias, relu=True, add=True, gate=mask)], *moves)
    assert close(y, expected)
    assert torch.equal(top[:, :2], before[:, :2])
    assert torch.equal(top[:, out + 2 :], before[:, out + 2 :])


def test_rows_and_columns_of_a_larger_image(kind):
    x, w = images(2, 5, 9, 10)[:, :, 1::2, :7], images(37, 5, 3, 3, seed=1)
    top = torch.zeros(2, 37, 8, 20).contiguous(memory_format=torch.channels_last)
    y = top[:, :, ::2, 3::3]
    exact = torch.nn.functional.conv2d(x.double(), w.double(), padding=(1, 0))
    convolve([Source(x)], [Target(y[..., :5], panels(w))], (3, 3), pad=(1, 0))
    assert close(y[..., :5], exact)
    assert top[:, :, 1::2].count_nonzero() == 0


def test_several_sources_and_targets(kind):
    """Sources are as one bottom, of all their channels; a bottom is read once for all targets."""
    xs = [images(2, channels, 6, 7, seed=channels) for channels in (5, 40, 17)]
    gate = images(2, 40, 6, 7, seed=9)
    ws = [images(out, 62, 1, 1, seed=out) for out in (33, 8)]
    ys = [images(2, 33, 6, 7, seed=4), torch.zeros(2, 30, 6, 7).contiguous(memory_format=torch.channels_last)[:, 11:19]]
    joined = torch.cat([xs[0], torch.where(gate > 0, xs[1], 0), xs[2]], 1).double()
    exact = [torch.nn.functional.conv2d(joined, w.double()) for w in ws]
    exact[0] = (exact[0] + ys[0]).relu()
    sources = [Source(xs[0]), Source(xs[1], gate), Source(xs[2])]
    convolve(sources, [Target(ys[0], panels(ws[0]), relu=True, add=True), Target(ys[1], panels(ws[1]))], (1, 1))
    assert close(ys[0], exact[0])
    assert close(ys[1], exact[1])


def test_sources_of_larger_kernels(kind):
    xs, ws = [images(1, c, 6, 7, seed=c) for c in (5, 19)], [images(21, c, 3, 3, seed=c + 1) for c in (5, 19)]
    exact = sum(torch.nn.functional.conv2d(x.double(), w.double(), padding=1) for x, w in zip(xs, ws, strict=True))
    y = torch.empty(1, 21, 6, 7).contiguous(memory_format=torch.channels_last)
    joined = panels_of(torch.cat([rows(w) for w in ws], 1), convolution.lanes())
    convolve([Source(x) for x in xs], [Target(y, joined)], (3, 3), pad=(1, 1))
    assert close(y, exact)


def test_factor_shift_and_relu_of_the_bottom(kind):
    """A BatchNorm with its ReLU before a convolution; the zeros around the image stay zeros."""
    x, w = images(2, 37, 6, 7), images(21, 37, 3, 3, seed=1)
    factor, shift = torch.linspace(-1, 2, 37), torch.linspace(2, -1, 37)
    there = (x * factor[:, None, None] + shift[:, None, None]).relu()
    exact = torch.nn.functional.conv2d(there.double(), w.double(), padding=1)
    y = torch.empty(exact.shape, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    convolve([Source(x, factor=factor, shift=shift)], [Target(y, panels(w))], (3, 3), pad=(1, 1))
    assert close(y, exact)


FEW = [  # batch, channels, kernels, height, width, kernel, stride, pad
    (2, 3, 64, 30, 37, (7, 7), (2, 2), (3, 3)),
    (1, 3, 96, 67, 51, (11, 11), (4, 4), (0, 0)),
    (1, 1, 5, 9, 8, (3, 5), (3, 2), (1, 2)),
    (5, 4, 33, 13, 60, (5, 4), (1, 3), (0, 1)),
    (1, 3, 17, 223, 9, (3, 3), (2, 2), (0, 0)),
]


@pytest.mark.parametrize("shape", FEW)
def test_data_gradient_of_few_channels(kind, shape):
    n, channels, out, height, width, kernel, stride, pad = shape
    w = images(out, channels, *kernel, seed=1)
    x = torch.zeros(n, channels, height, width, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.conv2d(x, w.double(), None, stride, pad)
    grad, gate = images(*y.shape, seed=2), images(n, out + 3, *y.shape[2:], seed=3)[:, 2 : out + 2]
    (exact,) = torch.autograd.grad(y, x, torch.where(gate > 0, grad, 0).double())
    total = torch.full(x.shape, torch.nan).contiguous(memory_format=torch.channels_last)
    weights = spread_panels(w)
    spread(Source(grad, gate), Target(total, weights), kernel, stride, pad)
    assert close(total, exact)
    spread(Source(grad, gate), Target(total, weights, add=True), kernel, stride, pad)
    assert close(total, 2 * exact)


@pytest.mark.parametrize("shape", FEW)
def test_few_channels(kind, shape):
    n, channels, out, height, width, kernel, stride, pad = shape
    x, w, bias = images(n, channels, height, width), images(out, channels, *kernel, seed=1), torch.linspace(-1, 2, out)
    exact = torch.nn.functional.conv2d(x.double(), w.double(), bias.double(), stride, pad)
    top = torch.full((n, out + 5, *exact.shape[2:]), torch.nan).contiguous(memory_format=torch.channels_last)
    convolve([Source(x)], [Target(top[:, 2 : out + 2], panels(w), bias, relu=True)], kernel, stride, pad)
    assert close(top[:, 2 : out + 2], exact.relu())
    assert top[:, :2].isnan().all()


def test_no_number_gets_through_relu_and_gates(kind):
    x = images(1, 3, 2, 2)
    x[0, 0, 0, 0] = torch.nan
    w = torch.eye(3)[:, :, None, None]
    gate = torch.ones_like(x)
    gate[0, 1, 1, 1] = torch.nan
    y = torch.empty_like(x)
    convolve([Source(x, gate)], [Target(y, panels(w), relu=True)], (1, 1))
    assert y[0, :, 0, 0].isnan().all()  # each sum has the product with it
    assert torch.equal(y[0, :, 1, 1], x[0, :, 1, 1].relu())


def test_bits_do_not_depend_on_threads():
    x, w = images(1, 600, 13, 11), images(70, 600, 1, 1, seed=1)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = torch.empty(1, 70, 13, 11).contiguous(memory_format=torch.channels_last)
            convolve([Source(x)], [Target(y, panels(w))], (1, 1))
            results.append(y)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
