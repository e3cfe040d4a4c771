"""Native AVE pooling is the layer's, for windows of all forms."""

import pytest
import torch

from dreamopt.engine import Net
from dreamopt.engine.executor.pooling import AveragePool
from dreamopt.engine.native import average as native
from dreamopt.schema import parse_net
from tests.support.native import images, needs_kernels
from tests.support.nets import conv, image_input, layer
from tests.unit.engine.test_fusion import both, check, make, tape_of

WINDOWS = [  # batch, channels, height, width, pooling_param
    (2, 20, 9, 7, "kernel_size: 3 stride: 2"),
    (1, 16, 8, 11, "kernel_size: 3 stride: 1 pad: 1"),
    (3, 5, 10, 6, "kernel_h: 2 kernel_w: 4 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2"),
    (2, 130, 7, 5, "global_pooling: true"),
    (1, 33, 30, 17, "kernel_h: 15 kernel_w: 17"),
    (2, 19, 7, 9, "kernel_size: 1 stride: 3"),
    (1, 3, 8, 9, "kernel_size: 4 stride: 3 pad: 3"),
    (1, 9, 7, 6, "kernel_size: 1 stride: 4 round_mode: FLOOR"),
    (1, 1, 1, 1, "kernel_size: 3 pad: 1"),
]


@needs_kernels
@pytest.mark.parametrize("setting", WINDOWS)
def test_averages_and_their_gradient(kind, setting):
    *shape, windows = setting
    text = image_input(shape=shape) + layer("p", "Pooling", "data", more=f"pooling_param {{ pool: AVE {windows} }}")
    pooling = Net(parse_net('name: "toy"' + text, "toy.prototxt")).nodes[-1].layer
    x = images(*shape).requires_grad_()
    (y,) = pooling.forward([x], [])
    grad = images(*y.shape, seed=1)
    (expected,) = torch.autograd.grad(y, x, grad)
    form = pooling.kernel_for(tuple(shape[2:])), pooling.stride, pooling.pad
    top, gradient = images(shape[0], shape[1] + 9, *y.shape[2:], seed=2), images(shape[0], shape[1] + 9, *y.shape[2:], seed=3)
    before, out, there = top.clone(), top[:, 4 : 4 + shape[1]], gradient[:, 5 : 5 + shape[1]]
    there.copy_(grad)
    assert native.average(x.detach(), out, *form) is out
    torch.testing.assert_close(out, y.detach())
    assert torch.equal(top[:, :4], before[:, :4])
    assert torch.equal(top[:, 4 + shape[1] :], before[:, 4 + shape[1] :])
    torch.testing.assert_close(native.average_back(there, torch.full_like(x, torch.nan), *form), expected)
    base = images(*shape, seed=4)
    torch.testing.assert_close(native.average_back(there, base.clone(), *form, add=True), base + expected)


NET = (
    conv("c1", "data", 7, "kernel_size: 3 stride: 2", relu=True)
    + layer("p1", "Pooling", "c1", more="pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }")
    + layer("p2", "Pooling", "c1", more="pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }")
    + conv("c2", "p1", 5, "kernel_size: 1", relu=True)
    + layer("joined", "Concat", "c2 p2")
    + layer("g", "Pooling", "joined", more="pooling_param { pool: AVE global_pooling: true }")
)


@pytest.mark.parametrize("has_kernels", [True, False])
def test_in_a_net_whose_bottom_several_read_and_whose_top_is_joined(has_kernels, monkeypatch):
    if not has_kernels:
        monkeypatch.setattr("dreamopt.engine.executor.pooling.library", lambda: None)
    net = make(NET)
    assert sum(isinstance(k, AveragePool) for k in tape_of(net, ("g",))[0].kernels) == 3
    for wanted in (("g",), ("p1", "joined", "g")):
        check(both(net, wanted, torch.randn(2, 3, 21, 26, generator=torch.Generator().manual_seed(7))))


@needs_kernels
def test_a_large_map_loses_no_digits():
    x = images(1, 2, 700, 900) + 100
    y = native.average(x, torch.empty(1, 2, 1, 1), (700, 900), (1, 1), (0, 0))
    torch.testing.assert_close(y.double(), x.double().mean((2, 3), keepdim=True), rtol=3e-6, atol=0)
