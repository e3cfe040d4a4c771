"""A dream without a target: the layer that is chosen, at the sizes of all octaves, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.cli import main
from dreamopt.errors import ShapeError, UsageError
from dreamopt.recipes import Aim, Settings
from dreamopt.recipes.dream import plan_dream
from dreamopt.recipes.preset import resolve_settings
from tests.support.nets import conv, image_input, layer

PIXELS = np.random.default_rng(3).integers(0, 256, (44, 52, 3)).astype(np.uint8)


def test_it_is_dreamed_of_as_if_it_were_named() -> None:
    net = dreamopt.load_net(device="cpu")
    settings = resolve_settings("deepdream2015", {"octaves": 2, "steps": 1})
    assert plan_dream(net, PIXELS, None, settings) == plan_dream(net, PIXELS, "mixed4", settings)


def test_the_smallest_octave_counts() -> None:
    """At 44 x 52 mixed4 can be reached, at 5 x 6 a layer below alone."""
    net = dreamopt.load_net(device="cpu")
    settings = resolve_settings("deepdream2015", {"octaves": 7, "steps": 1})
    assert plan_dream(net, PIXELS, None, settings).samples[0].text == "mixed3"
    net.shape_of("mixed4", (44, 52))
    with pytest.raises(ShapeError, match="aim at layer 'mixed3', the highest below 'mixed5' that it reaches"):
        plan_dream(net, PIXELS, "mixed5", settings)


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_a_layer_above_a_fully_connected_one_at_another_size(tmp_path: Path) -> None:
    text = image_input(shape=(1, 3, 20, 20)) + conv("c", "data", 4, "kernel_size: 3", relu=True)
    (tmp_path / "net.prototxt").write_text(text + layer("fc", "InnerProduct", "c", more="inner_product_param { num_output: 5 }"))
    net = dreamopt.load_net(tmp_path / "net.prototxt", device="cpu")
    with pytest.raises(ShapeError, match=r"layer 'fc' cannot be reached .* or layer 'c_relu', the highest below it that can"):
        plan_dream(net, PIXELS, "fc:2", resolve_settings("deepdream2015", {"octaves": 1}))
    assert plan_dream(net, PIXELS[:20, :20], "fc:2", Settings(octaves=1)).samples[0].text == "fc:2"


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_a_net_whose_layers_all_want_one_size(tmp_path: Path) -> None:
    text = image_input(shape=(1, 1, 28, 24)) + layer("ip", "InnerProduct", "data", more="inner_product_param { num_output: 5 }")
    (tmp_path / "net.prototxt").write_text(text)
    net = dreamopt.load_net(tmp_path / "net.prototxt", device="cpu")
    with pytest.raises(
        ShapeError, match="does not reach up to ip, nor up to any layer below; take one octave of the net's own size, 24 x 28"
    ):
        plan_dream(net, PIXELS, "ip")
    with pytest.raises(UsageError, match=r"no layer of the net has a map .* for instance 'ip'"):
        plan_dream(net, PIXELS)


def test_a_guide_that_is_too_small_for_the_layer() -> None:
    net = dreamopt.load_net(device="cpu")
    says = r"the image in memory, looked at as 2 x 1 pixels, does not fit: layer 'mixed4' cannot be reached .* or layer 'conv1/relu', the highest"
    with pytest.raises(ShapeError, match=says):
        plan_dream(net, PIXELS, aim=Aim(guide=PIXELS[:1, :2]))


@pytest.mark.parametrize("quiet", [False, True])
def test_the_command_says_which(quiet: bool, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    words = ["dream", str(tmp_path / "photo.png"), "--octaves", "1", "--steps", "1", "--device", "cpu", "-o", str(tmp_path / "out.png")]
    done = CliRunner().invoke(main, words + (["-q"] if quiet else []))
    assert done.exit_code == 0, done.output
    said = "dreaming into mixed4 (Concat, 208 channels, 8 pixels from place to place); -t names another layer, --explore shows them all"
    assert (said in done.stderr) is not quiet
    assert done.stdout.strip() == str(tmp_path / "out.png")
