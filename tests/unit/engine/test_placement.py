"""Values that a Concat joins lie in its top's memory, and the numbers stay."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dreamopt.engine.executor.affine import AffineKernel
from dreamopt.engine.executor.executor import Executor
from tests.support.nets import conv, layer
from tests.unit.engine.test_fusion import both, check, make, tape_of

DENSE = (
    conv("c0", "data", 8, "kernel_size: 3 pad: 1", relu=True)
    + conv("r1", "c0", 6, relu=True)
    + conv("c1", "r1", 5, "kernel_size: 3 pad: 1")
    + layer("d1", "Concat", "c0 c1")
    + layer("b2", "BatchNorm", "d1")
    + layer("r2", "ReLU", "b2", tops="b2")
    + conv("c2", "b2", 4, "kernel_size: 3 pad: 1")
    + layer("d2", "Concat", "d1 c2")
    + conv("c3", "d2", 3, "kernel_size: 1")
    + layer("d3", "Concat", "d2 c3")
    + conv("top", "d3", 4, "kernel_size: 3 stride: 2", relu=True)
)
# A bottom twice, one of two Concats, an input, one along another axis, and a value that is written nowhere in particular.
ODD = (
    conv("a", "data", 5, "kernel_size: 3 pad: 1", relu=True)
    + layer("half", "Power", "a", more="power_param { scale: 0.5 }")
    + layer("twice", "Concat", "a a data half")
    + layer("rows", "Concat", "a a", more="concat_param { axis: 2 }")
    + conv("b", "twice", 7, "kernel_size: 1")
    + layer("mix", "Concat", "b twice a")
    + conv("top", "mix", 4, "kernel_size: 5", relu=True)
    + conv("high", "rows", 3, "kernel_size: 3", relu=True)
)


def run_watched(executor: Executor, x: dict[Any, Tensor], monkeypatch: pytest.MonkeyPatch) -> dict[Any, Tensor]:
    """Run an executor, and return all its values."""
    values: dict[Any, Tensor] = {}
    for kernel in executor.kernels:

        def forward(xs: Any, keep: bool, outs: Any = (), kernel: Any = kernel, real: Any = kernel.forward) -> Any:
            tops, kept = real(xs, keep, outs)
            values.update(zip(kernel.writes, tops, strict=True))
            return tops, kept

        monkeypatch.setattr(kernel, "forward", forward)
    executor(x)
    return values


@pytest.mark.parametrize(
    ("text", "wanted"), [(DENSE, ("top",)), (DENSE, ("d2", "top", "c1")), (ODD, ("top", "high")), (ODD, ("mix", "a", "high"))]
)
@pytest.mark.parametrize("samples", [1, 2])
def test_same_numbers(text: str, wanted: tuple[str, ...], samples: int) -> None:
    net = make(text)
    for size in ((21, 26), (18, 23), (21, 26)):
        check(both(net, wanted, torch.randn(samples, 3, *size, generator=torch.Generator().manual_seed(7))))


def test_layers_of_a_dense_block_write_into_one_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    net = make(DENSE)
    executor, data = tape_of(net, ("top",))
    values = run_watched(executor, {data: torch.randn(2, 3, 21, 26)}, monkeypatch)
    at = {node.layer.name: (i, 0) for i, node in enumerate(net.nodes)}
    whole = values[at["d3"]]
    assert whole.is_contiguous(memory_format=torch.channels_last)
    for name, first in (("d1", 0), ("c1", 8), ("d2", 0), ("c2", 13), ("c3", 17)):
        part = values[at[name]]
        assert part.data_ptr() == whole[:, first:].data_ptr(), name
        assert part.stride() == whole.stride(), name
        assert torch.equal(part, whole[:, first : first + part.shape[1]]), name


def test_what_is_wanted_is_in_nobody_elses_memory() -> None:
    net = make(DENSE)
    executor, data = tape_of(net, ("d3", "d2", "c1"))
    outs = list(executor({data: torch.randn(1, 3, 21, 26)}).values())
    assert len({y.untyped_storage().data_ptr() for y in outs}) == 3


AFFINE = (
    layer("b0", "BatchNorm", "data")
    + layer("s0", "Scale", "b0", more="scale_param { bias_term: true filler { type: 'uniform' min: -0.5 } }")
    + conv("c", "s0", 9, "kernel_size: 3 pad: 1", relu=True)
    + layer("b1", "BatchNorm", "c")
    + layer("s1", "Scale", "b1", more="scale_param { filler { type: 'uniform' min: -0.5 max: 1 } }", tops="b1")
    + layer("r1", "ReLU", "b1", tops="b1")
    + layer("s2", "Scale", "c", more="scale_param { axis: -3 bias_term: true filler { type: 'uniform' } }")
    + layer("leaky", "ReLU", "s2", more="relu_param { negative_slope: 0.3 }")
    + layer("sum", "Eltwise", "b1 leaky")
    + layer("joined", "Concat", "sum b1 c")
    + conv("top", "joined", 4, "kernel_size: 3 stride: 2", relu=True)
)


@pytest.mark.parametrize("wanted", [("top",), ("b0", "s1", "top"), ("r1", "c")])
def test_affine_layers_and_their_relu_in_one_pass(wanted: tuple[str, ...]) -> None:
    net = make(AFFINE)
    check(both(net, wanted, torch.randn(2, 3, 21, 26, generator=torch.Generator().manual_seed(7))))
    net.params["s1"][0].data[...] *= -2  # weights that are changed later count
    check(both(net, wanted, torch.randn(1, 3, 18, 23, generator=torch.Generator().manual_seed(8))))


def test_affine_kernels_are_taken_together() -> None:
    executor, _ = tape_of(make(AFFINE), ("top",))
    chains = {k.nodes[0].layer.name: (len(k.nodes), k.relu) for k in executor.kernels if isinstance(k, AffineKernel)}
    assert chains == {"b0": (2, False), "b1": (2, True)}
