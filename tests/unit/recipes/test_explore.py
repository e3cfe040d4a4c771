"""Exploring: a contact sheet of every layer, or of a layer's channels, with the seconds that each took."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import ShapeError, UsageError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.image.sheet import label_font, wrapped
from dreamopt.network.distinct import distinct_layers
from dreamopt.recipes import explore, plan_explore
from tests.support.nets import conv, image_input, layer

PIXELS = np.random.default_rng(6).integers(0, 256, (120, 150, 3)).astype(np.uint8)
QUICK = {"size": (32, 40), "octaves": 2, "steps": 1}


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_every_layer_that_can_be_computed(network: dreamopt.Network) -> None:
    plan = plan_explore(network, PIXELS)
    assert [sample.text for sample in plan.samples][:3] == ["conv1/relu", "pool1", "conv2/relu"]
    assert len(plan.samples) == len(distinct_layers(network))
    assert plan.size == (120, 150)
    assert [len(batch) for batch in plan.batches] == [1] * len(plan.samples)
    assert (len(plan.stages), plan.stages[0].steps) == (2, 8)
    assert plan_explore(network, np.zeros((300, 900, 3))).size == (64, 192)


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_layers_that_the_size_does_not_reach_are_left_out(tmp_path: Path) -> None:
    text = image_input(shape=(1, 3, 20, 20)) + conv("a", "data", 4, "kernel_size: 3", relu=True) + conv("b", "a", 4, "kernel_size: 9")
    (tmp_path / "net.prototxt").write_text(text + layer("fc", "InnerProduct", "b", more="inner_product_param { num_output: 5 }"))
    net = dreamopt.load_net(tmp_path / "net.prototxt", device="cpu")
    sizes = {(20, 20): ["a_relu", "b", "fc"], (20, 24): ["a_relu", "b"], (9, 9): ["a_relu"]}
    for size, layers in sizes.items():
        assert [sample.text for sample in plan_explore(net, np.zeros((*size, 3)), settings=dreamopt_settings()).samples] == layers
    with pytest.raises(ShapeError, match="2 x 2 pixels is too small for every layer of the net"):
        plan_explore(net, np.zeros((2, 2, 3)), settings=dreamopt_settings())


def dreamopt_settings():  # a preset's settings
    from dreamopt.recipes.preset import resolve_settings

    return resolve_settings("deepdream2015", {"octaves": 1, "steps": 1})


def test_each_is_the_dream_of_its_layer(network: dreamopt.Network, photo: Path) -> None:
    found = explore(network, photo, ["conv1/relu:1", "pool1:*"], **QUICK)
    assert [one.sample.text for one in found] == ["conv1/relu:1", *(f"pool1:{unit}" for unit in range(24))]
    alone = dreamopt.dream(network, photo, "conv1/relu:1", jitter=16, **QUICK)
    assert np.array_equal(found[0].image, alone.image)
    assert all(one.metadata["seconds"] > 0 for one in found)
    assert [one.sample.text for one in explore(network, photo, "pool1", **QUICK)] == [f"pool1:{unit}" for unit in range(24)]


def test_by_command_with_a_sheet_and_what_makes_it_again(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    words = ["dream", str(photo), "--explore", "--size", "40x32", "--steps", "1", "--device", "cpu", "-q"]
    done = CliRunner().invoke(cli, [*words, "-o", str(out)])
    assert done.exit_code == 0, done.output
    *paths, sheet = map(Path, done.stdout.split())
    names = distinct_layers(dreamopt.load_net(device="cpu"))
    assert len(paths) == len(names)
    assert sheet == out
    metadata = read_metadata(sheet)
    assert [one["target"] for one in metadata["pictures"]] == names
    assert all(one["seconds"] > 0 for one in metadata["pictures"])
    assert read_written(sheet).shape[1] > 4 * 40
    assert "--explore" in metadata["command"]
    assert "--target" not in metadata["command"]
    again = CliRunner().invoke(cli, ["replay", str(paths[5]), "-o", str(tmp_path / "again.png"), "--init", str(photo)])
    assert again.exit_code == 0, again.output
    assert np.array_equal(read_written(tmp_path / "again.png"), read_written(paths[5]))


def test_what_is_interrupted_is_kept_and_gone_on_with(network: dreamopt.Network, photo: Path, tmp_path: Path) -> None:
    out, steps = tmp_path / "sheet.png", []
    first = explore(
        network, photo, "pool1", out=out, stop=lambda: len(steps) > 2, callbacks=[lambda run: steps.append(run) and None], **QUICK
    )
    assert 0 < len(first) < 24
    assert out.is_file()
    before = {one.path: one.path.stat().st_mtime_ns for one in first if one.path is not None and not one.interrupted}
    assert before
    whole = explore(network, photo, "pool1", out=out, resume=True, **QUICK)
    assert len(whole) == 24
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    fresh = explore(network, photo, "pool1", **QUICK)
    assert all(np.array_equal(one.image, two.image) for one, two in zip(whole, fresh, strict=True))
    assert len(read_metadata(out)["pictures"]) == 24


def test_a_guide_beside_it_and_a_film_are_refused(photo: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["dream", str(photo), "--explore", "--rank", "3", "-o", str(tmp_path / "no.png")])
    assert done.exit_code != 0
    assert "give no --guide and no --rank with it" in done.stderr
    film = CliRunner().invoke(cli, ["dream", str(tmp_path), "--explore", "-o", str(tmp_path / "no.png")])
    assert film.exit_code != 0
    assert "--explore makes one sheet of an image, not of a film" in film.stderr


def test_unknown_settings_are_refused(network: dreamopt.Network) -> None:
    with pytest.raises(UsageError, match=r"explore has no setting 'step' \(did you mean steps\?\); it has"):
        explore(network, PIXELS, step=3)


def test_names_are_whole_on_the_sheet() -> None:
    """Of long names that differ in their middle no part is left out, however small the images are."""
    for width in (40, 96, 192):
        for name in ("inception_4c/relu_3x3_reduce", "mixed3/5x5_reduce/relu:7", "a b, c", "plain"):
            lines = wrapped(name, width).split("\n")
            assert "".join(lines).replace(" ", "") == name.replace(" ", "")
            assert all(label_font(width).getlength(line) <= width or re.fullmatch(r"[^/_]*[/_]?", line) for line in lines)
    assert wrapped("inception_4c/relu_3x3_reduce", 400) == "inception_4c/relu_3x3_reduce"


def test_arguments_of_another_kind_are_one_sentence(network: dreamopt.Network) -> None:
    wrong: list[tuple[dict, str]] = [
        ({"settings": {"steps": 1}, "octaves": 1}, "settings must be a Settings, not"),
        ({"provenance": "a command"}, "provenance must be a mapping, not 'a command'"),
        ({"out": 3}, "out must be a path, not 3"),
        ({"stepps": 1}, r"explore has no setting 'stepps' \(did you mean steps\?\); it has size, "),
        ({"init": "photo.png"}, r"a dream begins with its image, so that init \(photo.png\) cannot be given beside it"),
    ]
    for arguments, sentence in wrong:
        with pytest.raises(UsageError, match=sentence):
            explore(network, PIXELS, "conv2:0", **arguments)


def test_an_image_of_pillow(network: dreamopt.Network) -> None:
    [one] = explore(network, Image.fromarray(PIXELS), "conv2:0", **QUICK)
    [same] = explore(network, PIXELS, "conv2:0", **QUICK)
    assert np.array_equal(one.image, same.image)


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # channels without a gradient, on purpose
def test_what_has_no_gradient_is_shown_as_the_image_is(network: dreamopt.Network, tmp_path: Path) -> None:
    """A channel that stays dead at all octaves has the image's size, so that the sheet of the others is made."""
    targets = ["conv2:0", "conv2:0 - conv2:0"]
    alive, dead = explore(network, PIXELS, targets, out=tmp_path / "sheet.png", octaves=2, steps=1, size=(120, 150))
    assert (alive.dead, dead.image.shape) == (None, PIXELS.shape)
    assert dead.dead is not None
    assert np.array_equal(dead.image, PIXELS)
    assert read_metadata(tmp_path / "sheet.png")["recipe"] == "sheet"
    settings = {"octaves": 2, "steps": 1, "size": (40, 50), "batch_size": 1}
    shapes = {one.image.shape for one in dreamopt.render(network, targets, **settings)}
    assert shapes == {(40, 50, 3)}
