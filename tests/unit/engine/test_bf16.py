"""Convolutions and inner products in bfloat16: exactly its rounding, forward and back, and refused where the device lacks it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from dreamopt.engine import Net, precision
from dreamopt.engine.executor import bf16
from dreamopt.engine.executor.bf16 import InnerProductBF16, PackedBF16
from dreamopt.engine.executor.convolution import Backward, Convolve, Geometry
from dreamopt.engine.native import library
from dreamopt.engine.precision import check_precision, has_bf16, require_precision
from dreamopt.errors import BackendError, UsageError
from dreamopt.schema import parse_net
from tests.support.nets import conv, image_input, layer
from tests.support.precision import needs_bf16

CPU = torch.device("cpu")
EPSILON = 2.0**-8  # the largest rounding to bfloat16
# No kinks: a ReLU that falls to the other side would hide what a product loses.
SMOOTH = (
    image_input(shape=(2, 3, 22, 19))
    + conv("first", "data", 7, "kernel_size: 5 stride: 2 pad: 2")
    + conv("a", "first", 9)
    + conv("b", "first", 12)
    + conv("b3", "b", 10, "kernel_size: 3 pad: 1")
    + conv("grouped", "b3", 20, "kernel_size: 3 group: 2 dilation: 2 pad: 2 bias_term: false")
    + layer("joined", "Concat", "a grouped")
    + conv("thin", "joined", 16, "kernel_size: 1 stride: 2")
    + conv("wide", "thin", 70, "kernel_size: 3 stride: 2")
    + layer("fc", "InnerProduct", "wide", more="inner_product_param { num_output: 6 weight_filler { type: 'xavier' } }")
    + layer("out", "InnerProduct", "fc", more="inner_product_param { num_output: 5 transpose: true weight_filler { type: 'xavier' } }")
)
GEOMETRIES = {
    "3x3": ((8, 5, 3, 3), Geometry((3, 3), (1, 1), (1, 1), (1, 1), 1)),
    "1x1": ((11, 6, 1, 1), Geometry((1, 1), (1, 1), (0, 0), (1, 1), 1)),
    "thinned": ((11, 6, 1, 1), Geometry((1, 1), (2, 3), (0, 0), (1, 1), 1)),
    "strided": ((6, 4, 5, 3), Geometry((5, 3), (2, 2), (2, 0), (1, 1), 1)),
    "many channels and a stride": ((5, 70, 3, 2), Geometry((3, 2), (2, 1), (1, 0), (1, 1), 1)),
    "groups": ((10, 4, 3, 1), Geometry((3, 1), (1, 1), (2, 0), (2, 1), 2)),
}


def whole_numbers(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return small whole numbers, which bfloat16 holds and whose sums float32 holds."""
    return torch.randint(-6, 7, shape, generator=torch.Generator().manual_seed(seed)).float()


@needs_bf16
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_convolution_of_whole_numbers_rounds_its_result_alone(name: str) -> None:
    shape, geometry = GEOMETRIES[name]
    w, bias = whole_numbers(shape, 1), whole_numbers(shape[:1], 2)
    x = whole_numbers((2, shape[1] * geometry.groups, 13, 14), 3).requires_grad_()
    exact = torch.nn.functional.conv2d(x, w, bias, *geometry[1:])
    packed = PackedBF16(w, bias, geometry)
    images = x.detach().contiguous(memory_format=torch.channels_last)
    assert torch.equal(packed(images), exact.detach().bfloat16().float())
    assert packed(images).dtype == torch.float32
    assert torch.equal(packed(images, relu=True), exact.detach().relu().bfloat16().float())
    out = torch.zeros(2, shape[0] + 3, *exact.shape[2:]).contiguous(memory_format=torch.channels_last)
    packed(images, out=out[:, 1:-2])
    assert torch.equal(out[:, 1:-2], exact.detach().bfloat16().float())
    assert not out[:, :1].any()
    assert not out[:, -2:].any()
    grad = whole_numbers(tuple(exact.shape), 4)
    (wanted,) = torch.autograd.grad(exact, x, grad)
    there = whole_numbers(tuple(x.shape), 5).contiguous(memory_format=torch.channels_last)
    back = Backward(w, geometry, kind=PackedBF16)
    grad = grad.contiguous(memory_format=torch.channels_last)
    rounded = back(grad, tuple(x.shape), None)
    # Phases, and what a native kernel spreads, may be rounded part by part, or not at all.
    assert float((rounded - wanted).norm()) <= EPSILON * float(wanted.norm())
    assert torch.equal(back(grad, tuple(x.shape), there.clone(memory_format=torch.channels_last)), there + rounded)


@pytest.fixture(params=["native", "torch"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let everything else be computed with native kernels, and without."""
    if request.param == "torch":
        monkeypatch.setenv("DREAMOPT_NATIVE", "0")
    library.cache_clear()
    yield request.param
    monkeypatch.undo()
    library.cache_clear()


@needs_bf16
@pytest.mark.usefixtures("kernels")
def test_values_and_gradients_of_a_net_without_kinks() -> None:
    net = Net(parse_net(SMOOTH, "smooth"), seed=4)
    x = torch.randn(2, 3, 22, 19, generator=torch.Generator().manual_seed(1)) * 40
    found: dict[str, tuple[Tensor, Tensor]] = {}
    programs = {name: net.program(["out"], precision=name) for name in ("float32", "bf16")}
    assert sum(isinstance(kernel, InnerProductBF16) for kernel in programs["bf16"]._executor.kernels) == 2
    for name, program in programs.items():
        leaf = x.clone().requires_grad_()
        y = program({"data": leaf})["out"]
        seed = torch.linspace(1, 2, y.numel()).reshape(y.shape)
        found[name] = y.detach(), torch.autograd.grad(y, leaf, seed)[0]
        assert y.dtype == found[name][1].dtype == torch.float32
    for low, whole in zip(found["bf16"], found["float32"], strict=True):
        off = float((low - whole).norm() / whole.norm())
        assert 1e-4 < off < 3 * EPSILON, "eight roundings one behind the other, of either sign"


@needs_bf16
def test_weights_that_change_count_at_the_next_pass() -> None:
    net = Net(parse_net(SMOOTH, "smooth"), seed=4)
    program, x = net.program(["out"], precision="bf16"), torch.ones(1, 3, 22, 19)
    program({"data": x})
    for name in ("b3", "fc"):
        net.params[name][0].data[...] *= -1.5
    again, whole = program({"data": x})["out"], net.program(["out"])({"data": x})["out"]
    assert float((again - whole).norm() / whole.norm()) < 4 * EPSILON


@needs_bf16
def test_groups_of_few_channels_stay_in_float32() -> None:
    text = image_input(shape=(1, 6, 8, 9)) + conv("c", "data", 6, "kernel_size: 3 group: 6")
    net, x = Net(parse_net(text, "depthwise"), seed=2), torch.randn(1, 6, 8, 9, generator=torch.Generator().manual_seed(2))
    low, whole = (net.program(["c"], precision=name) for name in ("bf16", "float32"))
    assert isinstance(low._executor.kernels[0], Convolve)
    assert torch.equal(low({"data": x})["c"], whole({"data": x})["c"])


@needs_bf16
def test_the_product_is_bfloat16_and_its_memory_is_counted() -> None:
    net = Net(parse_net(SMOOTH, "smooth"), seed=4)
    programs = [net.program(["out"], precision=name) for name in ("float32", "bf16")]
    shapes = {"data": (1, 3, 22, 19)}
    assert programs[0].shapes(shapes) == programs[1].shapes(shapes)
    kernel = programs[1]._executor.kernels[-1]
    assert isinstance(kernel, InnerProductBF16)
    assert kernel.works_in({kernel.reads[0]: (2, 6), kernel.writes[0]: (2, 5)}) == 2 * (12 + 10)


@pytest.mark.parametrize("value", ["bf32", "BF16", "", None, 16, torch.bfloat16, ["bf16"]])
def test_other_precisions_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="precision must be float32 or bf16, not "):
        check_precision(value)


def test_a_device_without_the_instruction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    assert require_precision("float32", CPU) == "float32"
    with pytest.raises(
        BackendError, match=r"'bf16' needs a processor with avx512_bf16 or amx_bf16, or a GPU .* cpu is not; leave it at float32"
    ):
        require_precision("bf16", CPU)
    net = Net(parse_net(SMOOTH, "smooth"))
    with pytest.raises(BackendError, match="leave it at float32"):
        net.program(["out"], precision="bf16")


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
def test_either_instruction_of_a_processor_counts(flags: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"_is_avx512_bf16_supported": lambda: flags[0], "_is_amx_tile_supported": lambda: flags[1]}
    monkeypatch.setattr(torch, "cpu", SimpleNamespace(**asked))
    assert has_bf16(CPU) is any(flags)
    monkeypatch.setattr(torch, "cpu", SimpleNamespace())
    assert has_bf16(CPU) is False


@pytest.mark.parametrize(("capability", "there"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_has_it_from_compute_capability_8(capability: tuple[int, int], there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_bf16(torch.device("cuda:1")) is there
    assert not has_bf16(torch.device("meta"))


@needs_bf16
def test_where_weights_cannot_be_packed_torch_convolves() -> None:
    """As on a GPU."""
    shape, geometry = GEOMETRIES["3x3"]
    w, bias, x = whole_numbers(shape, 1), whole_numbers(shape[:1], 2), whole_numbers((1, 5, 7, 9), 3)
    packed = bf16.PackedBF16(w, bias, geometry)
    packed.packable = False
    exact = torch.nn.functional.conv2d(x, w, None, *geometry[1:]).bfloat16().float() + bias[:, None, None]
    assert torch.equal(packed(x), exact)
    assert torch.equal(packed(x, relu=True), exact.relu())
