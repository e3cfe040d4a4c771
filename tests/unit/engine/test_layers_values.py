"""What real Caffe cannot be asked for: what it draws at random, computes on a GPU only, or reads outside its blobs."""

import pytest
import torch
from torch import Tensor

from tests.support.layer_nets import make_layer, net_text


def test_dropout_in_train() -> None:
    layer, _ = make_layer(net_text("Dropout", "dropout_param { dropout_ratio: 0.3 }", [(50, 40)]), [(50, 40)], "TRAIN")
    x = torch.full((50, 40), 2.0, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        (y,) = layer.forward([x], [])
    kept = y != 0
    assert 0.65 < kept.float().mean() < 0.75
    torch.testing.assert_close(y, torch.where(kept, 2 / 0.7, 0.0))
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], torch.where(kept, 1 / 0.7, 0.0))


def test_windows_beyond_the_image() -> None:
    for method, expected in (("MAX", torch.finfo(torch.float32).min), ("AVE", 0.0), ("STOCHASTIC", 0.0)):
        params = f"pooling_param {{ pool: {method} kernel_size: 1 stride: 3 }}"
        layer, _ = make_layer(net_text("Pooling", params, [(1, 2, 6, 7)]), [(1, 2, 6, 7)], "TEST")
        x = torch.arange(1.0, 85).reshape(1, 2, 6, 7).requires_grad_()
        (y,) = layer.forward([x], [])
        assert y.shape == (1, 2, 3, 3)
        torch.testing.assert_close(y[:, :, :2], x[:, :, ::3, ::3])
        assert (y[:, :, 2] == expected).all()
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert grad.sum() == 12
        assert (grad[:, :, ::3, ::3] == 1).all()


def test_the_mask_of_a_window_without_values() -> None:
    layer, _ = make_layer(net_text("Pooling", "pooling_param { kernel_size: 1 stride: 3 }", [(1, 2, 6, 7)], tops=2), [(1, 2, 6, 7)], "TEST")
    _, mask = layer.forward([torch.ones(1, 2, 6, 7)], [])
    assert mask[0, 0].tolist() == [[0, 3, 6], [21, 24, 27], [-1, -1, -1]]


def test_stochastic_pooling_in_test() -> None:
    params = "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"
    layer, _ = make_layer(net_text("Pooling", params, [(1, 1, 3, 2)]), [(1, 1, 3, 2)], "TEST")
    (y,) = layer.forward([torch.tensor([[[[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]]])], [])
    torch.testing.assert_close(y, torch.tensor([[[[3.0], [0.0]]]]))


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_batch_norm_minds_no_mixture_of_layouts(phase: str) -> None:
    shape = (1, 16, 7, 8)
    layer, _ = make_layer(net_text("BatchNorm", "", [shape]), [shape], phase)
    torch.manual_seed(0)
    weights = [torch.randn(16), torch.rand(16) + 0.5, torch.ones(1)]

    def odd(t: Tensor) -> Tensor:  # as oneDNN's convolutions lay out one item
        return torch.empty_strided(shape, (16, 1, 128, 16)).copy_(t)

    layouts = [
        lambda t: t.clone(),
        lambda t: t.contiguous(memory_format=torch.channels_last),
        odd,
        lambda t: torch.cat([t, odd(t)], 1)[:, :16],
        lambda t: torch.cat([odd(t), odd(t)], 1)[:, 16:],
    ]
    x, g = torch.randn(shape), torch.randn(shape)
    found = []
    for lay_x in layouts:
        for lay_g in layouts:
            bottom = lay_x(x).requires_grad_()
            (top,) = layer.forward([bottom], [w.clone() for w in weights])
            found.append(torch.autograd.grad(top, bottom, lay_g(g))[0])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])
