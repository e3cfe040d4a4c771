"""Presets on nets that they were not made for, from the command line, and the same pixels again."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import dreamopt
import dreamopt.caffe as caffe
from dreamopt.cli import cli
from dreamopt.errors import DreamoptError, ShapeError
from dreamopt.image.files import read_image, read_metadata
from dreamopt.network import Network
from dreamopt.recipes.preset import preset, presets, resolve_settings
from dreamopt.testing.recipes import trial
from tests.support.published import nets
from tests.support.published.face import Face

NAMES = [one.name for one in presets()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    nets.written(folder, "smooth", nets.CLASSIFIER, 0.015)
    nets.written(folder, "free", nets.CONVOLUTIONAL, 0.015)
    nets.written(folder, "generator", nets.GENERATOR, 1.0)
    shades = np.random.default_rng(1).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(shades).resize((43, 37), Image.Resampling.BICUBIC).save(folder / "photo.png")
    return folder


def network(folder: Path, name: str) -> Network:
    return dreamopt.load_net(folder / f"{name}.prototxt", folder / f"{name}.caffemodel", device="cpu")


def places(folder: Path, layer: str, classifier: str) -> dict[str, str]:
    """Return what fills the places of presets' checks."""
    return {
        "layer": f'"{layer}"',
        "classifier": f'"{classifier}"',
        "image": f'"{folder / "photo.png"}"',
        "net": str(folder / "generator.prototxt"),
        "weights": str(folder / "generator.caffemodel"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_runs_on_a_small_classifier(folder: Path, name: str) -> None:
    one_octave = {"octaves": 1} if preset(name).settings.octaves > 1 else {}
    target, settings = trial(preset(name), places(folder, "conv2", "loss3/classifier"), {"steps": 2} | one_octave)
    [one] = dreamopt.render(network(folder, "smooth"), target, settings)
    assert one.dead is None
    side = preset(name).check.get("fields", {}).get("size")
    height, width = (23, 27) if side is None else (side, side)
    for stage in preset(name).settings.stages:
        height, width = round(height * stage.zoom), round(width * stage.zoom)
    assert one.image.shape == (height, width, 3)
    assert one.image.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_net_that_sees_other_units_gives_the_same_picture(folder: Path, name: str) -> None:
    """The same net, its first layer's weights 50 times as large and its input a 50th, is the same function of grey levels."""
    net = caffe.Net(str(folder / "free.prototxt"), str(folder / "free.caffemodel"), caffe.TEST)
    net.params["conv1"][0].data[...] *= 50
    net.save(str(folder / "fine.caffemodel"))
    fine = dreamopt.load_net(folder / "free.prototxt", folder / "fine.caffemodel", device="cpu", scale=0.02)
    octaves = {"octaves": preset(name).settings.octaves}
    target, settings = trial(preset(name), places(folder, "conv2", "conv2"), {"steps": 3, "size": (33, 38), **octaves})
    [coarse], [same] = (dreamopt.render(one, target, settings) for one in (network(folder, "free"), fine))
    assert coarse.image.std() > 0.5
    assert np.abs(coarse.image.astype(int) - same.image).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_runs_on_the_embedded_net(folder: Path, name: str) -> None:
    octaves = {"octaves": preset(name).settings.octaves} if preset(name).settings.octaves > 1 else {}
    target, settings = trial(preset(name), places(folder, "mixed3", "mixed3"), {"steps": 1} | octaves)
    [one] = dreamopt.render(dreamopt.load_net(device="cpu"), target, settings)
    assert one.dead is None


@pytest.mark.parametrize(
    ("name", "target", "size"),
    [
        ("lucid2017", "conv2:1", (128, 128)),
        ("lucid2017", "loss3/classifier:1", (23, 27)),
        ("maco2023", "loss3/classifier:1", (512, 512)),
        ("yosinski2015-3", "conv2:1", (23, 27)),
    ],
)
def test_a_presets_own_size_where_the_target_takes_it(folder: Path, name: str, target: str, size: tuple[int, int]) -> None:
    views = {"views": 1} if name == "maco2023" else {}
    [one] = dreamopt.render(network(folder, "smooth"), target, resolve_settings(name, {"steps": 1} | views))
    assert one.image.shape[:2] == size
    assert one.metadata["settings"]["size"] == list(size)


def test_a_size_that_is_said_goes_before_the_presets_own(folder: Path) -> None:
    [one] = dreamopt.render(network(folder, "free"), "conv2:1", resolve_settings("lucid2017", {"steps": 1, "size": (32, 38)}))
    assert one.image.shape == (32, 38, 3)
    [one] = dreamopt.render(
        network(folder, "free"), "conv2:1", resolve_settings("lucid2017", {"steps": 1, "init": str(folder / "photo.png")})
    )
    assert one.image.shape == (37, 43, 3)


def test_stages_of_layers_that_the_net_has_not_keep_the_targets(folder: Path) -> None:
    """Also on a canvas larger than the net's input, of which the net sees windows."""
    net = network(folder, "smooth")
    settings = resolve_settings("oygard2015", {"steps": 1})
    seen: list[str] = []
    dreamopt.render(net, "loss3/classifier:2", settings, callbacks=[lambda progress: seen.append(str(progress.problem.objective)) and None])
    assert seen == [f"{layer}/classifier:2" for layer in ("loss3", "loss3", "loss2", "loss1")]
    seen.clear()
    dreamopt.render(
        network(folder, "free"), "conv2:2", settings, callbacks=[lambda progress: seen.append(str(progress.problem.objective)) and None]
    )
    assert seen == ["conv2:2"] * 4


@pytest.mark.parametrize(
    ("name", "target", "sentence"),
    [
        (
            "deepdream2015",
            "loss3/classifier",
            "the first of 4 octaves, 10 x 8 pixels, does not reach up to loss3/classifier; "
            "aim at layer 'tanh2', the highest below 'loss3/classifier' that it reaches",
        ),
        (
            "nguyen2016-dgn",
            "conv2:1",
            "upconv_fc6_generator is not in the cache yet; fetch it with: dreamopt models get upconv_fc6_generator",
        ),
        ("oygard2015", "inception_4c:1", "the net has no layer 'inception_4c'"),
        ("simonyan2014", "loss3/classifier:9", "layer 'loss3/classifier' has no unit 9: it has 5"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(
    folder: Path, name: str, target: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DREAMOPT_CACHE", str(folder / "cache"))
    with pytest.raises(DreamoptError, match=sentence) as caught:
        dreamopt.render(network(folder, "smooth"), target, resolve_settings(name, {"steps": 1}))
    assert "\n" not in str(caught.value)


def test_a_canvas_without_windows_does_not_reach_a_classifier(folder: Path) -> None:
    with pytest.raises(ShapeError, match="loss3/classifier"):
        dreamopt.render(network(folder, "smooth"), "loss3/classifier:1", resolve_settings("simonyan2014", {"steps": 1, "size": 31}))


def test_inversion_stays_calm_at_any_size(folder: Path) -> None:
    """The published step belongs to the size of the published net; here it goes with the image's."""
    net = network(folder, "free")
    target = f'inversion("conv2", "{folder / "photo.png"}")'
    for size in ((23, 27), (46, 54)):
        first = dreamopt.render(net, target, resolve_settings("mahendran2015", {"steps": 1, "size": size}))[0].value
        last = dreamopt.render(net, target, resolve_settings("mahendran2015", {"steps": 60, "size": size}))[0].value
        assert last > 0.5 * first
        assert first < -0.5


@pytest.mark.parametrize("reaches_all", [True, False], ids=["the whole window", "a part"])
def test_windows_are_found_whatever_the_target_sees(folder: Path, reaches_all: bool) -> None:
    """A blur of the window leaves no noise beyond what a neuron sees."""
    target = "conv2:3" if reaches_all else "conv1:3@2,2"
    settings = resolve_settings(
        "oygard2015-filters", {"steps": 6}, ['stages=[{"regularizers": ["window(gaussian_blur(2.5))"]}]', "noise=40"]
    )
    [one] = dreamopt.render(network(folder, "free"), target, settings)
    corner = one.image[14:, 14:].astype(float)
    assert np.abs(np.diff(corner, axis=0)).max() < 12


def call(*words: object) -> Result:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


AGAIN = [
    pytest.param("oygard2015", "loss3/classifier:2", "smooth", [], id="stages"),
    pytest.param("nguyen2016-mfv", "loss3/classifier:2", "smooth", ["--init"], id="stages from a picture"),
    pytest.param("deepdream2015", "conv2", "free", ["--init"], id="octaves from a picture"),
    pytest.param("deepdream2015", "conv2", "free", ["--set", "size=(31, 37)", "--octaves", "2"], id="octaves"),
    pytest.param("lucid2017", "conv2:1", "free", ["--set", "default_size=40"], id="default size"),
    pytest.param("lucid2017", "conv2:1", "free", ["--init"], id="a spectrum from a picture"),
    pytest.param("yosinski2015-4", "conv2:1", "smooth", ["--set", "tv.weight=0.1"], id="another regularizer"),
]


@pytest.mark.parametrize(("name", "target", "net", "words"), AGAIN)
def test_command_and_replay_give_the_same_pixels(folder: Path, tmp_path: Path, name: str, target: str, net: str, words: list[str]) -> None:
    words = [*words, folder / "photo.png"] if words[-1:] == ["--init"] else words  # type: ignore[list-item]
    out = tmp_path / "out.png"
    files = ["--net", folder / f"{net}.prototxt", "--weights", folder / f"{net}.caffemodel"]
    call("render", *files, "--device", "cpu", "-q", "--preset", name, "--steps", 3, "-t", target, *words, "-o", out)
    metadata = read_metadata(out)
    if "tv.weight=0.1" in words:
        assert any("otal" in text and "0.1" in text for text in metadata["problem"]["regularizers"])
    before = read_image(out)
    named = words[words.index("--init") :][:2] if "--init" in words else []
    replayed = call("replay", out, *files, *named, "-q")
    assert "the same pixels" in replayed.stderr
    assert np.array_equal(read_image(tmp_path / "out-replay.png"), before)
    again = shlex.split(metadata["command"])
    assert again[-2:] == ["-o", str(out)]
    call(*again[1:-1], tmp_path / "again.png")
    assert np.array_equal(read_image(tmp_path / "again.png"), before)
    assert read_metadata(tmp_path / "again.png")["settings"] == metadata["settings"]


def test_the_generator_of_the_tests_makes_pictures(folder: Path) -> None:
    face = Face(folder / "generator.prototxt", folder / "generator.caffemodel")
    assert face.net.blobs["deconv0"].data.shape == (1, 3, 34, 52)
    assert json.loads(json.dumps(trial(preset("nguyen2016-dgn"), places(folder, "conv2", "conv2"))[1].describe()))["steps"] == 200


def test_a_neuron_in_the_centre_has_a_place_in_every_octave(folder: Path) -> None:
    seen: list[str] = []
    dreamopt.render(
        network(folder, "free"),
        "conv2:2@centre",
        resolve_settings("deepdream2015", {"steps": 1, "octaves": 3, "size": (40, 52)}),
        callbacks=[lambda progress: seen.append(str(progress.problem.objective)) and None],
    )
    assert seen == ["conv2:2@5,6", "conv2:2@7,9", "conv2:2@10,13"]
