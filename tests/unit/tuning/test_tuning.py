"""Tuning of hand-made filters: what they were made for is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt
from dreamopt.errors import OutOfMemoryError, UsageError
from dreamopt.network import Network
from dreamopt.tuning.curves import TuningCurves
from dreamopt.tuning.stimuli import colour_field, colour_of, grating
from dreamopt.tuning.tuning import LayerTuning, layer_tuning, layer_tunings
from tests.support.nets import conv, image_input, layer, relu

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

SIDE = 15
WANTED = [(0.0, 7.5), (30.0, 5.0), (60.0, 3.0), (90.0, 5.0), (135.0, 7.5)]  # degrees, pixels from bar to bar
HUES = [0.0, 90.0, 150.0, 240.0, 300.0]


def gabor(angle: float, wavelength: float, phase: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    envelope = np.exp(-(x**2 + y**2) / (2 * 3.5**2))
    wave = np.cos(2 * np.pi * (x * np.sin(np.radians(angle)) + y * np.cos(np.radians(angle))) / wavelength + np.radians(phase))
    kernel = envelope * wave
    return (kernel - envelope * kernel.sum() / envelope.sum()) / 100


def network_of(folder: Path, kernels: np.ndarray, channels: int = 3, order: str = "BGR", more: str = "", side: int = 61) -> Network:
    """Return a net whose first layer has these kernels, (n, channels, h, w), and stride 2."""
    size = kernels.shape[2]
    path = folder / "net.prototxt"
    text = conv("a", "data", len(kernels), f"kernel_size: {size} stride: 2 pad: {size // 2}") + relu("a/relu", "a") + more
    path.write_text(image_input(shape=(1, channels, side, side)) + text, encoding="utf-8")
    mean = [104, 117, 123] if channels == 3 else 99
    network = dreamopt.load_net(path, device="cpu", channel_order=order, mean=mean, scale=0.5)
    return network.with_weights({"a": [kernels.astype(np.float32), np.full(len(kernels), 0.25, np.float32)]})


def curve(tuning: LayerTuning, kind: str) -> TuningCurves:
    return next(curves for curves in tuning.curves if curves.kind == kind)


@pytest.mark.parametrize(("channels", "order"), [(3, "BGR"), (3, "RGB"), (1, "BGR"), (5, "BGR")])
def test_gabors_are_tuned_to_what_they_are_made_of(tmp_path: Path, channels: int, order: str) -> None:
    kernels = np.stack([gabor(angle, wavelength, 50 * i) for i, (angle, wavelength) in enumerate(WANTED)])
    kernels = np.concatenate([kernels, np.full((1, SIDE, SIDE), 1e-3)])  # the mean of all: tuned to no orientation
    network = network_of(tmp_path, np.repeat(kernels[:, None], channels, 1), channels, order)
    tuning = layer_tuning(network, "a/relu", frequencies=9)
    assert (tuning.places, tuning.field, tuning.size) == ("inside", SIDE, (SIDE + 8, SIDE + 8))
    orientation, frequency = curve(tuning, "orientation"), curve(tuning, "frequency")
    for unit, (angle, wavelength) in enumerate(WANTED):
        assert orientation.best(unit) == pytest.approx(angle)
        assert orientation.selectivity(unit) > 0.7
        step = frequency.at[1] / frequency.at[0]
        assert abs(np.log(frequency.best(unit) * wavelength / SIDE)) < 0.8 * np.log(step)
    assert orientation.selectivity(5) < 0.2
    assert len(tuning.left_out) == (channels != 3)
    if channels != 3:
        assert tuning.left_out == (f"colour: the net's input has {channels} channel(s), not three",)


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_colours_are_found(tmp_path: Path, order: str) -> None:
    kernels = np.stack([colour_of(hue) / 127.5 - 1 for hue in HUES] + [np.ones(3)])[:, :, None, None] * np.ones((1, 1, 5, 7))
    kernels = kernels[:, :, :, 1:6]
    network = network_of(tmp_path, kernels[:, ::-1] if order == "BGR" else kernels, order=order)
    colour = curve(layer_tuning(network, "a"), "colour")
    assert colour.colours[0] == "#ff4040"
    assert [colour.best(unit) for unit in range(len(HUES))] == HUES
    assert all(0.5 < colour.selectivity(unit) < 1 for unit in range(len(HUES)))
    assert float(colour.responses[5].abs().max()) < 1e-3  # all hues are equally bright


def test_a_centre_and_its_surround_answer_to_a_disc(tmp_path: Path) -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    inside = np.hypot(x, y) <= SIDE / 4
    kernel = np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())
    red = kernel[None, None] * np.array([-0.5, -0.5, 1])[None, :, None, None]
    colour = curve(layer_tuning(network_of(tmp_path, red), "a/relu"), "colour")
    assert colour.best(0) == 0.0
    assert colour.selectivity(0) > 0.4


def test_deep_layers_take_the_whole_image(tmp_path: Path) -> None:
    kernels = np.repeat(gabor(90, 5, 0)[None, None], 3, 1)
    more = layer("fc", "InnerProduct", "a", more='inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.1 } }')
    network = network_of(tmp_path, kernels, more=more + conv("b", "a", 3, "kernel_size: 29 pad: 14"), side=31)
    for name, units in (("fc", 4), ("b", 3)):
        tuning = layer_tuning(network, name, orientations=4, frequencies=3, hues=3)
        assert (tuning.size, tuning.field) == ((31, 31), 31)
        assert [tuple(curves.responses.shape) for curves in tuning.curves] == [(units, 4), (units, 3), (units, 3)]
        again = layer_tuning(network, name, orientations=4, frequencies=3, hues=3)
        assert all(torch.equal(one.responses, two.responses) for one, two in zip(tuning.curves, again.curves, strict=True))


def test_layers_that_are_shown_the_same_share_passes_and_keep_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the last group, the scores round differently where what feeds them is read too."""
    network, numbers = dreamopt.load_net(device="cpu"), {"orientations": 3, "frequencies": 2, "hues": 5}
    groups = [
        ["conv2/scale", "mixed3/1x1/scale", "mixed3/5x5_reduce/scale"],
        ["mixed5/5x5/scale", "mixed5/pool_proj/scale", "scores"],
        ["conv1", "conv1/relu", "conv1"],
    ]
    passes: list[tuple[int, list[str]]] = []
    plain = Network.activations

    def counted(self: Network, x: torch.Tensor, layers: list[str], **options: object) -> dict[str, torch.Tensor]:
        passes.append((len(x), list(layers)))
        return plain(self, x, layers, **options)

    monkeypatch.setattr(Network, "activations", counted)
    reports: list[tuple[int, int]] = []
    for group in groups:
        reports.clear()
        together = layer_tunings(network, group, progress=lambda done, count: reports.append((done, count)), **numbers)
        assert reports[-1][0] == reports[-1][1] == 35 * len(set(group))
        alone = [layer_tuning(network, name, **numbers) for name in group]
        for one, two in zip(together, alone, strict=True):
            assert (one.layer, one.places, one.field, one.size, one.left_out) == (two.layer, two.places, two.field, two.size, two.left_out)
            for curves, same in zip(one.curves, two.curves, strict=True):
                assert torch.equal(curves.responses, same.responses)
                assert (curves.at, curves.colours) == (same.at, same.colours)
    whole = [layers for count, layers in passes if count > 3]
    assert ["conv2/scale", "mixed3/1x1/scale", "mixed3/5x5_reduce/scale"] in whole
    assert ["mixed5/5x5/scale", "mixed5/pool_proj/scale"] in whole


@pytest.mark.parametrize("most", [1, 2, 9])
def test_where_memory_runs_out_fewer_images_pass_and_then_single_layers(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """``most``: images times layers that fit."""
    names, numbers = ["conv2", "mixed3/1x1"], {"orientations": 2, "frequencies": 1, "hues": 2}
    want = layer_tunings(dreamopt.load_net(device="cpu"), names, **numbers)
    plain = Network.activations

    def scarce(self: Network, x: torch.Tensor, layers: list[str], **options: object) -> dict[str, torch.Tensor]:
        if len(x) * len(layers) > most:
            raise OutOfMemoryError("no memory")
        return plain(self, x, layers, **options)

    monkeypatch.setattr(Network, "activations", scarce)
    found = layer_tunings(dreamopt.load_net(device="cpu"), names, **numbers)
    for one, two in zip(found, want, strict=True):
        for curves, same in zip(one.curves, two.curves, strict=True):
            torch.testing.assert_close(curves.responses, same.responses, rtol=1e-4, atol=1e-3)
    monkeypatch.setattr(Network, "activations", lambda *_, **__: (_ for _ in ()).throw(OutOfMemoryError("no memory")))
    with pytest.raises(OutOfMemoryError):
        layer_tunings(dreamopt.load_net(device="cpu"), names, **numbers)


def test_one_pixel_has_no_orientation(tmp_path: Path) -> None:
    tuning = layer_tuning(network_of(tmp_path, np.ones((2, 3, 1, 1))), "a")
    assert [curves.kind for curves in tuning.curves] == ["colour"]
    assert tuning.left_out == ("orientation and frequency: a place sees 1 pixel(s), in which no bars can be distinguished",)


def test_a_net_without_an_image_has_no_tuning(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        image_input(shape=(1, 7)) + layer("fc", "InnerProduct", "data", more="inner_product_param { num_output: 4 }"), encoding="utf-8"
    )
    with pytest.raises(UsageError, match="no image"):
        layer_tuning(dreamopt.load_net(path, device="cpu"), "fc")


def test_bars_stand_as_said() -> None:
    vertical = grating((5, 9), 90, 4)
    assert np.ptp(vertical, axis=0).max() < 1e-9
    rising = grating((9, 9), 45, 4 * 2**0.5)
    assert rising[4, 4] == pytest.approx(rising[2, 6])  # up and to the right along the bar
    assert rising[4, 4] == 255
    assert rising[2, 2] == pytest.approx(0, abs=1e-9)
    disc = colour_field((9, 7), colour_of(0), 5)
    assert disc[4, 3].tolist() == [255, 63.75, 63.75]
    assert disc[0, 0].tolist() == [127.5] * 3
