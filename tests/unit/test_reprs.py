"""What a user gets back prints as one short line that names what it is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamopt
import dreamopt.caffe as caffe
from dreamopt.activation_atlas.atlas import ActivationAtlas
from dreamopt.circuits.connections import Connections
from dreamopt.circuits.effects import class_effects
from dreamopt.circuits.expanded import expanded_weights
from dreamopt.circuits.linear_net import LinearNet
from dreamopt.data import PROTOTXT, WEIGHTS
from dreamopt.engine import Net
from dreamopt.network import Network
from dreamopt.optimize import Adam, run
from dreamopt.parts.brief import LONGEST
from dreamopt.recipes import Settings, plan_render
from dreamopt.recipes.film import Dreamed
from dreamopt.recipes.survey import run_survey
from dreamopt.recipes.zoom_film import Zoomed
from dreamopt.testing import toy_network
from dreamopt.tuning.tuning import layer_tuning

HOSTILE = "a\nb\x1b[31m" + "very long " * 40


def one_line(thing: Any) -> str:
    text = repr(thing)
    assert len(text) <= LONGEST, text
    assert text.isprintable(), text
    assert not re.search(r" at 0x[0-9a-f]+", text), text
    assert type(thing).__name__ in text, text
    return text


@pytest.fixture(scope="module")
def network() -> Network:
    return toy_network()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 13, 3)).astype(np.uint8)


def test_what_functions_return_says_what_it_is(network: Network, image: np.ndarray, tmp_path: Path) -> None:
    settings = Settings(steps=1, size=(11, 13))
    [rendered] = dreamopt.render(network, "conv2:3", settings)
    assert one_line(rendered).startswith("<Rendered conv2:3: 13 x 11, value ")
    assert one_line(dreamopt.dream(network, image, "conv2", octaves=1, steps=1)).startswith("<Rendered ")
    [frame] = dreamopt.zoom(network, image, "conv2", fps=1, seconds=1, octaves=1, steps=1)
    one_line(frame)
    assert "input data (3, 11, 13)" in one_line(network)
    problem = dreamopt.Problem(network, ["conv2:3", "conv2:1"])
    assert one_line(problem).startswith("<Problem conv2:3 | conv2:1: ")
    assert ": 1 step, values " in one_line(run(problem, Adam(), steps=1))
    assert "gradient of fc:2" in one_line(dreamopt.attribute(network, image, "fc:2", "gradient"))
    compared = dreamopt.compare_attributions(network, image, "fc:2", ["gradient"], metrics=["srg"], sanity=False)
    assert one_line(compared).startswith("<Comparison 1 method on 1 image: best by srg: ")
    [top] = dreamopt.top(network, [image], "conv2:3", k=1)
    assert "conv2:3: 1 of 1 image by max" in one_line(top)
    assert "of 11 x 13" in one_line(top.images[0])
    assert "conv2: 1 image" in one_line(run_survey(network, [image], ["conv2"], k=1))
    assert "conv2:3" in one_line(plan_render(network, "conv2:3", settings))
    assert "steps=1, size=[11, 13]" in one_line(settings) or "size=[11, 13], steps=1" in one_line(settings)
    assert one_line(Settings()) == "<Settings: all as by default>"
    for preset in dreamopt.presets():
        assert one_line(preset).startswith(f"<Preset {preset.name}: ")
    assert one_line(Dreamed(tmp_path / "a.mp4", 9, 4, 0, {})).endswith("a.mp4: 4 of 9 frames>")
    assert one_line(Zoomed(tmp_path / "a.mp4", 1, 1, None, {})).endswith("a.mp4: 1 of 1 frame>")
    assert "conv2" in one_line(layer_tuning(network, "conv2", orientations=2, frequencies=2, hues=2))
    one_line(layer_tuning(network, "conv2", orientations=2, frequencies=2, hues=2).curves[0])
    one_line(ActivationAtlas("conv2", (3, 4), 9, ()))
    tiny = dreamopt.load_net(device="cpu")
    assert "conv2 over conv1" in one_line(expanded_weights(tiny, "conv2", "conv1", [1]))
    assert "mixed4 on scores" in one_line(class_effects(tiny, "mixed4", [1]))
    assert "tiny" in one_line(LinearNet(tiny))
    one_line(Connections(tiny))


def test_nets_say_their_inputs_and_layers_their_weights() -> None:
    for kind in (caffe.Net, Net):
        net = kind(str(PROTOTXT), str(WEIGHTS), caffe.TEST)
        net.blobs["data"].reshape(2, 3, 64, 80)
        assert one_line(net) == "<Net tiny: TEST, 96 layers, from data (2, 3, 64, 80), to prob, on cpu>"
        assert repr(net.layers[1]) == repr(net.layer_dict["conv1"]) == "<Layer conv1: Convolution, (24, 3, 7, 7)>"
    assert one_line(dreamopt.load_net(device="cpu")) == "<Network tiny: 96 layers, input data (3, 96, 96), engine on cpu>"


def test_texts_from_outside_stay_on_the_line(network: Network, image: np.ndarray) -> None:
    [rendered] = dreamopt.render(network, "conv2:3", steps=1, size=(11, 13))
    assert "\\n" in one_line(dataclasses.replace(rendered, sample=dataclasses.replace(rendered.sample, label=HOSTILE)))
    one_line(dataclasses.replace(dreamopt.attribute(network, image, "fc:2", "gradient"), label=HOSTILE))
    one_line(dataclasses.replace(dreamopt.top(network, [image], "conv2:3", k=1)[0].images[0], path=HOSTILE))
    one_line(dreamopt.Problem(network, [f"conv2:{unit % 4}" for unit in range(60)]))
