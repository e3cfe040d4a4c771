"""A program's tape gives what its layers give one by one, forward and back."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.engine.executor.allocator import keep_memory
from dreamopt.engine.executor.convolution import Convolve
from dreamopt.engine.executor.executor import Executor
from dreamopt.engine.executor.fusion import plan
from dreamopt.engine.executor.kernels import AutogradKernel
from dreamopt.schema import parse_net
from tests.support.nets import conv, layer

POOL3 = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
NETS = {
    "inception": (
        conv("c1", "data", 7, "kernel_size: 5 stride: 2 pad: 2", relu=True)
        + layer("p1", "Pooling", "c1", more=POOL3)
        + layer("n1", "LRN", "p1", more="lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 }")
        + conv("a", "n1", 5, relu=True)
        + conv("b", "n1", 4, relu=True)
        + conv("b3", "b", 6, "kernel_size: 3 pad: 1", relu=True)
        + layer("p", "Pooling", "n1", more="pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 }")
        + conv("pp", "p", 3, relu=True)
        + layer("out", "Concat", "a b3 pp"),
        ("out",),
    ),
    "residual": (
        conv("c1", "data", 6, "kernel_size: 3 pad: 1 stride: 3 bias_term: false")
        + layer("bn", "BatchNorm", "c1", tops="c1")
        + layer("sc", "Scale", "c1", more="scale_param { bias_term: true filler { type: 'uniform' min: 0.5 } }", tops="c1")
        + layer("r", "ReLU", "c1", tops="c1")
        + conv("c2", "c1", 6, "kernel_size: 3 pad: 2 dilation: 2 group: 2")
        + layer("bn2", "BatchNorm", "c2")
        + layer("sum", "Eltwise", "c1 bn2")
        + layer("r2", "ReLU", "sum", tops="sum")
        + conv("c3", "sum", 5, "kernel_size: 1 stride: 2")
        + layer("drop", "Dropout", "c3", tops="c3")
        + layer("g", "Pooling", "c3", more="pooling_param { pool: AVE global_pooling: true }")
        + layer("fc", "InnerProduct", "g", more="inner_product_param { num_output: 3 weight_filler { type: 'xavier' } }"),
        ("fc",),
    ),
    "overlooked": (
        conv("c1", "data", 4, "kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 1 pad_w: 1", relu=True)
        + layer("p1", "Pooling", "c1", more="pooling_param { pool: MAX kernel_size: 4 stride: 3 pad: 3 }")
        + layer("s", "Slice", "c1", more="slice_param { axis: 1 slice_point: 1 } top: 's2'")
        + layer("double", "Eltwise", "p1 p1")
        + conv("wide", "double", 5, "kernel_h: 12 kernel_w: 5 pad: 2 stride: 2", relu=True)
        + layer("r", "ReLU", "s2")
        + conv("padded", "r", 3, "kernel_size: 1 pad_h: 2 pad_w: 1", relu=True),
        ("wide", "r", "c1", "p1", "s", "data", "padded"),
    ),
}


def make(text: str) -> Net:
    data = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 38 dim: 45 } } }'
    net = Net(parse_net('name: "toy"' + data + text, "toy.prototxt"), seed=3)
    rng = np.random.default_rng(5)
    for name, blobs in net.params.items():
        if net.layer_dict[name].type == "BatchNorm":
            blobs[0].data[...] = rng.normal(size=blobs[0].shape)
            blobs[1].data[...] = rng.uniform(0.5, 2, size=blobs[1].shape)
            blobs[2].data[...] = 1.5
    return net


def both(net: Net, wanted: Sequence[str], x: torch.Tensor) -> list[list[torch.Tensor]]:
    """Values and the data's gradient, layer by layer and by tape."""
    program = net.program(wanted)
    executor = plan(program.steps, list(program.wanted.values()))
    found = []
    for way in ("layers", "tape"):
        xs = x.clone().requires_grad_()
        if way == "layers":
            values = program({"data": xs}, weights={})
        else:
            by_value = executor({program.inputs["data"]: xs.contiguous(memory_format=torch.channels_last)})
            values = {name: by_value[v] for name, v in program.wanted.items()}
        outs = [values[name] for name in wanted]
        torch.manual_seed(1)
        (grad,) = torch.autograd.grad(outs, xs, [torch.randn(y.shape) for y in outs])
        found.append([*(y.detach() for y in outs), grad])
    return found


def check(found: list[list[torch.Tensor]]) -> None:
    for a, b in zip(*found, strict=True):
        assert a.shape == b.shape
        assert float((a - b).norm()) <= 1e-5 * float(a.norm())


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [(38, 45), (41, 34)])
def test_same_numbers(name: str, size: tuple[int, int]) -> None:
    text, wanted = NETS[name]
    net = make(text)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(7))
    check(both(net, wanted, x))


def test_every_value_can_be_asked_for() -> None:
    text, _ = NETS["inception"]
    net = make(text)
    x = torch.randn(1, 3, 38, 45, generator=torch.Generator().manual_seed(7))
    names = [name for name in net.top_names if name != "data" and "_split" not in name]
    check(both(net, names, x))
    for name in names:
        check(both(net, [name], x))


def tape_of(net: Net, wanted: Sequence[str]) -> tuple[Executor, tuple[int, int]]:
    program = net.program(wanted)
    return plan(program.steps, list(program.wanted.values())), program.inputs["data"]


def test_what_is_taken_together() -> None:
    text, wanted = NETS["inception"]
    executor, _ = tape_of(make(text), wanted)
    assert len(executor.kernels) == 8  # c1 p1 n1 (a b) b3 p pp out
    assert max(len(k.branches) for k in executor.kernels if isinstance(k, Convolve)) == 2
    executor, _ = tape_of(make(NETS["residual"][0]), NETS["residual"][1])
    assert [k.node.layer.name for k in executor.kernels if isinstance(k, AutogradKernel)] == ["drop", "fc"]


def test_changed_weights_count_at_the_next_call() -> None:
    text, wanted = NETS["residual"]
    net = make(text)
    x = torch.randn(1, 3, 38, 45, generator=torch.Generator().manual_seed(7))
    check(both(net, wanted, x))
    program = net.program(wanted)
    executor = plan(program.steps, list(program.wanted.values()))
    at, want = program.inputs["data"], program.wanted["fc"]
    before = executor({at: x})[want]
    for name in ("c1", "bn", "sc"):
        held = net.params[name][0].data
        held *= 1.5
        after = executor({at: x})[want]
        assert not torch.allclose(before, after)
        torch.testing.assert_close(after, program({"data": x}, weights={})["fc"])
        held *= 0.5  # through a view that was alive all along
        torch.testing.assert_close(executor({at: x})[want], program({"data": x}, weights={})["fc"])
        before = after


def test_backward_twice_and_without_gradient() -> None:
    text, wanted = NETS["inception"]
    executor, at = tape_of(make(text), wanted)
    x = torch.randn(2, 3, 38, 45, requires_grad=True)
    (y,) = executor({at: x}).values()
    first, second = (torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    (plain,) = executor({at: x.detach()}).values()
    assert not plain.requires_grad
    assert torch.equal(plain, y.detach())


def test_keeping_memory_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_KEEP_MEMORY", "0")
    assert keep_memory.__wrapped__() is False


def test_real_nets_where_they_stand(shared: Path) -> None:
    net = Net(shared / "nets/googlenet.prototxt", seed=1)
    errors = []
    for seed in range(7, 15):
        x = torch.randn(1, 3, 131, 98, generator=torch.Generator().manual_seed(seed)) * 50
        (value, grad), (fused, fused_grad) = both(net, ["inception_4c/output"], x)
        assert float((value - fused).norm()) <= 1e-5 * float(value.norm())
        errors.append(float((grad - fused_grad).norm() / grad.norm()))
        if errors[-1] <= 1e-5:
            return
        assert errors[-1] < 0.05, errors
    pytest.fail(f"each of these images meets a kink on which rounding decides: {errors}")


def test_each_top_of_a_layer_has_a_name_also_where_it_is_overwritten() -> None:
    text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 5 dim: 3 } } }'
    text += 'layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 2 } }'
    text += 'layer { name: "squared" type: "Power" bottom: "b" top: "b" power_param { power: 2 } }'
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = Net(parse_net(text)).program(["cut", "cut[0]", "cut[1]", "squared"])({"data": x})
    for name, expected in {"cut": x[:, :2], "cut[0]": x[:, :2], "cut[1]": x[:, 2:], "squared": x[:, 2:] ** 2}.items():
        torch.testing.assert_close(found[name], expected)
    (grad,) = torch.autograd.grad(found["squared"].sum(), x)
    torch.testing.assert_close(grad[:, 2:], 2 * x[:, 2:].detach())
