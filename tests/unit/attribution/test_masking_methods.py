"""Methods that hide parts of the image: against slow loops, numbers by hand on a linear net, and what chance may do to RISE."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamopt.attribution.baselines import baseline_images
from dreamopt.attribution.masking import blended
from dreamopt.attribution.method import Maps, parse_method
from dreamopt.attribution.methods.rise import Rise
from dreamopt.attribution.methods.score_cam import ScoreCam
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.objective import as_objective
from tests.support.local_nets import made
from tests.support.nets import conv, image_input, layer

SIZE = (9, 7)
FILLERS = "weight_filler { type: 'gaussian' std: 0.7 } bias_filler { type: 'gaussian' std: 0.5 }"
FC = f"inner_product_param {{ num_output: 3 {FILLERS} }}"
LINEAR = image_input(shape=(1, 2, *SIZE)) + layer("fc", "InnerProduct", "data", more=FC)
DEEP = (
    image_input(shape=(1, 3, *SIZE))
    + conv("a", "data", 5, "kernel_size: 3 pad: 1 stride: 2", relu=True)
    + layer("fc", "InnerProduct", "a", more=FC)
)
VECTOR = image_input(shape=(1, 6)) + layer("fc", "InnerProduct", "data", more=FC)


@cache
def network(text: str) -> Network:
    return made(text, seed=4)


def images(channels: int = 2, count: int = 2) -> Tensor:
    return 3 * torch.randn(count, channels, *SIZE, generator=torch.Generator().manual_seed(8))


def score_of(text: str, target: str = "fc:1", batch: int = 5, seed: int = 0) -> ScoreFunction:
    net = network(text)
    size = SIZE if len(net.input_shape) == 3 else None
    return ScoreFunction(net, as_objective(target).bind(net, size), size, batch=batch, seed=seed)


def maps_of(text: str, method: str, batch: Tensor, target: str = "fc:1") -> Maps:
    return parse_method(method).attribute(score_of(text, target), batch)


def weights(text: str) -> Tensor:
    """Return what fc:1 multiplies each value of the input by."""
    net = network(text)
    blob = np.asarray(net.backend.net.params["fc"][0].data)[1]  # type: ignore[attr-defined]  # the engine's
    return torch.from_numpy(blob.reshape(net.input_shape).copy())


def slow_occlusion(score: ScoreFunction, image: Tensor, hidden: Tensor, starts: list[list[int]], window: tuple[int, int]) -> Tensor:
    total, count = torch.zeros(SIZE, dtype=torch.float64), torch.zeros(SIZE)
    for top, left in product(*starts):
        covered = image.clone()
        part = (slice(top, top + window[0]), slice(left, left + window[1]))
        covered[:, part[0], part[1]] = hidden[:, part[0], part[1]]
        total[part] += float(score.values(image[None]) - score.values(covered[None]))
        count[part] += 1
    return (total / count).float()


@pytest.mark.parametrize(
    ("method", "starts", "window"),
    [
        ("occlusion(window=(4, 3), stride=2)", [[0, 2, 4, 5], [0, 2, 4]], (4, 3)),
        ("occlusion(window=0.45, stride=(3, 1))", [[0, 3, 5], [0, 1, 2, 3, 4]], (4, 3)),
        ("occlusion(window=4)", [[0, 2, 4, 5], [0, 2, 3]], (4, 4)),
        ("occlusion(window=50, stride=8)", [[0], [0]], SIZE),
    ],
)
def test_occlusion_is_the_mean_fall_over_the_windows_that_cover_a_place(
    method: str, starts: list[list[int]], window: tuple[int, int]
) -> None:
    batch = images(3)
    maps = maps_of(DEEP, method, batch)
    assert maps.facts == {"window": [window] * 2, "windows": [len(starts[0]) * len(starts[1])] * 2}
    for image, values in zip(batch, maps.values, strict=True):
        reference = slow_occlusion(score_of(DEEP), image, torch.zeros_like(image), starts, window)
        torch.testing.assert_close(values[0], reference, rtol=1e-4, atol=1e-5 * float(reference.abs().max()))


@pytest.mark.parametrize("baseline", ["black", "white", "blur", 30])
def test_occlusion_covers_with_a_baseline(baseline: str | int) -> None:
    image = images(3, 1)
    score = score_of(DEEP)
    hidden = baseline_images(baseline, image, score.space)[0]
    assert hidden.any()
    reference = slow_occlusion(score, image[0], hidden, [[0, 2, 4, 6], [0, 2, 4]], (3, 3))
    values = maps_of(DEEP, f"occlusion(window=3, stride=2, baseline={baseline!r})", image).values[0, 0]
    torch.testing.assert_close(values, reference, rtol=1e-4, atol=1e-5 * float(reference.abs().max()))


def test_occlusion_of_a_linear_net_by_hand() -> None:
    """Of windows of one pixel the fall is what the pixel adds; of 3 x 3 the mean, over the windows round it, of what they add."""
    batch = images()
    added = (weights(LINEAR) * batch).sum(1)
    one = maps_of(LINEAR, "occlusion(window=1)", batch).values[:, 0]
    torch.testing.assert_close(one, added, rtol=1e-4, atol=1e-4)
    three = maps_of(LINEAR, "occlusion(window=3, stride=1)", batch).values[:, 0]
    first = added[:, :3, :3].sum((1, 2))
    torch.testing.assert_close(three[:, 0, 0], first, rtol=1e-4, atol=1e-4)
    beside = (first + added[:, :3, 1:4].sum((1, 2))) / 2
    torch.testing.assert_close(three[:, 0, 1], beside, rtol=1e-4, atol=1e-4)
    last = added[:, -3:, -3:].sum((1, 2))
    torch.testing.assert_close(three[:, -1, -1], last, rtol=1e-4, atol=1e-4)


def test_the_far_edges_are_covered() -> None:
    """Windows that do not fit in evenly: the last ones lie at the edge."""
    maps = maps_of(LINEAR, "occlusion(window=4, stride=4)", images())
    assert maps.facts["windows"] == [6, 6]  # rows from 0, 4, 5; columns from 0, 3
    added = (weights(LINEAR) * images()).sum(1)
    torch.testing.assert_close(maps.values[:, 0, 8, 6], added[:, 5:, 3:].sum((1, 2)), rtol=1e-4, atol=1e-4)


def test_of_a_vector_single_values_are_hidden() -> None:
    batch = torch.arange(1.0, 13).reshape(2, 6)
    maps = maps_of(VECTOR, "occlusion", batch)
    assert maps.facts == {"window": [(1,), (1,)], "windows": [6, 6]}
    torch.testing.assert_close(maps.values, weights(VECTOR) * batch, rtol=1e-4, atol=1e-4)
    two = maps_of(VECTOR, "occlusion(window=2, stride=2)", batch).values
    torch.testing.assert_close(two[:, 0], (weights(VECTOR) * batch)[:, :2].sum(1), rtol=1e-4, atol=1e-4)
    assert torch.equal(two[:, 0], two[:, 1])


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("occlusion(window=1.5)", r"window of Occlusion must be a whole number of pixels, or below 1 a part of the side, not 1.5"),
        ("occlusion(window=0)", r"window of Occlusion must be above 0"),
        ("occlusion(window=())", r"window of Occlusion must be a length"),
        ("occlusion(window=2, stride=3)", r"a stride of \(3, 3\) leaves gaps between windows of \(2, 2\)"),
        ("occlusion(window=(2, 3, 4))", r"window of Occlusion has 3 numbers, \(2, 3, 4\), but the input has 2 sides, \(9, 7\)"),
        ("rise(p=1)", r"p of Rise must be above 0 and below 1"),
        ("rise(masks=0)", r"masks of Rise must be a whole number from 1 to 1000000, not 0"),
        ("score_cam(channels=0)", r"channels of ScoreCam must be a whole number of at least 1"),
        ('rise(baseline="red")', r"a baseline is mean, black"),
    ],
)
def test_settings_that_are_refused(method: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        maps_of(LINEAR, method, images())


@pytest.mark.parametrize("channels", [None, 2])
def test_score_cam(channels: int | None) -> None:
    """Against a loop over channels; those that are taken vary most."""
    batch, net = images(3), network(DEEP)
    maps = ScoreCam(relu=False, channels=channels).attribute(score_of(DEEP), batch).values
    small = ScoreCam(relu=False, channels=channels, layer="a_relu").layer_maps(score_of(DEEP), batch, "a_relu")
    with torch.no_grad():
        written = net.activations(batch, ["a_relu"])["a_relu"]
    for i, image in enumerate(batch):
        taken = sorted(range(5), key=lambda k: -float(written[i, k].var()))[:channels]
        scores = []
        for k in taken:
            large = torch.nn.functional.interpolate(written[i, k][None, None], SIZE, mode="bilinear")[0]
            low, high = large.min(), large.max()
            visible = (large - low) / (high - low) if high > low else torch.zeros_like(large)
            scores.append(float(score_of(DEEP).values((image * visible)[None])))
        share = np.exp(np.array(scores) - max(scores))
        share /= share.sum()
        reference = sum(float(weight) * written[i, k] for weight, k in zip(share, taken, strict=True))
        assert isinstance(reference, Tensor)
        torch.testing.assert_close(small[i, 0], reference, rtol=1e-3, atol=1e-4)
        large = torch.nn.functional.interpolate(reference[None, None], SIZE, mode="bilinear")[0]
        torch.testing.assert_close(maps[i], large, rtol=1e-3, atol=1e-4)


def test_the_masks_of_rise_show_a_place_as_often_as_asked_for_everywhere() -> None:
    """Their mean is p at each place, the corners too; of n masks the standard error of a mean is at most sqrt(p(1-p)/n)."""
    seen: list[Tensor] = []

    class Spy(ScoreFunction):
        def values(self, images: Tensor, copies: int = 1) -> Tensor:
            seen.append(images[:, 0])
            return super().values(images, copies)

    net = network(LINEAR)
    score = Spy(net, as_objective("fc:1").bind(net, SIZE), SIZE, batch=50)
    Rise(masks=2000, cells=3, p=0.3).attribute(score, torch.ones(1, 2, *SIZE))
    masks = torch.cat(seen)
    assert masks.shape == (2000, *SIZE)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    assert float((masks.mean(0) - 0.3).abs().max()) < 5 * sqrt(0.3 * 0.7 / 2000)
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 500  # shifted, not 2^9 grids alone


def test_rise_of_a_linear_net_goes_to_what_a_place_adds() -> None:
    """Cells of one pixel: hidden or not by chance alone, a place's mean is (1 - p) times what it adds, with a standard error by hand."""
    batch = torch.arange(1.0, 13).reshape(2, 6)
    added = weights(VECTOR) * batch
    n, p = 4000, 0.5
    values = maps_of(VECTOR, f"rise(masks={n}, p={p})", batch).values
    # s m / p of one mask has a variance below E[s^2] / p, and s less its mean is a sum of independent terms.
    error = (added.square().sum(1, keepdim=True) * p * (1 - p) / (n * p)).sqrt() * sqrt(2)
    assert bool(((values - (1 - p) * added).abs() < 5 * error).all())
    assert float(error.max()) < 0.1 * float(added.abs().max())


def test_rise_is_the_published_map_without_its_mean() -> None:
    """The masks that it draws, put into the paper's formula."""
    batch, drawn, scores = images(3), [], []

    class Spy(ScoreFunction):
        def values(self, images: Tensor, copies: int = 1) -> Tensor:
            found = super().values(images, copies)
            drawn.append(images[:copies])
            scores.append(found)
            return found

    net = network(DEEP)
    ones = torch.ones_like(batch)
    Rise(masks=40, cells=3).attribute(Spy(net, as_objective("fc:1").bind(net, SIZE), SIZE, batch=6, seed=3), ones)
    masks = torch.cat([part[:, 0] for part in drawn])
    values = score_of(DEEP, seed=3)
    each = torch.stack([values.values(image * masks[:, None])[:, 0] for image in batch])
    published = torch.einsum("nk,kyx->nyx", each, masks) / (40 * 0.5)
    constant = each.mean(1)[:, None, None] * masks.sum(0) / (40 * 0.5)
    maps = Rise(masks=40, cells=3).attribute(score_of(DEEP, seed=3), batch).values
    torch.testing.assert_close(maps[:, 0], published - constant, rtol=1e-3, atol=1e-4)


def test_rise_has_the_same_masks_for_every_image_and_others_for_another_seed() -> None:
    batch = images(3, 1).expand(2, -1, -1, -1)
    one = Rise(masks=30).attribute(score_of(DEEP), batch).values
    torch.testing.assert_close(one[0], one[1], rtol=1e-4, atol=1e-5)
    other = Rise(masks=30).attribute(score_of(DEEP, seed=1), batch).values
    assert not torch.allclose(one, other, rtol=0.1)


def test_a_score_that_is_the_same_for_all_masks_gives_nothing() -> None:
    maps = maps_of(DEEP, "rise(masks=20)", images(3), "0*fc:1").values
    assert torch.equal(maps, torch.zeros_like(maps))
    assert torch.equal(maps_of(DEEP, "occlusion", images(3), "0*fc:1").values, torch.zeros_like(maps))


def test_no_pass_is_larger_than_asked_for() -> None:
    passed: list[int] = []
    net = network(DEEP)
    for method in ("rise(masks=30)", "occlusion(window=2)", "score_cam"):
        score = ScoreFunction(net, as_objective("fc:1").bind(net, SIZE), SIZE, batch=4, progress=passed.append)
        parse_method(method).attribute(score, images(3))
    assert max(passed) == 4


def test_copies_lie_side_by_side() -> None:
    batch, hidden = images(3), torch.full((2, 3, *SIZE), 7.0)
    visible = torch.zeros(1, 3, *SIZE)
    visible[0, 1] = 1
    copies = blended(batch, hidden, visible)
    assert copies.shape == (6, 3, *SIZE)
    assert torch.equal(copies[[1, 4]], batch)
    assert torch.equal(copies[[0, 2, 3, 5]], torch.full((4, 3, *SIZE), 7.0))
