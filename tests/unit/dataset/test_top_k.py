"""Rankings against a slow loop over images, one at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dreamopt
from dreamopt.dataset.arrays import put_back, taken_out
from dreamopt.dataset.frames import Fit
from dreamopt.dataset.listing import Listing
from dreamopt.dataset.stream import Progress, stream
from dreamopt.dataset.top_k import TopK
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.objective import Objective, parse
from dreamopt.objectives import Channel, Direction
from dreamopt.parts.forms import Key
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

NET = (
    image_input(shape=(1, 3, 14, 18))
    + conv("a", "data", 6, "kernel_size: 3 stride: 2", relu=True)
    + conv("b", "a", 5, "kernel_size: 3 pad: 1")
    + layer("fc", "InnerProduct", "b", more='inner_product_param { num_output: 4 weight_filler { type: "xavier" } }')
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("net") / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return dreamopt.load_net(path, device="cpu", seed=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 images of two sizes, two of them alike."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(5)
    for number in range(23):
        levels = rng.integers(0, 256, (14, 18, 3) if number % 3 else (20, 16, 3), np.uint8)
        Image.fromarray(levels).save(folder / f"{number:02d}.png")
    (folder / "07.png").write_bytes((folder / "04.png").read_bytes())
    return folder


def ranked(
    network: Network, photos: Path, targets: Sequence[Any], k: int = 4, batch: int = 5, fit: Fit | None = None, **options: Any
) -> TopK:
    reducer = TopK(network, [parse(one) if isinstance(one, str) else one for one in targets], k, **options)
    for _ in stream(network, Listing(photos), [reducer], fit or Fit(), batch=batch):
        pass
    return reducer


def slow_maps(network: Network, photos: Path, layer_: str, fit: Fit | None = None) -> list[np.ndarray]:
    """Return what a layer writes for each image, one after the other."""
    from dreamopt.dataset.frames import read_frame

    maps = []
    for entry in Listing(photos):
        image = read_frame(entry, fit or Fit(), network).input(network)
        with torch.no_grad():
            maps.append(network.activations(image[None], [layer_])[layer_][0].double().numpy())
    return maps


def check(reducer: TopK, target: int, expected: list[tuple[float, int, tuple[int, int]]]) -> None:
    """Compare a target's ranking with candidates (value, image, place), in any order."""
    best = sorted(expected, key=lambda one: (-one[0], one[1], one[2]))[: reducer.k]
    np.testing.assert_allclose(reducer.values[target, : len(best)], [value for value, _, _ in best], rtol=1e-5)
    assert reducer.index[target, : len(best)].tolist() == [index for _, index, _ in best]
    assert [tuple(place) for place in reducer.place[target, : len(best)].tolist()] == [place for _, _, place in best]


def peaks(maps: list[np.ndarray]) -> list[tuple[float, int, tuple[int, int]]]:
    found = []
    for index, values in enumerate(maps):
        row, column = np.unravel_index(values.argmax(), values.shape)
        found.append((float(values.max()), index, (int(row), int(column))))
    return found


def test_channels_are_ranked_by_their_strongest_places(network: Network, photos: Path) -> None:
    reducer = ranked(network, photos, ["b:0", "b:3", "-2*b:3", "a_relu:1"])
    b, a = slow_maps(network, photos, "b"), slow_maps(network, photos, "a_relu")
    for target, maps in enumerate([[m[0] for m in b], [m[3] for m in b], [-2 * m[3] for m in b], [m[1] for m in a]]):
        check(reducer, target, peaks(maps))


def test_other_objectives_have_a_value_at_each_place_too(network: Network, photos: Path) -> None:
    vector = (1.0, -2.0, 0.5, 0.0, 3.0)
    objectives: list[Objective | str] = [Direction("b", vector), parse("b:0 - 0.5*b:1"), Direction("b", vector, power=2)]
    reducer = ranked(network, photos, objectives)
    b = slow_maps(network, photos, "b")
    dots = [np.tensordot(np.array(vector), m, 1) for m in b]
    cosines = [d / (np.linalg.norm(m, axis=0) + 1e-4) / (np.linalg.norm(vector) + 1e-4) for d, m in zip(dots, b, strict=True)]
    check(reducer, 0, peaks(dots))
    check(reducer, 1, peaks([m[0] - 0.5 * m[1] for m in b]))
    check(reducer, 2, peaks([d * np.maximum(c, 0.1) ** 2 for d, c in zip(dots, cosines, strict=True)]))


def test_targets_without_a_place_have_their_own_value(network: Network, photos: Path) -> None:
    reducer = ranked(network, photos, ["fc:2", "b:1@3,4", "b", "a_relu:0 + b:0"])
    b, a, fc = (slow_maps(network, photos, name) for name in ("b", "a_relu", "fc"))
    nowhere = (-1, -1)
    check(reducer, 0, [(float(m[2]), i, nowhere) for i, m in enumerate(fc)])
    check(reducer, 1, [(float(m[1, 3, 4]), i, nowhere) for i, m in enumerate(b)])
    energies = [m**2 / 2 for m in b]
    check(reducer, 2, peaks([m.sum(0) for m in energies]))
    # Both maps are 6 x 8, so that their places lie over each other.
    check(reducer, 3, peaks([x[0] + y[0] for x, y in zip(a, b, strict=True)]))


def test_by_the_mean_and_by_the_targets_own_value(network: Network, photos: Path) -> None:
    b = slow_maps(network, photos, "b")
    for by, expected in {"mean": [m[2].mean() for m in b], "value": [m[2].mean() for m in b]}.items():
        reducer = ranked(network, photos, ["b:2"], by=by)
        check(reducer, 0, [(float(value), i, (-1, -1)) for i, value in enumerate(expected)])
    energy = [(m**2 / 2).sum(0) for m in b]
    check(ranked(network, photos, ["b"], by="mean"), 0, [(float(m.mean()), i, (-1, -1)) for i, m in enumerate(energy)])
    check(ranked(network, photos, ["b"], by="value"), 0, [(float(m.sum()), i, (-1, -1)) for i, m in enumerate(energy)])


@pytest.mark.parametrize("batch", [1, 4, 50])
def test_batches_do_not_matter(network: Network, photos: Path, batch: int) -> None:
    check(ranked(network, photos, ["b:0"], batch=batch), 0, peaks([m[0] for m in slow_maps(network, photos, "b")]))


def test_images_at_their_own_sizes(network: Network, photos: Path) -> None:
    fit = Fit(longest=18)
    reducer = ranked(network, photos, ["b:4"], fit=fit)
    maps = slow_maps(network, photos, "b", fit)
    assert len({m.shape for m in maps}) == 2
    check(reducer, 0, peaks([m[4] for m in maps]))


def test_equal_values_keep_the_order_of_the_images(network: Network, photos: Path) -> None:
    reducer = ranked(network, photos, ["a_relu:2"], k=23, batch=3)
    assert reducer.index[0].tolist().index(4) + 1 == reducer.index[0].tolist().index(7)
    dark = TopK(network, [Channel("a_relu", 0)], 4)  # one black image after the other: all values are equal
    listing = Listing([np.zeros((14, 18, 3), np.uint8)] * 6)
    for _ in stream(network, listing, [dark], Fit(), batch=4):
        pass
    assert dark.index.tolist() == [[0, 1, 2, 3]]
    assert dark.place[0, 0].tolist() == dark.place[0, 3].tolist()


def test_of_images_that_look_alike_the_first_counts(network: Network, photos: Path) -> None:
    reducer = ranked(network, photos, ["b:0", "b:1"], k=23, batch=4, distinct=True)
    maps = slow_maps(network, photos, "b")
    for target in (0, 1):
        check(reducer, target, [one for one in peaks([m[target] for m in maps]) if one[1] != 7])
        assert reducer.index[target, -1] == -1


def test_several_places_of_an_image_lie_apart(network: Network, photos: Path) -> None:
    reducer = ranked(network, photos, ["b:0"], k=20, per_image=3)
    expected = []
    for index, values in enumerate(m[0] for m in slow_maps(network, photos, "b")):
        chosen: list[tuple[int, int]] = []
        for row, column in sorted(np.ndindex(values.shape), key=lambda at: (-values[at], at)):
            # Windows of 7 x 7 pixels, 2 apart: of 49 pixels two share (7 - 2 dy) (7 - 2 dx).
            shared = [max(0, 7 - 2 * abs(row - r)) * max(0, 7 - 2 * abs(column - c)) / 49 for r, c in chosen]
            if len(chosen) < 3 and all(part <= 0.5 for part in shared):
                chosen.append((row, column))
                expected.append((float(values[row, column]), index, (row, column)))
    check(reducer, 0, expected)
    assert len(set(reducer.index[0].tolist())) < 20


def test_a_value_that_is_not_finite_has_no_rank(network: Network, photos: Path) -> None:
    class Odd(Channel):
        def value(self, activations: Any) -> torch.Tensor:
            values = super().value(activations)
            return torch.where(values > 0, values, torch.nan)

    reducer = ranked(network, photos, [Odd("fc", 1)], k=30)
    values = [float(m[1]) for m in slow_maps(network, photos, "fc")]
    check(reducer, 0, [(value, i, (-1, -1)) for i, value in enumerate(values) if value > 0])
    assert 0 < reducer.unranked[0] == sum(value <= 0 for value in values)


def test_a_state_goes_on_as_if_nothing_had_been(network: Network, photos: Path) -> None:
    import json

    targets = ["b:0", "fc:1", "-b:2"]
    whole = ranked(network, photos, targets, per_image=2, distinct=True)
    first = TopK(network, [parse(one) for one in targets], 4, per_image=2, distinct=True)
    steps = stream(network, Listing(photos), [first], Fit(), batch=5)
    next(steps)
    left: Progress = next(steps)
    steps.close()
    second = TopK(network, [parse(one) for one in targets], 4, per_image=2, distinct=True)
    arrays: list[Any] = []
    text = json.dumps(taken_out(first.state(), arrays))
    second.restore(put_back(json.loads(text), memoryview(b"".join(array.tobytes() for array in arrays)), Key("the state")))
    *_, progress = stream(network, Listing(photos), [second], Fit(), batch=5, start=left)
    np.testing.assert_equal(second.state(), whole.state())
    assert progress.images == 23
    assert progress.entries.keys() == whole.images()


def test_a_state_of_other_targets_is_refused(network: Network) -> None:
    state = TopK(network, [Channel("b", 0)], 3).state()
    with pytest.raises(UsageError, match=r"of shape \(2, 3\)"):
        TopK(network, [Channel("b", 0), Channel("b", 1)], 3).restore(state)
    with pytest.raises(UsageError, match="images that were seen"):
        TopK(network, [Channel("b", 0)], 3).restore(state | {"values": np.ones((1, 3)), "index": np.full((1, 3), 3)})


def test_objectives_that_compare_images_are_refused(network: Network) -> None:
    with pytest.raises(UsageError, match="compares images with each other"):
        TopK(network, [parse('Diversity("b")')], 3)
