"""Effects on classes: against the change of the scores of a net without nonlinearities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import dreamopt
from dreamopt.circuits.effects import class_effects
from dreamopt.circuits.expanded import expanded_weights
from dreamopt.errors import UsageError
from dreamopt.network import Network
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

POWER = 'type: "Power"'
FULLY = (
    conv("a", "data", 5, "kernel_size: 3")
    + layer("a/relu", "ReLU", "a", "a")
    + layer("pool", "Pooling", "a", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + conv("b", "pool", 6, "kernel_size: 3 group: 1")
    + conv("c", "pool", 6, "kernel_size: 3")
    + layer("sum", "Eltwise", "b c", more="eltwise_param { coeff: 1 coeff: -0.5 }")
    + layer("sum/relu", "ReLU", "sum", "sum")
    + layer("bn", "BatchNorm", "sum", more="batch_norm_param { eps: 0.5 }")
    + layer("fc", "InnerProduct", "bn", more='inner_product_param { num_output: 8 weight_filler { type: "gaussian" std: 0.1 } }')
    + layer("fc/relu", "ReLU", "fc", "fc")
    + layer("scores", "InnerProduct", "fc", more='inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 } }')
    + layer("prob", "Softmax", "scores")
)
MEAN = (
    conv("a", "data", 6, "kernel_size: 3 stride: 2")
    + layer("a/relu", "ReLU", "a", "a")
    + conv("b", "a", 4, "kernel_size: 2 group: 2")
    + layer("joined", "Concat", "a2 b")
    + conv("scores_map", "joined", 5, "kernel_size: 1")
    + layer("scores", "Pooling", "scores_map", more="pooling_param { pool: AVE global_pooling: true }")
    + layer("prob", "Softmax", "scores")
).replace('layer { name: "joined"', conv("a2", "a", 3, "kernel_size: 2") + 'layer { name: "joined"')


def load(folder: Path, text: str, labels: list[str] | None = None) -> tuple[Network, Network]:
    """Return a net, and the same without nonlinearities."""
    nets = []
    for name, body in (("net", text), ("twin", text.replace('type: "ReLU"', POWER).replace("pool: MAX", "pool: AVE"))):
        path = folder / f"{name}.prototxt"
        path.write_text(image_input(shape=(1, 2, 16, 18)) + body, encoding="utf-8")
        nets.append(dreamopt.load_net(path, device="cpu", seed=2, labels=labels))
    return nets[0], nets[1].with_weights(nets[0].weights())


def risen(twin: Network, name: str, unit: int) -> Tensor:
    """Return what the scores gain when a unit rises by 1 at all places."""
    x = torch.zeros(1, *twin.input_shape)
    with torch.no_grad():
        value = twin.activations(x, [name])[name]
        more = value.clone()
        more[:, unit] += 1
        both = twin.backend.activations_from(name, torch.cat([value, more]), ["scores"])["scores"]  # type: ignore[attr-defined]  # the engine's
    return (both[1] - both[0]).flatten()


@pytest.mark.parametrize(
    ("text", "layers"), [(FULLY, ["a", "pool", "bn", "fc"]), (MEAN, ["a", "joined", "scores_map"])], ids=["fully", "mean"]
)
def test_a_unit_moves_the_scores_as_said(tmp_path: Path, text: str, layers: list[str]) -> None:
    """Of nets without padding, whose windows end where maps do."""
    network, twin = load(tmp_path, text)
    for name in layers:
        found = class_effects(network, name)
        assert found.classes == "scores"
        for unit in (0, len(found.units) - 1):
            want = risen(twin, name, unit)
            if text is FULLY or name == "scores_map":  # else the windows of a stride do not cover all places
                torch.testing.assert_close(found.effects[unit], want, rtol=1e-3, atol=1e-4)
            whole = expanded_weights(network, "scores", name).kernels.sum((2, 3))[:, unit]
            torch.testing.assert_close(whole, want, rtol=1e-3, atol=1e-4)


def test_the_ranking_is_of_the_class_layer_and_its_labels(tmp_path: Path) -> None:
    network, _ = load(tmp_path, FULLY, ["ant", "bee", "cat", "dog"])
    found = class_effects(network, "fc", [6, 2])
    assert found.units == (2, 6)
    weights = torch.from_numpy(network.weights()["scores"][0])
    torch.testing.assert_close(found.effects, weights.t()[[2, 6]])
    top, bottom = found.top(6, 3), found.bottom(6, 2)
    assert [one.number for one in top] == weights[:, 6].argsort(descending=True)[:3].tolist()
    assert [one.number for one in bottom] == weights[:, 6].argsort()[:2].tolist()
    assert top[0].label == ["ant", "bee", "cat", "dog"][top[0].number]
    assert [one.effect for one in class_effects(network, "scores", [3]).top(3)] == [1.0, 0.0, 0.0, 0.0]


def test_without_classes_it_says_so(tmp_path: Path) -> None:
    network, _ = load(tmp_path, conv("a", "data", 3, "kernel_size: 3"))
    with pytest.raises(UsageError, match="no class scores"):
        class_effects(network, "a")  # a map, of which neither a Softmax nor labels say that it is classes
    assert class_effects(load(tmp_path, conv("a", "data", 4, "kernel_size: 3"), ["ant", "bee", "cat", "dog"])[0], "a").classes == "a"
    with pytest.raises(UsageError, match="no linear way leads from layer 'prob' to the class scores, layer 'scores'"):
        class_effects(load(tmp_path, FULLY)[0], "prob")
