"""Reducers of all units against plain numpy over all activations of a random net, images of odd sizes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

import dreamopt
from dreamopt.dataset.arrays import put_back, taken_out
from dreamopt.dataset.frames import Fit, read_frame
from dreamopt.dataset.histogram import BINS, Histograms, bin_edges
from dreamopt.dataset.listing import Listing
from dreamopt.dataset.sample import ImageSample
from dreamopt.dataset.sampled_maxima import SampledMaxima
from dreamopt.dataset.sampled_places import SampledPlaces
from dreamopt.dataset.stream import Batch, Reducer, stream
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.parts.forms import Key
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

POOL = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
NET = (
    image_input(shape=(1, 3, 14, 18))
    + conv("a", "data", 6, "kernel_size: 3 stride: 2", relu=True)
    + conv("b", "a", 5, "kernel_size: 3 pad: 1")
    + layer("pool", "Pooling", "b", more=POOL)
    + layer("fc", "InnerProduct", "pool", more='inner_product_param { num_output: 4 weight_filler { type: "xavier" } }')
)
LAYERS = ("a_relu", "b", "fc")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("net") / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return dreamopt.load_net(path, device="cpu", seed=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 images of odd sizes; among them two that are none."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(5)
    for number in range(19):
        sides = (int(rng.integers(9, 40)), int(rng.integers(9, 40)))
        Image.fromarray(rng.integers(0, 256, (*sides, 3), np.uint8)).save(folder / f"{number:02d}.png")
    (folder / "03.png").write_bytes(b"no image")
    (folder / "11.png").write_bytes((folder / "10.png").read_bytes()[:60])
    return folder


def passed(network: Network, photos: Any, reducer: Reducer, batch: int = 5) -> None:
    for _ in stream(network, Listing(photos), [reducer], Fit(), batch=batch, readers=0):
        pass


@pytest.fixture(scope="module")
def activations(network: Network, photos: Path) -> dict[str, dict[int, np.ndarray]]:
    """By layer and image what the layer writes, one image after the other."""
    found: dict[str, dict[int, np.ndarray]] = {name: {} for name in LAYERS}
    for entry in Listing(photos):
        if entry.index in (3, 11):
            continue
        image = read_frame(entry, Fit(), network).input(network)
        with torch.no_grad():
            values = network.activations(image[None], LAYERS)
        for name in LAYERS:
            found[name][entry.index] = values[name][0].numpy().copy()
    return found


def test_histograms_count_every_value(network: Network, photos: Path, activations: dict[str, dict[int, np.ndarray]]) -> None:
    reducer = Histograms(network, LAYERS)
    passed(network, photos, reducer)
    edges = np.concatenate([[-np.inf], bin_edges(), [np.inf]])
    for name in LAYERS:
        every = np.stack([*activations[name].values()], 1).reshape(len(reducer.counts[name]), -1)
        for unit, values in enumerate(every):
            # A bin holds its edge nearer to zero.
            side = np.abs(values).astype(np.float64)
            positive = np.histogram(side[values > 0], np.append(0, edges[BINS // 2 + 1 :]))[0]
            negative = np.histogram(side[values < 0], np.append(0, edges[BINS // 2 + 1 :]))[0]
            expected = np.concatenate([negative[:0:-1], [positive[0] + negative[0] + (values == 0).sum()], positive[1:]])
            np.testing.assert_array_equal(reducer.counts[name][unit], expected)
            about = reducer.describe(name, unit)
            assert about["count"] == values.size == sum(about["histogram"]["counts"])
            assert about["zeros"] == pytest.approx((values == 0).mean(), abs=1e-12)
            # A product of several rows is rounded otherwise than one of a single one.
            assert (about["min"], about["max"]) == pytest.approx((values.min(), values.max()), rel=1e-5)
            assert about["mean"] == pytest.approx(values.astype(np.float64).mean(), rel=1e-4, abs=1e-4 * side.mean())
            assert (np.diff(about["histogram"]["edges"]) > 0).all()
            assert len(about["histogram"]["edges"]) == len(about["histogram"]["counts"]) + 1
            assert json.loads(json.dumps(about, allow_nan=False)) == about


def test_values_that_are_not_finite_are_in_no_bin(network: Network) -> None:
    reducer = Histograms(network, ["b"])
    values = torch.zeros(2, 5, 2, 3)
    values[0, 1, 0] = torch.tensor([np.nan, np.inf, -np.inf])
    values[1, 1, 1] = torch.tensor([3e38, -1.0, 1e-30])
    reducer.add(Batch([], {"b": values}, (14, 18)))
    about = reducer.describe("b", 1)
    assert (about["count"], about["not_finite"], about["min"], about["max"]) == (9, 3, -1.0, float(np.float32(3e38)))
    assert about["mean"] == pytest.approx(float(np.float32(3e38)) / 9)
    assert sum(about["histogram"]["counts"]) == 9
    assert about["histogram"]["edges"][-1] == float(np.float32(3e38))


def test_examples_by_quantile_are_exact_where_the_sample_holds_all(
    network: Network, photos: Path, activations: dict[str, dict[int, np.ndarray]]
) -> None:
    reducer = SampledMaxima(network, LAYERS, 50, seed=3)
    passed(network, photos, reducer)
    for name in LAYERS:
        for unit in range(network.shape_of(name)[0]):
            peaks = {index: a[unit] for index, a in activations[name].items()}
            ranked = sorted(peaks, key=lambda index: (float(peaks[index].max()), index))
            for quantile in (0.99, 0.5, 0.01):
                found = reducer.example(name, unit, quantile)
                expected = ranked[max(0, math.ceil(quantile * len(ranked)) - 1)]
                assert found is not None
                assert found.index == expected
                assert found.value == pytest.approx(peaks[expected].max(), rel=1e-5)
                if peaks[expected].ndim == 2:
                    assert found.place == np.unravel_index(int(peaks[expected].argmax()), peaks[expected].shape)
                else:
                    assert found.place == (-1, -1)


def test_a_sample_does_not_depend_on_batches_and_is_even() -> None:
    for order in (range(40), range(39, -1, -1)):
        one = ImageSample(7, 5, "x")
        for first in range(0, 40, 3):
            one.admit(list(order)[first : first + 3])
        assert sorted(one.index) == sorted(drawn(range(40)))
    counts = np.zeros(30)
    for seed in range(400):
        sample = ImageSample(6, seed, "x")
        sample.admit(range(30))
        counts[sample.index] += 1
    # Drawn without replacement the counts vary less than Poisson's: a chi-square above the usual limit is a fault all the more.
    assert stats.chisquare(counts).pvalue > 0.01


def drawn(indices: Sequence[int]) -> list[int]:
    sample = ImageSample(7, 5, "x")
    sample.admit(indices)
    return [int(index) for index in sample.index]


class Frames:
    """What a batch has of an image here: its place in the set."""

    def __init__(self, index: int) -> None:
        self.entry, self.size, self.photo = type("Entry", (), {"index": index})(), (14, 18), (14, 18)


def test_positions_are_even_over_all_places(network: Network) -> None:
    count, shape = 3000, network.shape_of("b")
    reducer = SampledPlaces(network, ["b"], count, seed=1)
    for first in range(0, count, 100):
        frames: Any = [Frames(index) for index in range(first, first + 100)]
        values = torch.arange(math.prod(shape), dtype=torch.float32).reshape(1, *shape).expand(100, *shape)
        reducer.add(Batch(frames, {"b": values}, (14, 18)))
    places = reducer.places("b")
    counts = np.zeros(shape[1:])
    np.add.at(counts, tuple(places.positions.T), 1)
    assert counts.min() > 0  # the first and the last row and column too
    assert stats.chisquare(counts.ravel()).pvalue > 0.01
    place = places.positions[:, 0] * shape[2] + places.positions[:, 1]
    np.testing.assert_array_equal(places.vectors, place[:, None] + np.arange(shape[0]) * shape[1] * shape[2])


def test_effects_are_the_vectors_times_the_gradients_of_the_scores(network: Network, photos: Path) -> None:
    layers = ["a_relu", "b", "pool", "fc"]
    reducer = SampledPlaces(network, layers, 9, seed=2, scores="fc")
    passed(network, photos, reducer)
    entries = {entry.index: entry for entry in Listing(photos)}
    for name in layers:
        places = reducer.places(name)
        assert len(places.index) == 9
        assert places.effects is not None
        assert places.winners is not None
        for row, index in enumerate(places.index):
            image = read_frame(entries[int(index)], Fit(), network).input(network)[None].requires_grad_()
            values = network.activations(image, [*layers], between_layers=True)
            assert int(values["fc"][0].argmax()) == places.winners[row]
            for unit in range(4):
                at = tuple(places.positions[row])
                if name == "fc":
                    expected = float(values["fc"][0, unit].detach())
                else:
                    [gradient] = torch.autograd.grad(values["fc"][0, unit], values[name], retain_graph=True)
                    expected = float((gradient[0, :, at[0], at[1]] * values[name][0, :, at[0], at[1]]).sum().detach())
                assert places.effects[row, unit] == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", ["histograms", "maxima", "places"])
def test_a_pass_that_was_left_and_goes_on_holds_the_same_bytes(network: Network, photos: Path, kind: str) -> None:
    make: dict[str, Any] = {
        "histograms": lambda: Histograms(network, LAYERS),
        "maxima": lambda: SampledMaxima(network, LAYERS, 6, 1),
        "places": lambda: SampledPlaces(network, LAYERS, 6, 1, "fc"),
    }
    whole, first, second = (make[kind]() for _ in range(3))
    passed(network, photos, whole)
    steps = stream(network, Listing(photos), [first], Fit(), batch=5)
    next(steps)
    left = next(steps)
    steps.close()
    arrays: list[Any] = []
    text = json.dumps(taken_out(first.state(), arrays))
    second.restore(put_back(json.loads(text), memoryview(b"".join(array.tobytes() for array in arrays)), Key("the state")))
    for _ in stream(network, Listing(photos), [second], Fit(), batch=5, start=left):
        pass
    assert written(second) == written(whole)
    with pytest.raises(UsageError):
        make[kind]().restore(put_back(json.loads(text), memoryview(b""), Key("the state")))


def written(reducer: Reducer) -> bytes:
    arrays: list[Any] = []
    text = json.dumps(taken_out(reducer.state(), arrays))
    return text.encode() + b"".join(array.tobytes() for array in arrays)
