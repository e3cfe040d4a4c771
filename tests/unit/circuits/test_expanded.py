"""Expanded weights against the gradient of the same net without nonlinearities, computed by the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import dreamopt
from dreamopt.circuits.expanded import ExpandedWeights, expanded_weights, strengths_of, whole_maps
from dreamopt.circuits.linear_net import LinearNet
from dreamopt.errors import UsageError
from dreamopt.network import Network
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

SIZE = (37, 43)
GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "gaussian" std: 0.5 }'


def relu(bottom: str) -> str:
    return layer(f"relu_{bottom}", "ReLU", bottom, bottom)


def pool(name: str, bottom: str, how: str) -> str:
    return layer(name, "Pooling", bottom, more=f"pooling_param {{ {how} }}")


def load(folder: Path, text: str, shape: tuple[int, ...] = (1, 3, *SIZE)) -> tuple[Network, Network]:
    """Return a net, and the same with identities for ReLUs and averages for MAX."""
    nets, twin = [], text
    for own, linear in (('type: "ReLU"', 'type: "Power"'), ("pool: MAX", "pool: AVE"), ("alpha: 0.5", "alpha: 0")):
        twin = twin.replace(own, linear)
    for name, body in (("net", text), ("twin", twin)):
        path = folder / f"{name}.prototxt"
        path.write_text(image_input(shape=shape) + body, encoding="utf-8")
        nets.append(dreamopt.load_net(path, device="cpu", seed=7))
    return nets[0], nets[1].with_weights(nets[0].weights())


def gradients(twin: Network, found: ExpandedWeights) -> Tensor:
    """Return the gradients of the units, at their place, with respect to the layer below: (n, C, H, W)."""
    x = torch.zeros(1, *twin.input_shape).requires_grad_()
    if found.below == twin.input_name:
        top = twin.activations(x, [found.layer])[found.layer]
        below = x
    else:
        values = twin.activations(x, [found.layer, found.below], between_layers=True)
        top, below = values[found.layer], values[found.below]
    at = top[0] if top.dim() == 2 else top[0, :, found.place[0], found.place[1]]
    rows = [torch.autograd.grad(at[unit], below, retain_graph=True)[0][0] for unit in found.units]
    maps = torch.stack(rows)
    return maps if maps.dim() == 4 else maps[:, :, None, None]


CHAIN = (
    conv("a", "data", 6, "kernel_h: 5 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 2")
    + relu("a")
    + pool("b", "a", "pool: MAX kernel_size: 3 stride: 2")
    + conv("c", "b", 10, "kernel_size: 3 dilation: 2 pad: 1 group: 2")
    + relu("c")
    + conv("d", "c", 10, "kernel_size: 3 group: 10")
    + layer("bn", "BatchNorm", "d")
    + layer("scale", "Scale", "bn", more='scale_param { bias_term: true filler { type: "gaussian" std: 1 } }')
    + layer("norm", "LRN", "scale", more="lrn_param { local_size: 3 alpha: 0.5 k: 2 }")
    + conv("e", "norm", 7, "kernel_h: 2 kernel_w: 1")
)
BRANCHES = (
    conv("a", "data", 5, "kernel_size: 3 stride: 2")
    + relu("a")
    + conv("left", "a", 3, "kernel_size: 1")
    + conv("right", "a", 2, "kernel_h: 7 kernel_w: 3 pad_h: 3 pad_w: 1")
    + pool("pooled", "a", "pool: AVE kernel_size: 3 stride: 1 pad: 1")
    + conv("projected", "pooled", 4, "kernel_size: 1")
    + layer("joined", "Concat", "left right projected")
    + relu("joined")
    + conv("again", "joined", 9, "kernel_size: 5 pad: 2")
    + layer("sum", "Eltwise", "joined again", more="eltwise_param { coeff: 0.5 coeff: -2 }")
    + relu("sum")
    + layer("cut", "Slice", "sum", "one two", more="slice_param { slice_point: 4 }")
    + conv("e", "two", 6, "kernel_size: 2 stride: 3")
    + layer("f", "InnerProduct", "e", more=f"inner_product_param {{ num_output: 8 {GAUSSIAN} }}")
    + layer("g", "InnerProduct", "f", more=f"inner_product_param {{ num_output: 5 transpose: true {GAUSSIAN} }}")
    + layer("prob", "Softmax", "g")
)
UP = (
    conv("a", "data", 4, "kernel_size: 4 stride: 3 pad: 1")
    + layer(
        "up",
        "Deconvolution",
        "a",
        more=f"convolution_param {{ num_output: 6 group: 2 kernel_h: 4 kernel_w: 3 stride: 2 pad: 1 {GAUSSIAN} }}",
    )
    + relu("up")
    + conv("c", "up", 3, "kernel_size: 3")
    + conv("d", "c", 3, "kernel_size: 2 stride: 2")
    + layer("flat", "Flatten", "d")
    + layer("out", "InnerProduct", "flat", more=f"inner_product_param {{ num_output: 4 {GAUSSIAN} }}")
    + pool("small", "d", "pool: MAX kernel_size: 3 stride: 2")
    + layer("mixed", "InnerProduct", "small", more=f"inner_product_param {{ num_output: 4 {GAUSSIAN} }}")
    + pool("mean", "d", "pool: AVE global_pooling: true")
    + conv("last", "mean", 3, "kernel_size: 1")
)

PAIRS = [
    ("chain", CHAIN, [("c", "a"), ("c", "relu_a"), ("d", "b"), ("e", "c"), ("e", "a"), ("e", "data"), ("norm", "b"), ("a", "data")]),
    ("branches", BRANCHES, [("joined", "a"), ("sum", "a"), ("sum", "joined"), ("e", "a"), ("e", "data"), ("e", "right"), ("one", "left"), ("f", "e"),
                            ("f", "sum"), ("f", "a"), ("g", "joined"), ("g", "f"), ("g", "data")]),
    ("up", UP, [("up", "a"), ("c", "a"), ("c", "data"), ("d", "a"), ("out", "d"), ("out", "a"), ("mixed", "c"), ("last", "d"), ("last", "up"), ("last", "data")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pairs"), [pytest.param(text, pairs, id=name) for name, text, pairs in PAIRS])
def test_expanded_weights_are_gradients_of_the_linear_net(tmp_path: Path, text: str, pairs: list[tuple[str, str]]) -> None:
    network, twin = load(tmp_path, text)
    linear = LinearNet(network)
    for above, below in pairs:
        count = linear.count(linear.graph.value(above))
        for units in (range(count), [count - 1, 1]):
            found = expanded_weights(linear, above, below, units)
            want = gradients(twin, found)
            assert found.units == tuple(sorted(units))
            have = whole_maps(found, linear)
            assert have.shape == want.shape
            torch.testing.assert_close(
                have, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()), msg=lambda text, pair=(above, below): f"{pair}: {text}"
            )


def test_of_one_convolution_they_are_its_weights(tmp_path: Path) -> None:
    network, _ = load(tmp_path, CHAIN)
    weights = network.weights()
    found = expanded_weights(network, "e", "norm")
    assert torch.equal(found.kernels, torch.from_numpy(weights["e"][0]))
    found = expanded_weights(network, "relu_a", "data", [2])
    assert torch.equal(found.kernels, torch.from_numpy(weights["a"][0][2:3]))
    assert found.offset == (found.place[0] * 2 - 1, found.place[1] - 2)
    grouped = expanded_weights(network, "c", "b").kernels
    assert torch.equal(grouped[:5, :3, ::2, ::2], torch.from_numpy(weights["c"][0][:5]))
    assert not torch.cat([grouped[:5, 3:], grouped[5:, :3]]).any()
    assert not grouped[:, :, 1::2].any()


def test_the_kernel_spans_the_receptive_field(tmp_path: Path) -> None:
    network, _ = load(tmp_path, CHAIN)
    assert expanded_weights(network, "c", "a", [0]).kernels.shape[2:] == (11, 11)
    assert expanded_weights(network, "c", "data", [0]).kernels.shape[2:] == (25, 13)


def test_strengths_have_the_sign_of_the_sum() -> None:
    kernels = torch.tensor([[[[3.0, -4.0]], [[0.0, 2.0]], [[1.0, -1.0]]]])
    torch.testing.assert_close(strengths_of(kernels), torch.tensor([[-5.0, 2.0, 2**0.5]]))


def test_the_mean_stands_for_the_largest(tmp_path: Path) -> None:
    text = conv("a", "data", 4, "kernel_size: 1") + conv("b", "data", 4, "kernel_size: 3 pad: 1")
    network, _ = load(tmp_path, text + layer("most", "Eltwise", "a b", more="eltwise_param { operation: MAX }"))
    found = expanded_weights(network, "most", "data").kernels
    weights = network.weights()
    want = torch.from_numpy(weights["b"][0]) / 2
    want[:, :, 1:2, 1:2] += torch.from_numpy(weights["a"][0]) / 2
    torch.testing.assert_close(found, want)


def test_at_borders_the_mean_is_over_places_of_the_map(tmp_path: Path) -> None:
    text = pool("most", "data", "pool: MAX kernel_size: 3 stride: 3 pad: 1") + pool("whole", "most", "pool: MAX global_pooling: true")
    network, _ = load(tmp_path, text, (1, 2, 5, 4))
    found = expanded_weights(network, "whole", "data", [1]).kernels
    assert not found[0, 0].any()
    rows, columns = torch.tensor([2, 2, 3, 3, 3]), torch.tensor([2, 2, 2, 2])
    torch.testing.assert_close(found[0, 1], 0.25 / (rows[:, None] * columns).float())


def test_what_leads_nowhere_is_an_error_that_says_why(tmp_path: Path) -> None:
    text = conv("a", "data", 4, "kernel_size: 1") + conv("b", "data", 4, "kernel_size: 1")
    network, _ = load(tmp_path, text + layer("times", "Eltwise", "a b", more="eltwise_param { operation: PROD }"))
    with pytest.raises(UsageError, match="not below it"):
        expanded_weights(network, "a", "b")
    with pytest.raises(UsageError, match=r"'times' \(Eltwise.*multiplies values by each other"):
        expanded_weights(network, "times", "data")
    with pytest.raises(UsageError, match="units 0 to 3, not 4"):
        expanded_weights(network, "a", "data", [4])
