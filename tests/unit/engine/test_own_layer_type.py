"""A layer type of one's own, with parameters and weights, is one file: nothing else is edited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.engine import Net, known_types, layers
from dreamopt.engine.layer import Layer
from dreamopt.engine.layer_types import _registered, layer_class
from dreamopt.errors import DreamoptWarning, NetError, PrototxtError, ShapeError
from dreamopt.network import load_net
from dreamopt.recipes.inspect import inspect
from dreamopt.schema import parse_net
from dreamopt.testing import check_part

FILE = '''
"""Softsign with a slope and a bias for each channel."""
from dreamopt.engine.layer import Example, Layer, Weight

class SlopedSoftsign(Layer):
    """``y = slope x / (1 + |x|) + b_c``."""
    examples = (Example(), Example("softsign_param { slope: 2 }", ((4, 3),)))
    own_params = ("softsign_param",)
    has_weights = True

    def setup(self, bottoms):
        p = self.param_of("softsign_param")
        self.slope = p.get("slope", 1.0)
        if not self.slope > 0:
            self.fail(f"the slope at {self.where.of('softsign_param')} is {self.slope}; allowed is above 0")
        return [Weight((bottoms[0][1],))]

    def forward(self, bottoms, weights):
        return [self.slope * bottoms[0] / (1 + bottoms[0].abs()) + weights[0].reshape(-1, *[1] * (bottoms[0].dim() - 2))]
'''
NET = """name: "own"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 4 } } }
layer { name: "soft" type: "SlopedSoftsign" bottom: "data" top: "soft"
  softsign_param { slope: 2.5 mode: FAST on: true names: "a" names: 'b' sizes: [1, -2, 0x10] inner { deep { x: 1e-3 } y: false } }
}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "layers"
    folder.mkdir()
    (folder / "sloped_softsign.py").write_text(FILE)
    monkeypatch.setattr(layers, "__path__", [*layers.__path__, str(folder)])
    monkeypatch.setattr("dreamopt.engine.layer_types._registered", dict(_registered))
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def test_a_file_with_parameters_and_weights(own: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert "SlopedSoftsign" in known_types()
    net = Net(own)
    assert [str(w.message) for w in recwarn] == []
    layer = net.nodes[1].layer
    assert layer.param_of("softsign_param") == {
        "slope": 2.5,
        "mode": "FAST",
        "on": True,
        "names": ["a", "b"],
        "sizes": [1, -2, 16],
        "inner": {"deep": {"x": 1e-3}, "y": False},
    }
    assert str(layer.where.of("softsign_param")) == f"{own}:4"
    bias = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    net.params["soft"][0].data[...] = bias
    net.save(own.with_suffix(".caffemodel"))
    network = load_net(own, own.with_suffix(".caffemodel"), device="cpu")
    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    y = network.activations(x, ["soft"])["soft"]
    torch.testing.assert_close(y, 2.5 * x / (1 + x.abs()) + torch.tensor(bias)[:, None, None])
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, 2.5 / (1 + x.abs()) ** 2)
    row = inspect(network)["layers"][1]
    assert (row["type"], row["params"], row["shapes"]) == ("SlopedSoftsign", 3, [[3, 5, 4]])


def test_its_examples_are_checked(own: Path) -> None:
    check_part(layer_class("SlopedSoftsign", "", ""))


def test_errors_say_file_and_line(own: Path) -> None:
    own.write_text(NET.replace("slope: 2.5", "slope: -1"))
    with pytest.raises(ShapeError, match=r"net.prototxt:3: layer 'soft' .*the slope at .*net.prototxt:4 is -1; allowed is above 0"):
        Net(own)
    own.write_text(NET.replace("softsign_param {", "softsign_param { } softsign_param {"))
    with pytest.raises(PrototxtError, match=r"net.prototxt:4: layer 'soft': 'softsign_param' is given twice"):
        Net(own)
    own.write_text(NET.replace("slope: 2.5", "slope: ,"))
    with pytest.raises(PrototxtError, match=r"net.prototxt:4: ',' stands where a number, word, string or block is expected"):
        Net(own)
    own.write_text(NET.replace("softsign_param", "softsign_parm"))
    with pytest.warns(DreamoptWarning, match="LayerParameter has no field 'softsign_parm'"):
        Net(own)


def test_a_known_type_with_an_unknown_block_still_warns(own: Path) -> None:
    text = NET.replace("SlopedSoftsign", "ReLU")
    with pytest.warns(DreamoptWarning, match=r"layer 'soft': LayerParameter has no field 'softsign_param'.*; it is left out"):
        definition = parse_net(text)
    layer: Layer = Net(definition).nodes[1].layer
    with pytest.raises(NetError, match="layer type ReLU reads 'softsign_param', but own_params names none"):
        layer.param_of("softsign_param")


def test_a_type_with_weights_is_not_left_out_with_the_labels(own: Path) -> None:
    text = """
layer { name: "data" type: "Data" top: "data" top: "label" }
layer { name: "soft" type: "SlopedSoftsign" bottom: "label" top: "soft" }
layer { name: "loss" type: "EuclideanLoss" bottom: "data" bottom: "soft" top: "loss" }"""
    shapes = {"data": (1, 3, 5, 4), "label": (1, 3, 5, 4)}
    assert "soft" in [layer.name for layer in parse_net(text, input_shape=shapes).param.layer]
    without = parse_net(text.replace("SlopedSoftsign", "AbsVal"), input_shape={"data": (1, 3, 5, 4)})
    assert "soft" not in [layer.name for layer in without.param.layer]
