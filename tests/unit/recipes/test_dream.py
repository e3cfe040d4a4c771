"""A dream: a plan of one image that begins with the image."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import DreamoptWarning, ImageError, RegularizerError, ShapeError, TargetError, UsageError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.recipes import InitImage, Settings, plan_dream, plan_render
from dreamopt.recipes.preset import resolve_settings

QUICK = {"octaves": 2, "steps": 2}


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture
def pixels() -> np.ndarray:
    y, x = np.mgrid[:41, :53]
    return np.stack([y * 6, x * 4, (x + y) * 2], -1).astype(np.uint8)


@pytest.fixture
def photo(tmp_path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def dream_by_command(*words: object) -> str:
    result = CliRunner().invoke(cli, ["dream", *map(str, words), "--device", "cpu", "-q"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_dream_is_the_preset_started_from_the_image_at_its_own_size(network, photo, pixels) -> None:
    one = dreamopt.dream(network, photo, "mixed3", **QUICK)
    [same] = dreamopt.render(network, "mixed3", resolve_settings("deepdream2015", QUICK | {"init": str(photo)}))
    assert one.image.shape == pixels.shape
    assert np.array_equal(one.image, same.image)
    assert np.abs(one.image.astype(int) - pixels).mean() > 1
    assert one.metadata["settings"]["octaves"] == 2
    assert one.metadata["recipe"] == "dream"


def test_a_path_and_its_array_give_the_same_bits(network, photo, pixels) -> None:
    by_path = dreamopt.dream(network, photo, "mixed3", **QUICK)
    by_array = dreamopt.dream(network, pixels, "mixed3", **QUICK)
    assert np.array_equal(by_path.image, by_array.image)
    assert str(photo) in by_path.metadata["inputs"]
    assert "array" not in by_array.metadata["inputs"]


def test_an_array_of_whole_or_broken_numbers_and_of_grey_is_an_image() -> None:
    grey = np.arange(12.0).reshape(3, 4) + 0.25
    image = InitImage.of(grey, "frame 7")
    assert image.path == "frame 7"
    assert image.shape == (3, 4, 3)
    np.testing.assert_allclose(image.array(), np.repeat(grey[..., None], 3, 2), rtol=1e-7)
    whole = InitImage.of(grey - 0.25).array()
    assert whole.dtype == np.uint8
    assert np.array_equal(whole, np.repeat(np.arange(12).reshape(3, 4, 1), 3, 2))
    assert InitImage.of(grey).sha256 != InitImage.of(grey + 1).sha256


@pytest.mark.parametrize("wrong", [np.zeros((3, 4, 2)), np.zeros(5), np.full((3, 4), np.nan), np.array([["a", "b"]]), np.zeros((0, 3))])
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ImageError, match="image"):
        InitImage.of(wrong)


def test_several_targets_are_one_objective(network, pixels) -> None:
    plan = plan_dream(network, pixels, ["2*mixed3", "conv2:7", "conv2:1-2"])
    assert plan.samples[0].text == "2*mixed3 + conv2:7 + conv2:1 + conv2:2"
    assert len(plan.samples) == 1
    assert plan.stages[-1].size == (41, 53)


def test_the_command_writes_what_the_function_gives_and_replay_the_same(network, photo, tmp_path) -> None:
    out = tmp_path / "out.png"
    words = [photo, "-t", "mixed3", "-t", "0.5*conv2", "--octaves", 2, "--steps", 2, "--jitter", 5, "--step-size", 2.5, "-o", out]
    assert dream_by_command(*words).strip() == str(out)
    one = dreamopt.dream(network, photo, ["mixed3", "0.5*conv2"], **QUICK, jitter=5, lr=2.5)
    assert np.array_equal(read_written(out), one.image)
    result = CliRunner().invoke(cli, ["replay", str(out), "--device", "cpu"])
    assert result.exit_code == 0
    assert "the same pixels" in result.output


def test_the_command_in_the_metadata_makes_it_again(photo, tmp_path) -> None:
    import shlex

    out = tmp_path / "out.png"
    dream_by_command(photo, "-t", "mixed3", "--octaves", 2, "--steps", 1, "-o", out)
    before, metadata = read_written(out), read_metadata(out)
    program, name, *words = shlex.split(metadata["command"])
    assert (program, name) == ("dreamopt", "dream")
    out.unlink()
    assert CliRunner().invoke(cli, ["dream", *words, "-q"]).exit_code == 0
    assert np.array_equal(read_written(out), before)
    assert read_metadata(out)["plan"] == metadata["plan"]


def test_the_results_as_json(photo, tmp_path) -> None:
    text = dream_by_command(photo, "-t", "mixed3", "--octaves", 1, "--steps", 1, "-o", tmp_path / "out.png", "--json")
    [one] = json.loads(text)["pictures"]
    assert one["recipe"] == "dream"
    assert one["settings"]["steps"] == 1


def test_an_init_beside_the_image_is_refused(network, pixels, photo) -> None:
    with pytest.raises(UsageError, match="begins with its image"):
        dreamopt.dream(network, pixels, "mixed3", init=str(photo))
    with pytest.raises(UsageError, match="dream has no setting 'stepps'"):
        dreamopt.dream(network, pixels, "mixed3", stepps=3)


def test_a_dream_that_is_interrupted_in_an_early_octave_has_the_images_size(network, pixels) -> None:
    asked: list[int] = []
    one = dreamopt.dream(network, pixels, "mixed3", octaves=3, steps=3, stop=lambda: bool(asked.append(1)) or len(asked) == 2)
    assert one.interrupted
    assert one.image.shape == pixels.shape
    assert 0 < np.abs(one.image.astype(int) - pixels).mean() < 12


def test_the_value_of_an_interrupted_dream_is_that_of_its_last_step(network, pixels) -> None:
    asked: list[int] = []
    blurred = {"octaves": 1, "regularizers": ["gaussian_blur(3, every=2)"]}
    one = dreamopt.dream(network, pixels, "mixed3", steps=9, stop=lambda: bool(asked.append(1)) or len(asked) == 4, **blurred)
    whole = dreamopt.dream(network, pixels, "mixed3", steps=4, **blurred)
    assert one.interrupted
    assert np.array_equal(one.image, whole.image)
    assert one.value == one.metadata["value"] == whole.value < one.metadata["best_value"]


@pytest.mark.parametrize("of_render", [False, True])
def test_an_opacity_that_is_interrupted_in_an_early_octave_has_the_images_size(network, pixels, of_render) -> None:
    asked: list[int] = []
    settings = {"octaves": 2, "steps": 3, "parametrization": "alpha(pixels())", "regularizers": ()}

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 2

    if of_render:
        [one] = dreamopt.render(network, "mixed3:1", size=pixels.shape[:2], stop=stop, **settings)
    else:
        one = dreamopt.dream(network, pixels, "mixed3", stop=stop, **settings)
    assert one.interrupted
    assert one.image.shape == (*pixels.shape[:2], 4)


def test_render_is_what_it_was(network) -> None:
    assert plan_render(network, "conv2:1", resolve_settings(None, {"size": 32, "steps": 1})).recipe == "render"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White in the middle, grey at one side of it, black elsewhere."""
    levels = np.zeros((41, 53), np.uint8)
    levels[12:30, 10:30], levels[12:30, 30:40] = 255, 128
    Image.fromarray(levels).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


OTHER_WAYS = [
    {},
    {"regularizers": ["total_variation(0.001)", "gaussian_blur(1)"]},
    {"parametrization": "fourier()", "optimizer": "adam"},
    {"optimizer": "l_bfgs()", "transforms": "lucid", "steps": 12},
    {"original_colors": True, "contrast": 99.0},
    {"blend": 0.25},
    {"init_noise": 8},
]


@pytest.mark.parametrize("changes", OTHER_WAYS, ids=str)
def test_outside_a_mask_every_bit_of_the_image_is_kept(network, photo, pixels, mask, changes) -> None:
    outside = np.asarray(Image.open(mask)) == 0
    one = dreamopt.dream(network, photo, "mixed3", **({"octaves": 3, "steps": 2, "mask": str(mask)} | changes))
    assert np.array_equal(one.image[outside], pixels[outside])
    assert np.abs(one.image.astype(int) - pixels)[~outside].mean() > 1


@pytest.mark.parametrize("option", ["mask", "strength"])
def test_a_mask_that_cannot_be_read_is_refused_by_the_plan(network, pixels, tmp_path, option: str) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    with pytest.raises(RegularizerError, match=r"broken\.png"):
        plan_dream(network, pixels, "mixed3", Settings(**{option: str(tmp_path / "broken.png")}))


def test_a_white_mask_is_no_mask_and_a_black_one_the_image(network, photo, pixels, tmp_path) -> None:
    plain = dreamopt.dream(network, photo, "mixed3", **QUICK).image
    for level, expected in ((255, plain), (0, pixels)):
        Image.new("L", (53, 41), level).save(tmp_path / "even.png")
        one = dreamopt.dream(network, photo, "mixed3", **QUICK, mask=str(tmp_path / "even.png"))
        assert np.array_equal(one.image, expected)


def test_inside_a_mask_the_first_step_is_as_strong_as_without(network, pixels, mask) -> None:
    """The mean of |g| is over the whole image."""
    kwargs = {"octaves": 1, "steps": 1}
    plain = dreamopt.dream(network, pixels, "mixed3", **kwargs).image.astype(int)
    masked = dreamopt.dream(network, pixels, "mixed3", **kwargs, mask=str(mask)).image
    levels = np.asarray(Image.open(mask))
    assert np.array_equal(masked[levels == 255], plain[levels == 255])
    half = pixels + (plain - pixels) * 128 / 255
    assert np.abs(masked[levels == 128] - half[levels == 128]).max() <= 1


def test_strength_is_a_part_of_each_step_or_a_map(network, pixels, mask) -> None:
    kwargs = {"octaves": 1, "steps": 1, "optimizer": "ascent(9, norm='mean')"}
    plain = dreamopt.dream(network, pixels, "mixed3", **kwargs).image.astype(float)
    third = dreamopt.dream(network, pixels, "mixed3", **kwargs, strength=0.25).image
    inside = (plain > 0) & (plain < 255)
    assert np.abs(third - (pixels + (plain - pixels) / 4))[inside].max() <= 1
    by_map = dreamopt.dream(network, pixels, "mixed3", **kwargs, strength=str(mask)).image
    by_mask = dreamopt.dream(network, pixels, "mixed3", **kwargs, mask=str(mask)).image
    assert np.array_equal(by_map, by_mask)


def test_a_mask_is_cut_as_the_image_is(network, photo, mask) -> None:
    """A square out of the middle: what the mask covers of the image, it covers of the square."""
    [top, left, side] = [0, 6, 41]
    one = dreamopt.dream(network, photo, "mixed3", **QUICK, size=(side, side), mask=str(mask))
    outside = np.asarray(Image.open(mask))[top : top + side, left : left + side] == 0
    square = np.asarray(Image.open(photo))[top : top + side, left : left + side]
    assert np.array_equal(one.image[outside], square[outside])
    assert np.abs(one.image.astype(int) - square)[~outside].min(1).max() > 0


def test_original_colours_keep_the_chrominance_and_change_the_luminance(network, pixels) -> None:
    from skimage.color import rgb2ycbcr

    middle = (pixels * 0.4 + 70).astype(np.uint8)  # room for a luminance that changes
    kwargs = {"octaves": 1, "steps": 2, "step": 4}
    del kwargs["step"]
    plain = dreamopt.dream(network, middle, "mixed3", **kwargs).image
    one = dreamopt.dream(network, middle, "mixed3", **kwargs, original_colors=True).image
    before, after, dreamed = (rgb2ycbcr(image.astype(np.uint8)) for image in (middle, one, plain))
    assert np.abs(after[..., 1:] - before[..., 1:]).max() < 1
    assert np.abs(after[..., 0] - dreamed[..., 0]).max() < 1
    assert np.abs(dreamed[..., 1:] - before[..., 1:]).max() > 3


def test_blend_is_a_part_of_the_image(network, pixels) -> None:
    plain = dreamopt.dream(network, pixels, "mixed3", **QUICK).image
    one = dreamopt.dream(network, pixels, "mixed3", **QUICK, blend=0.25).image
    assert np.abs(one - (0.75 * plain + 0.25 * pixels)).max() <= 1
    assert np.array_equal(dreamopt.dream(network, pixels, "mixed3", **QUICK, blend=1).image, pixels)


def test_contrast_shows_a_percentile_as_white(network, pixels) -> None:
    dim = (pixels * 0.3).astype(np.uint8)
    kwargs = {"octaves": 1, "steps": 1}
    plain = dreamopt.dream(network, dim, "mixed3", **kwargs).image
    one = dreamopt.dream(network, dim, "mixed3", **kwargs, contrast=95).image
    expected = np.clip(plain * (255 / np.percentile(plain, 95)), 0, 255)
    assert np.percentile(plain, 95) < 200
    assert np.abs(one - expected).max() <= 3.1  # the plain one is rounded before
    # DeepDream's clip=False: levels beyond white come back by the percentile.
    bright = (pixels * 0.2 + 200).astype(np.uint8)
    loose = dreamopt.dream(network, bright, "mixed3", octaves=1, steps=9, regularizers=[]).image
    back = dreamopt.dream(network, bright, "mixed3", octaves=1, steps=9, regularizers=[], contrast=99.98).image
    assert (loose == 255).mean() > 10 * (back == 255).mean()


def test_colours_need_an_image_to_take_them_from(network) -> None:
    with pytest.raises(UsageError, match="original_colors needs an image to begin with"):
        plan_render(network, "conv2:1", resolve_settings(None, {"size": 32, "original_colors": True}))


def test_octaves_have_steps_jitter_layers_and_weights_of_their_own(network, pixels) -> None:
    stages = [{"steps": 1, "target": "2*conv2 + mixed3"}, {"steps": 3, "jitter": 4}]
    plan = plan_dream(network, pixels, "mixed3", resolve_settings("deepdream2015", {"octaves": 3, "stages": stages}))
    assert [stage.size for stage in plan.stages] == [(21, 27), (29, 38), (41, 53)]
    assert [stage.steps for stage in plan.stages] == [1, 3, 3]
    assert [str(stage.transforms[0]) for stage in plan.stages] == ["Jitter()", "Jitter(pixels=4)", "Jitter(pixels=4)"]
    assert [str(plan.problem(network, plan.samples, number).objective) for number in range(3)] == ["2*conv2 + mixed3", "mixed3", "mixed3"]
    assert plan.total_steps == plan.settings.total_steps == 7
    assert {stage.carry for stage in plan.stages} == {"add_detail"}


def test_stages_of_octaves_that_say_nothing_of_their_own_give_the_same_bits(network, pixels) -> None:
    plain = dreamopt.dream(network, pixels, "mixed3", octaves=3, steps=2)
    assert np.array_equal(dreamopt.dream(network, pixels, "mixed3", octaves=3, steps=2, stages=[{}, {}]).image, plain.image)
    other = dreamopt.dream(network, pixels, "mixed3", octaves=3, steps=2, stages=[{"layer": "conv2"}, {}])
    first = dreamopt.dream(network, pixels, "mixed3", octaves=3, steps=2, stages=[{"target": "conv2"}, {}])
    assert np.array_equal(other.image, first.image)
    assert not np.array_equal(other.image, plain.image)


def test_the_command_knows_it_all_and_replay_finds_the_mask(photo, mask, tmp_path) -> None:
    out = tmp_path / "out.png"
    words = [photo, "-t", "mixed3", "--octave", "steps=2 target='0.5*conv2'", "--octave", "steps=1 jitter=3", "--octaves", 3, "-o", out]
    dream_by_command(*words, "--mask", mask, "--strength", 0.5, "--original-colors", "--blend", 0.125, "--contrast", 99.9)
    metadata = read_metadata(out)
    shown = {"mask": str(mask), "strength": 0.5, "original_colors": True, "blend": 0.125, "contrast": 99.9}
    assert shown.items() <= metadata["settings"].items()
    assert str(mask) in metadata["inputs"]
    assert [stage["steps"] for stage in metadata["settings"]["stages"]] == [2, 1]
    result = CliRunner().invoke(cli, ["replay", str(out), "--device", "cpu", "-q"])
    assert result.exit_code == 0, result.output
    assert "the same pixels" in result.output
    mask.rename(tmp_path / "elsewhere.png")
    refused = CliRunner().invoke(cli, ["replay", str(out), "--device", "cpu", "-q"])
    assert refused.exit_code == 1
    assert f"--file {mask}" in refused.output
    again = CliRunner().invoke(cli, ["replay", str(out), "--device", "cpu", "-q", "--file", str(tmp_path / "elsewhere.png")])
    assert again.exit_code == 0, again.output


def test_the_command_of_octaves_makes_them_again(photo, mask, tmp_path) -> None:
    import shlex

    out = tmp_path / "out.png"
    dream_by_command(photo, "-t", "mixed3", "--octave", "steps=2 target='0.5*conv2'", "--octave", "steps=1", "--mask", mask, "-o", out)
    before, metadata = read_written(out), read_metadata(out)
    assert metadata["settings"]["octaves"] == 4
    assert CliRunner().invoke(cli, [*shlex.split(metadata["command"])[1:], "-q", "--force"]).exit_code == 0
    assert read_metadata(out)["plan"] == metadata["plan"]
    assert np.array_equal(read_written(out), before)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--octave", "steps"], "KEY=VALUE, as in steps=20, not 'steps'"),
        (["--octave", "steps='2"], "No closing quotation"),
        (["--octave", "speed=2"], "stage 0 has no setting 'speed'"),
        (["--octave", "target='conv2:'"], "conv2:"),
        (["--mask", "nowhere.png"], "nowhere.png"),
        (["--strength", "2"], "strength must be from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_one_sentence(photo, tmp_path, words, sentence) -> None:
    result = CliRunner().invoke(cli, ["dream", str(photo), "-t", "mixed3", "-o", str(tmp_path / "out.png"), *words, "-q"])
    assert result.exit_code in (1, 2)
    assert sentence in result.output
    assert not (tmp_path / "out.png").exists()


def test_a_target_of_an_octave_is_checked_before_the_first_step(network, pixels) -> None:
    for target, error, sentence in (("nope", TargetError, "no layer 'nope'"), ("mixed5", ShapeError, "'mixed5' cannot be reached")):
        settings = resolve_settings("deepdream2015", {"octaves": 2, "octave_scale": 9, "stages": [{"target": target}, {}]})
        with pytest.raises(error, match=sentence):
            plan_dream(network, pixels, "conv1", settings)


def test_what_is_too_small_is_refused_with_what_would_do(network, pixels) -> None:
    with pytest.raises(
        ShapeError, match=r"the first of 4 octaves, 11 x 7 pixels, .*aim at layer 'mixed4', .*fewer octaves \(the last 1 fit\)"
    ):
        dreamopt.dream(network, pixels[:20, :30], "mixed5")
    with pytest.raises(ShapeError, match=r"layer 'mixed5' cannot be reached .*layer 'mixed3', the highest below it that can"):
        dreamopt.dream(network, pixels[:3, :3], "mixed5", octaves=1)
    with pytest.raises(UsageError, match=r"an image of 3 x 3 pixels has no 4 octaves, each 1\.4 times smaller; the most are 3"):
        dreamopt.dream(network, pixels[:3, :3], "conv1")


def test_images_of_pillow_are_what_they_show(network, pixels) -> None:
    palette = Image.fromarray(pixels).quantize(16)
    by_image = dreamopt.dream(network, palette, "conv2", octaves=1, steps=1)
    by_array = dreamopt.dream(network, np.asarray(palette.convert("RGB")), "conv2", octaves=1, steps=1)
    assert np.array_equal(by_image.image, by_array.image)


def net_of(text: str) -> dreamopt.Network:
    from dreamopt.schema import parse_net

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)  # the weights are random
        return dreamopt.load_net(parse_net(text, "net.prototxt"), device="cpu")


V2 = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: {channels} dim: 12 dim: 14 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 5 pad: 2 weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
"""


def test_a_net_of_one_channel_dreams_a_grey_image_which_may_have_the_photographs_colours(pixels) -> None:
    network, photo = net_of(V2.format(channels=1)), (pixels * 0.5 + 60).astype(np.uint8)
    grey = dreamopt.dream(network, photo, "conv", **QUICK)
    assert grey.image.shape == photo.shape
    assert np.array_equal(grey.image[..., 0], grey.image[..., 1])
    luminance = photo @ [0.299, 0.587, 0.114]
    assert 1 < np.abs(grey.image[..., 0] - luminance).mean() < 20
    coloured = dreamopt.dream(network, photo, "conv", **QUICK, original_colors=True)
    assert np.abs(coloured.image @ np.array([0.299, 0.587, 0.114]) - grey.image[..., 0]).mean() < 1
    assert np.abs(coloured.image - (photo + (grey.image[..., 0] - luminance)[..., None])).mean() < 1


def test_a_net_of_five_channels_dreams_in_planes_and_keeps_them_all(pixels, tmp_path) -> None:
    network = net_of(V2.format(channels=5))
    one = dreamopt.dream(network, pixels, "conv", **QUICK, channels="0,1,2", blend=0.5)
    assert one.image.shape == pixels.shape
    assert one.channels is not None
    assert one.channels.shape == (5, 41, 53)
    with pytest.raises(UsageError, match="blend needs an image in its own size, but 5 channels are shown as planes"):
        dreamopt.dream(network, pixels, "conv", **QUICK, blend=0.5)


V0 = """
name: "V0" input: "data" input_dim: 1 input_dim: 3 input_dim: 31 input_dim: 37
layers { layer { name: "conv1" type: "conv" num_output: 6 kernelsize: 5 stride: 2 weight_filler { type: "gaussian" std: 0.1 } }
  bottom: "data" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 3 stride: 2 } bottom: "conv1" top: "pool1" }
"""
V1 = """
name: "V1" input: "data" input_dim: 1 input_dim: 3 input_dim: 31 input_dim: 37
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 5 stride: 2 weight_filler { type: "gaussian" std: 0.1 } } }
layers { name: "pool1" type: POOLING bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
"""
LATEST = """
name: "V2" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 31 dim: 37 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 5 stride: 2 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
"""


def test_prototxts_of_all_ages_dream_the_same(pixels) -> None:
    images = [dreamopt.dream(net_of(text), pixels, "pool1", **QUICK).image for text in (V0, V1, LATEST)]
    assert np.array_equal(images[0], images[1])
    assert np.array_equal(images[0], images[2])
    assert np.abs(images[0].astype(int) - pixels).mean() > 1
