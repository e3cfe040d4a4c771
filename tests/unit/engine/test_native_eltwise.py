"""Native sums with a ReLU, and slopes below 0, are torch's, in slices and over their own bottoms too."""

import numpy as np
import pytest
import torch

from dreamopt.engine.executor import masks
from dreamopt.engine.executor.kernels import AutogradKernel, SlopeKernel, Sum
from dreamopt.engine.native import eltwise, pointwise
from tests.support.native import images, needs_kernels
from tests.support.nets import conv, layer
from tests.unit.engine.test_fusion import both, check, make, tape_of

SHAPES = [(2, 37, 5, 6), (1, 8, 4, 3), (3, 5, 2, 1), (2, 64, 31, 29), (1, 1, 3, 4)]


def sliced(shape, seed):
    """Return values in a slice of a wider tensor's channels."""
    n, channels, height, width = shape
    return images(n, channels + 7, height, width, seed=seed)[:, 3 : 3 + channels]


def empty_bits(shape):
    return torch.full(pointwise.bits_shape(shape), 0xA5, dtype=torch.uint8)


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("relu", [False, True])
def test_sum(kind, shape, relu):
    a, b, out = sliced(shape, 1), sliced(shape, 2), sliced(shape, 3)
    a[0, 0, 0, 0], a[-1, -1, -1, -1], b[-1, -1, -1, -1] = float("nan"), 1.5, -1.5
    whole, around = out._base, out._base.clone()
    expected = torch.add(a, b).relu() if relu else torch.add(a, b)
    bits = empty_bits(shape)
    assert eltwise.add(a, b, out, relu, bits) is out
    assert torch.equal(out.nan_to_num(7), expected.nan_to_num(7))
    assert torch.equal(whole[:, :3], around[:, :3])
    assert torch.equal(whole[:, -4:], around[:, -4:])
    assert torch.equal(bits, pointwise.pack(expected, empty_bits(shape)))
    assert torch.equal(eltwise.add(a.clone(), b, b, relu).nan_to_num(7), expected.nan_to_num(7))


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
def test_slopes(kind, shape):
    x, out, grad = sliced(shape, 1), sliced(shape, 2), sliced(shape, 3)
    x[0, 0, 0, 0] = 0
    slopes = torch.linspace(-0.5, 1.5, shape[1])
    leaf = x.clone().requires_grad_()
    y = torch.nn.functional.prelu(leaf, slopes)
    (expected,) = torch.autograd.grad(y, leaf, grad)
    bits = empty_bits(shape)
    torch.testing.assert_close(eltwise.slope(x, slopes, out, bits), y.detach())
    torch.testing.assert_close(eltwise.slope_back(grad, bits, slopes, out), expected)
    torch.testing.assert_close(eltwise.slope_back(grad, bits, slopes, grad), expected)
    torch.testing.assert_close(eltwise.slope(x, slopes, x), y.detach())


NET = (
    conv("c1", "data", 9, "kernel_size: 3 stride: 2 pad: 1", relu=True)
    + conv("c2", "c1", 9, "kernel_size: 3 pad: 1")
    + layer("s1", "Eltwise", "c1 c2")
    + layer("r1", "ReLU", "s1", "s1")
    + conv("c3", "s1", 9, "kernel_size: 1")
    + conv("c4", "s1", 9, "kernel_size: 1")
    + layer("s2", "Eltwise", "c3 c4")
    + conv("c6", "s2", 9, "kernel_size: 1")
    + layer("leaky", "ReLU", "c6", "c6", more="relu_param { negative_slope: 0.3 }")
    + conv("c5", "c6", 9, "kernel_size: 3 pad: 1")
    + layer("shared", "PReLU", "c5", more="prelu_param { channel_shared: true filler { type: 'constant' value: -0.4 } }")
    + layer("each", "PReLU", "c5", more="prelu_param { filler { type: 'uniform' min: -0.3 max: 0.9 } }")
    + layer("twice", "Eltwise", "c5 c5")
    + layer("joined", "Concat", "s2 shared each twice")
    + conv("top", "joined", 4, "kernel_size: 3 stride: 2", relu=True)
)


@pytest.mark.parametrize("has_kernels", [True, False])
@pytest.mark.parametrize("small", [0, masks.SMALL])
@pytest.mark.parametrize("wanted", [("top",), ("c2", "s2", "top"), ("c3", "each", "r1")])
def test_residual_sums_and_slopes_in_a_net(has_kernels, small, wanted, monkeypatch):
    monkeypatch.setattr(masks, "SMALL", small)
    if not has_kernels:
        for module in ("kernels", "masks"):
            monkeypatch.setattr(f"dreamopt.engine.executor.{module}.library", lambda: None)
    check(both(make(NET), wanted, torch.randn(2, 3, 21, 26, generator=torch.Generator().manual_seed(7))))


def test_what_a_sum_may_write_over():
    net = make(NET)

    def over(*wanted):
        return [k.over for k in tape_of(net, wanted)[0].kernels if isinstance(k, Sum)]

    assert over("top") == [1, 0, None]  # c1 is kept as a mask; c5 has other readers
    assert over("c2", "c3", "top") == [None, 1, None]
    kernels = tape_of(net, ("top",))[0].kernels
    assert [k.over for k in kernels if isinstance(k, SlopeKernel)] == [True, False, False]
    assert not any(isinstance(k, AutogradKernel) for k in kernels)


@needs_kernels
def test_slopes_that_are_changed_later_count():
    net = make(NET)
    executor, data = tape_of(net, ("each",))
    x = torch.randn(2, 3, 21, 26, generator=torch.Generator().manual_seed(3))
    (before,) = executor({data: x}).values()
    net.params["each"][0].data[...] = np.float32(1)
    (after,) = executor({data: x}).values()
    assert not torch.equal(before, after)
    (c5,) = tape_of(net, ("c5",))[0]({data: x}).values()
    torch.testing.assert_close(after, c5)


@needs_kernels
def test_bits_do_not_depend_on_threads():
    x, threads, found = images(2, 40, 61, 50), torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            bits = empty_bits(tuple(x.shape))
            found.append((eltwise.add(x, x.flip(2), torch.empty_like(x), True, bits), bits))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *found))
