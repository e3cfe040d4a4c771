"""The values of a net that differ by more than a name."""

from pathlib import Path

import pytest
import torch

from dreamopt.network import load_net
from dreamopt.network.distinct import distinct_layers
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose


def test_each_value_once(tmp_path: Path) -> None:
    text = image_input(shape=(1, 3, 12, 14)) + conv("a", "data", 4, "kernel_size: 3", relu=True)
    text += layer("drop", "Dropout", "a", "a") + layer("b", "ReLU", "a", more="relu_param { negative_slope: 0.5 }")
    text += layer("drop2", "Dropout", "b") + layer("half", "Slice", "drop2", "one two", more="slice_param { slice_point: 1 }")
    text += layer("both", "Eltwise", "a b") + layer("flat", "Flatten", "both") + layer("which", "ArgMax", "flat")
    text += layer("label", "Input", more="input_param { shape { dim: 1 } }")
    text += layer("fc", "InnerProduct", "flat", more="inner_product_param { num_output: 5 }")
    text += layer("loss", "SoftmaxWithLoss", "fc label", "loss") + layer("alone", "Power", "label")
    (tmp_path / "net.prototxt").write_text(text)
    assert distinct_layers(load_net(tmp_path / "net.prototxt", device="cpu")) == ["a_relu", "b", "one", "two", "both", "fc"]


@pytest.mark.parametrize("name", ["googlenet", "resnet50", "caffenet_yos_v1"])
def test_those_of_published_nets_differ_and_are_all(name: str, shared: Path) -> None:
    """No two have the same numbers, and each value that is left out has those of one that is not, but before a layer in place."""
    net = load_net(shared / "nets" / f"{name}.prototxt", device="cpu", seed=1)
    names = distinct_layers(net)
    assert len(names) == len(set(names))
    if name == "googlenet":  # the others have no fillers, so that without weights all is zero
        x = torch.randn(1, *net.input_shape, generator=torch.Generator().manual_seed(0)) * 60
        with torch.no_grad():
            values = net.activations(x, names)
        seen = {(tuple(value.shape), value.double().sum().item(), value.double().square().sum().item()) for value in values.values()}
        assert len(seen) >= len(names) - 2  # dead ones may be zero alike
    blobs = {top for info in net.layers if info.type not in ("Split", "Input", "Dropout") for top in info.tops}
    written = {top for value in names for top in net.layers[net.graph.value(value)[0]].tops}
    assert written == blobs - {net.input_name}
