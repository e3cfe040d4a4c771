"""Passes that run out of memory are made in halves."""

from __future__ import annotations

import pytest
import torch

from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import DreamoptWarning, OutOfMemoryError
from dreamopt.network.together import Together, even_parts
from dreamopt.objective.strings import as_objective
from tests.support.little_memory import LittleMemory
from tests.support.toy import toy_network


@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("most", [1, 2, 3, 5, None])
def test_parts_are_even_and_hold_each_once(count: int, most: int | None) -> None:
    parts = even_parts(count, most)
    assert [k for part in parts for k in part] == list(range(count))
    lengths = [len(part) for part in parts]
    assert max(lengths) <= (count if most is None else most)
    assert max(lengths) - min(lengths) <= 1
    assert len(parts) == (1 if most is None else -(-count // most))


def test_each_size_has_its_own_bound() -> None:
    together = Together()
    with pytest.warns(DreamoptWarning, match="memory ran out in a pass of 9 images: from now on they pass 5 at a time"):
        assert together.halve(["a"], (64, 48), 9)
    assert (together.most(["a"], (64, 48)), together.most(["a"], (48, 64)), together.most(["b"], (64, 48))) == (5, None, None)
    with pytest.warns(DreamoptWarning, match="in a pass of 5 images: from now on they pass 3 at a time"):
        assert together.halve(["a"], (64, 48), 9)  # of nine, five had been tried
    assert not together.halve(["a"], (64, 48), 3, least=3)  # images that are compared, all in one pass
    assert together.most(["a"], (64, 48)) == 3


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("target", ["conv2:3", "tanh1:1 | fc:tabby cat | conv1:3"])
def test_attribution_of_copies_goes_on_in_halves(target: str, backward: bool) -> None:
    network = toy_network()
    size = network.input_shape[1:]
    objective = as_objective(target).bind(network, size)
    count = objective.batch or 2
    images = torch.randn(count * 5, *network.input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = ScoreFunction(network, objective, size)
    expected = [*plain.gradients(images, 5), *plain.layer_gradients(images, "conv1", 5), plain.values(images, 5)]
    memory = LittleMemory(network, 4, backward)
    with pytest.warns(DreamoptWarning, match="memory ran out"):
        found = [*plain.gradients(images, 5), *plain.layer_gradients(images, "conv1", 5), plain.values(images, 5)]
    assert memory.failed
    assert max(memory.passes[-3:]) <= 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_relevance_goes_on_in_halves() -> None:
    network = toy_network()
    images = torch.randn(6, *network.input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    score = ScoreFunction(network, as_objective("fc:1").bind(network), network.input_shape[1:])
    expected = score.relevances(images, "epsilon")
    memory = LittleMemory(network, 2)
    with pytest.warns(DreamoptWarning, match="memory ran out"):
        found = score.relevances(images, "epsilon")
    assert memory.failed == [6, 3]
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_single_sample_that_does_not_fit_is_the_error() -> None:
    network = toy_network()
    score = ScoreFunction(network, as_objective("fc:1").bind(network), network.input_shape[1:])
    LittleMemory(network, 0)
    with pytest.warns(DreamoptWarning), pytest.raises(OutOfMemoryError, match="ran out of memory"):
        score.values(torch.zeros(2, *network.input_shape, dtype=torch.float64))


def test_images_of_a_pass_have_so_many_pixels_at_most() -> None:
    together = Together(pixels=12 * 10)
    assert together.most(["a"], (3, 4)) == 10
    assert together.most(["a"], (100, 100)) == 1
    assert together.most(["a"], ()) is None
    assert not together.is_limited(["a"], (3, 4))
    together.limit(["a"], (3, 4), 6)
    assert together.most(["a"], (3, 4)) == 6
    assert together.is_limited(["a"], (3, 4))
    together.limit(["b"], (3, 4), 99)
    assert together.most(["b"], (3, 4)) == 10
