"""Each measure against numbers computed by hand, and against images of which the better one is known."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import dreamopt
from dreamopt.image import Affine, Noise, Rotate, Scale
from dreamopt.image.files import covering, read_image
from dreamopt.image.spectrum import image_files, magnitudes
from dreamopt.network import Network
from dreamopt.objective import parse
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream
from dreamopt.recipes.preset import presets, resolve_settings
from dreamopt.study.finished import as_finished
from dreamopt.study.measure import Finished
from dreamopt.study.measures.diversity import Diversity, compared_layer, projected
from dreamopt.study.measures.held_out import SEED, HeldOut, packed
from dreamopt.study.measures.spectrum import distance
from dreamopt.study.measures_registry import measures, parse_measure, take
from dreamopt.testing.bench import LABELS, toy_network
from dreamopt.testing.kinds.measures import classifier, image


def number(name: str, finished: Finished) -> float:
    value = parse_measure(name)(finished)
    assert value is not None
    return value


def scores(network: Network, rgb: NDArray[np.uint8], layer: str = "scores") -> NDArray[np.float64]:
    return network.activations(network.from_rgb(rgb)[None], [layer])[layer][0].numpy()


def test_objective_is_the_units_value_of_the_written_image() -> None:
    network, rgb = classifier(3), image()
    expected = scores(network, rgb, "conv")
    assert number("objective", as_finished(network, "conv:4", rgb)) == pytest.approx(expected[4].mean(), rel=1e-12)
    assert number("objective", as_finished(network, "conv:4@2,7", rgb)) == pytest.approx(expected[4, 2, 7], rel=1e-12)
    together = as_finished(network, parse("conv:4 - 0.5*conv:1"), rgb)
    assert number("objective", together) == pytest.approx(expected[4].mean() - 0.5 * expected[1].mean(), rel=1e-12)


def test_objective_is_taken_at_the_size_at_which_images_are_measured() -> None:
    network, rgb = classifier(3), image((13, 17))
    finished = as_finished(network, "conv:4", rgb, (26, 34))
    assert finished.image.shape == (1, 3, 26, 34)
    assert finished.rgb.shape == (13, 17, 3)
    expected = network.activations_of(rgb, ["conv"], (26, 34))["conv"][0, 4].mean().item()
    assert number("objective", finished) == pytest.approx(expected, rel=1e-12)


def views_by_hand(network: Network, rgb: NDArray[np.uint8], count: int) -> list[torch.Tensor]:
    views = []
    for view in range(count):
        stream = Stream(SEED, view, 0, (0, 0, 0, 1))
        space = network.image_space(rgb.shape[:2])
        context = StepContext(space=space)
        one = Affine(15, 1 / 14, (0.85, 1.15))(network.from_rgb(rgb)[None], [stream], context)
        if view % 2 == 0:
            one = one + 16 * 0.5 * stream.normal("normal", one.shape[1:], one)  # half a unit is a grey level of this net
        else:
            levels = (one[0] / 0.5 + network.mean).clamp(0, 255).round().numpy().astype(np.uint8)
            stream_of_bytes = io.BytesIO()
            Image.fromarray(np.moveaxis(levels[::-1], 0, 2)).save(stream_of_bytes, "JPEG", quality=50, subsampling="4:2:0")
            again = np.moveaxis(np.asarray(Image.open(stream_of_bytes)), 2, 0)[::-1].astype(np.float64)
            one = (torch.from_numpy(again) - network.mean)[None] * 0.5
        views.append(one)
    return views


@pytest.mark.parametrize("count", [1, 5, 16])
def test_held_out_is_the_mean_objective_of_views_made_by_hand(count: int) -> None:
    network, rgb = classifier(3), image(smooth=True)
    views = views_by_hand(network, rgb, count)
    expected = np.mean([network.activations(one, ["conv"])["conv"][0, 4].mean().item() for one in views])
    finished = as_finished(network, "conv:4", rgb)
    assert number(f"held_out(views={count})", finished) == pytest.approx(expected, rel=1e-9)
    assert number("held_out", finished) == number("held_out(views=16)", finished)
    made = HeldOut(count).views_of(network, finished.image, range(count))
    assert torch.allclose(made, torch.cat(views), rtol=1e-9, atol=1e-9)


def test_held_out_without_any_change_is_the_objective() -> None:
    finished = as_finished(classifier(3), "conv:4", image())
    text = "held_out(views=1, degrees=0, shift=0, factors=(1, 1), noise=0)"
    assert number(text, finished) == number("objective", finished)


@pytest.mark.parametrize("channels", [1, 5])
def test_jpeg_packs_other_numbers_of_channels_plane_by_plane(channels: int) -> None:
    network = classifier(channels)
    levels = np.random.default_rng(1).integers(0, 256, (channels, 24, 28)).astype(np.uint8)
    low = network.image_space((24, 28)).black
    assert low is not None
    images = torch.from_numpy(levels.astype(np.float64))[None] * 0.5 + low
    expected = []
    for plane in levels:
        stream = io.BytesIO()
        Image.fromarray(plane).save(stream, "JPEG", quality=50)
        expected.append(np.asarray(Image.open(stream)).astype(np.float64))
    assert torch.equal(packed(network, images, 50)[0], torch.from_numpy(np.stack(expected)) * 0.5 + low)


def test_no_preset_trains_with_as_wide_a_range_as_held_out_looks_at() -> None:
    """What the docstring says of the presets."""
    held_out = HeldOut()
    for one in presets():
        for transform in resolve_settings(one.name, {}).transforms:
            if isinstance(transform, Rotate):
                assert max(map(abs, transform.between or transform.degrees)) <= 10 < held_out.degrees
            if isinstance(transform, Scale):
                factors = transform.between or transform.factors
                assert held_out.factors[0] < min(factors) >= 0.9
                assert held_out.factors[1] > max(factors) <= 1.1
            if isinstance(transform, Noise):
                assert transform.normal <= 10.2 < held_out.noise


def test_total_variation_clipped_and_contrast_of_a_tiny_image() -> None:
    rgb = np.array([[[0, 10, 255], [4, 10, 255], [4, 40, 255]], [[0, 20, 255], [6, 20, 251], [6, 20, 253]]], np.uint8)
    finished = as_finished(classifier(3), "conv:0", rgb, (24, 28))
    down = np.mean([0, 10, 0, 2, 10, 4, 2, 20, 2])
    across = np.mean([4, 0, 0, 0, 30, 0, 6, 0, 4, 0, 0, 2])
    assert number("total_variation", finished) == pytest.approx((down + across) / 2, rel=1e-12)
    assert number("clipped(margin=0)", finished) == pytest.approx(100 * 6 / 18, rel=1e-12)
    assert number("clipped", finished) == pytest.approx(100 * 10 / 18, rel=1e-12)
    luminance = rgb @ np.array([0.299, 0.587, 0.114])
    assert number("contrast", finished) == pytest.approx(luminance.std(), rel=1e-3)
    row = as_finished(classifier(3), "conv:0", rgb[:1], (24, 28))
    assert number("total_variation", row) == pytest.approx(np.mean([4, 0, 0, 0, 30, 0]) / 2, rel=1e-12)


def test_counted_numbers_are_handed_on() -> None:
    facts = {"evaluations": 96, "seconds": 1.25, "memory": 3 * 2**19}
    numbers, vectors = take(["evaluations", "seconds", "memory"], as_finished(classifier(3), "conv:0", image(), facts=facts))
    assert numbers == {"evaluations": 96.0, "seconds": 1.25, "memory": 1.5}
    assert vectors == {}
    none, _ = take(["evaluations", "seconds", "memory"], as_finished(classifier(3), "conv:0", image()))
    assert none == {"evaluations": None, "seconds": None, "memory": None}


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("labels", [LABELS, None])
def test_probability_is_the_softmax_of_the_logits(softmax: bool, labels: tuple[str, ...] | None) -> None:
    network, rgb = classifier(3, labels, softmax), image()
    logits = scores(network, rgb)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    for unit in range(7):
        assert number("probability", as_finished(network, f"scores:{unit}", rgb)) == pytest.approx(expected[unit], rel=1e-9)
    if softmax:
        assert number("probability", as_finished(network, "prob:2", rgb)) == pytest.approx(expected[2], rel=1e-9)
    assert number("probability", as_finished(network, parse("LogProbability('scores', 2)"), rgb)) == pytest.approx(expected[2], rel=1e-9)
    for target in ("conv:2", "relu:1@centre", "pool:3", "-scores:1", "scores:1 + scores:2", "scores"):
        assert parse_measure("probability")(as_finished(network, parse(target), rgb)) is None


def test_rank_and_top1_compare_the_unit_with_its_layer() -> None:
    network, rgb = classifier(3), image()
    for layer, values in (("scores", scores(network, rgb)), ("conv", scores(network, rgb, "conv").mean((1, 2)))):
        ranks = [1 + int((values > value).sum()) for value in values]
        assert [number("rank", as_finished(network, f"{layer}:{unit}", rgb)) for unit in range(len(values))] == ranks
        assert [number("top1", as_finished(network, f"{layer}:{unit}", rgb)) for unit in range(len(values))] == [
            float(r == 1) for r in ranks
        ]
    at = scores(network, rgb, "conv")[:, 3, 5]
    assert number("rank", as_finished(network, "conv:2@3,5", rgb)) == 1 + int((at > at[2]).sum())


def test_no_unit_of_a_dead_layer_is_the_highest() -> None:
    network = toy_network()
    finished = as_finished(network, "dead:3", image((11, 13)))
    assert (number("top1", finished), number("rank", finished)) == (0.0, 7.0)


def test_rank_of_a_layer_in_parts_is_that_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = as_finished(classifier(3), "conv:2", image())
    expected = number("rank", finished)
    monkeypatch.setattr("dreamopt.study.ranks._VALUES", 1)
    assert number("rank", finished) == expected


def test_transfer_is_the_mean_probability_of_the_label_in_other_nets() -> None:
    turned, logits = classifier(3, LABELS[::-1]), classifier(1, (*LABELS, "nothing"), False, 8)
    others = {"turned": turned, "logits": logits, "without labels": classifier(3, None), "of others": classifier(3, tuple("abcdefg"))}
    rgb = image((40, 31))
    for unit in (0, 3, 5):
        finished = as_finished(classifier(3), f"scores:{unit}", rgb, (24, 28), others=others)
        seen = [turned.activations_of(rgb, ["prob"])["prob"][0].numpy(), logits.activations_of(rgb, ["scores"])["scores"][0]]
        both = seen[0], torch.softmax(torch.as_tensor(seen[1]), 0).numpy()
        places = 6 - unit, unit
        expected = np.mean([p[place] for p, place in zip(both, places, strict=True)])
        assert number("transfer", finished) == pytest.approx(expected, rel=1e-9)
        highest = [float(p.argmax() == place) for p, place in zip(both, places, strict=True)]
        assert number("transfer_top1", finished) == np.mean(highest)


def test_transfer_leaves_out_what_no_other_net_can_say() -> None:
    others = {"other": classifier(3, LABELS[::-1])}
    unnamed = as_finished(classifier(3, None), "scores:1", image(), others=others)
    planes = as_finished(classifier(5), "scores:1", image(), others=others)
    for finished in (
        unnamed,
        planes,
        as_finished(classifier(3), "conv:1", image(), others=others),
        as_finished(classifier(3), "scores:1", image()),
    ):
        assert parse_measure("transfer")(finished) is None
        assert parse_measure("transfer_top1")(finished) is None


def test_spectrum_of_the_photographs_own_mixture_is_0_and_grows_by_the_gap_of_each_ring() -> None:
    natural = magnitudes(None, 1, (48, 40), None)[0].numpy()
    assert distance(natural, natural, (48, 40)) == pytest.approx(0, abs=1e-6)
    assert distance(0.01 * natural, natural, (48, 40)) == pytest.approx(0, abs=1e-3)
    frequency = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(40))
    edges = np.geomspace(2 / 40, 0.5, 17)
    tilted = natural * np.exp(np.where((frequency >= edges[8]) & (frequency < 0.5), 1.0, 0.0))
    assert distance(tilted, natural, (48, 40)) == pytest.approx(0.5, rel=1e-3)  # half of the rings are e times as strong


def test_spectrum_of_an_image_with_the_photographs_strengths_is_small() -> None:
    size = (64, 64)
    natural = magnitudes(None, 1, size, None)[0].numpy()
    turns = np.exp(2j * np.pi * np.random.default_rng(3).random(natural.shape))
    drawn = np.fft.irfft2(natural * turns, size)
    levels = np.clip(128 + 40 * drawn / drawn.std(), 0, 255).astype(np.uint8)
    noise = image(size)
    near = number("spectrum", as_finished(classifier(3), "conv:0", np.repeat(levels[..., None], 3, 2)))
    assert near < 0.2 < 0.8 < number("spectrum", as_finished(classifier(3), "conv:0", noise))
    assert parse_measure("spectrum")(as_finished(classifier(3), "conv:0", image((7, 30)), (24, 28))) is None


def test_diversity_is_one_less_the_mean_cosine_of_gram_matrices() -> None:
    network = classifier(3)
    runs = [as_finished(network, "conv:2", image(seed=seed)) for seed in range(3)]
    grams = []
    for run in runs:
        columns = network.activations(run.image, ["conv"])["conv"][0].flatten(1).numpy()
        grams.append((columns @ columns.T).ravel())
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in ((grams[0], grams[1]), (grams[0], grams[2]), (grams[1], grams[2]))]
    measure = Diversity()
    vectors = [np.array(measure.vector(run)) for run in runs]
    assert len(vectors[0]) == 21
    assert measure.compare(vectors) == pytest.approx(1 - np.mean(cosines), rel=1e-4)
    assert measure.compare([vectors[0], 3 * vectors[0]]) == pytest.approx(0, abs=1e-12)
    assert measure(runs[0]) is None


def test_diversity_compares_the_layer_with_places_below_a_class() -> None:
    rgb = image()
    layers = {
        target: compared_layer(as_finished(classifier(3), parse(target), rgb)) for target in ("scores:1", "prob:1", "conv:2", "pool:2")
    }
    assert layers == {"scores:1": "relu", "prob:1": "relu", "conv:2": "conv", "pool:2": "relu"}
    tiny = as_finished(dreamopt.load_net(), "scores:3", image((96, 96)))
    assert compared_layer(tiny) == "mixed5"
    both = as_finished(classifier(3), parse("conv:2 + relu:1"), rgb)
    assert compared_layer(both) == "relu"


def test_a_projection_keeps_distances() -> None:
    random = np.random.default_rng(0)
    first = random.normal(size=20000)
    second = first + 0.1 * random.normal(size=20000)
    before, after = np.linalg.norm(first - second), np.linalg.norm(projected(first) - projected(second))
    assert after == pytest.approx(before, rel=0.15)
    assert np.array_equal(projected(first), projected(first.copy()))
    assert projected(first) + projected(second) == pytest.approx(projected(first + second), abs=1e-9)


def better_and_worse(name: str) -> tuple[Finished, Finished]:
    """Return two runs of which the first is the better one by a measure."""
    network = dreamopt.load_net()
    noise = image((96, 96))
    if name in ("evaluations", "seconds", "memory"):
        return tuple(as_finished(network, "conv2:3", noise, facts={name: count}) for count in (3.0, 5.0))
    if name in ("total_variation", "clipped", "spectrum"):
        photograph = covering(read_image(image_files(None)[2]), (96, 96))
        return as_finished(network, "conv2:3", photograph), as_finished(network, "conv2:3", noise)
    made = dreamopt.render(network, "scores:bubbles", steps=48, size=96, seed=1)[0].image
    others = {"itself": network}
    return as_finished(network, "scores:bubbles", made, others=others), as_finished(network, "scores:bubbles", noise, others=others)


@pytest.mark.parametrize("name", [plugin.name for plugin in measures if plugin.make.better != "neither"])
def test_the_better_image_has_the_better_number(name: str) -> None:
    better, worse = better_and_worse(name)
    first, second = number(name, better), number(name, worse)
    assert first > second if parse_measure(name).better == "higher" else first < second
