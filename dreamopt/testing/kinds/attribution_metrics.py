"""Metrics of attribution: finite numbers in their range, the same twice, which tell a good map from its opposite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from dreamopt.attribution.metric import AttributionMetric, Better, metrics, parse_metric
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.subject import Subject
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.network import Network
from dreamopt.objective.strings import as_objective
from dreamopt.testing.bench import Bench, toy_network
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.kind import Kind, require

SIZE = (18, 25)


@cache
def linear() -> tuple[Network, NDArray[np.float64]]:
    """Return a net whose score ``sum:0`` is a weighted sum of the input, and the weights, (3, 18, 25): 0 but in a block of 6 by 7."""
    weights = np.zeros((3, *SIZE))
    weights[:, 4:10, 6:13] = np.abs(np.random.default_rng(5).normal(size=(3, 6, 7)))
    matrix = torch.from_numpy(weights.reshape(1, -1))
    net = FunctionBackend([("sum", "InnerProduct", lambda x: x.flatten(1) @ matrix.T)], (3, *SIZE), weights=(matrix,), dtype=torch.float64)
    return Network(net), weights


def _subject(network: Network, objective: str, image: torch.Tensor, mask: NDArray[np.bool_] | None = None) -> Subject:
    size = (int(image.shape[2]), int(image.shape[3]))
    return Subject(ScoreFunction(network, as_objective(objective).bind(network, size), size, batch=7), image, mask)


def linear_case() -> tuple[Subject, NDArray[np.float64]]:
    """Return an image of the linear net, brighter and masked where the weights are, and the exact map."""
    network, weights = linear()
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    image[:, :, 4:10, 6:13] += 60
    exact = (weights * image[0].numpy()).sum(0)
    return _subject(network, "sum:0", image, exact > 0), exact


def _cases() -> Iterator[tuple[str, Subject, NDArray[np.float64]]]:
    subject, exact = linear_case()
    random = np.random.default_rng(3)
    yield "a linear net, its exact map", subject, exact
    yield "a linear net, a map of noise", subject, random.normal(size=SIZE)
    yield "a linear net, a map that says nothing", subject, np.zeros(SIZE)
    yield "a linear net, another image's map", subject, 1e-30 * random.normal(size=SIZE) ** 3
    network, _ = linear()
    yield "an image as its mean", _subject(network, "sum:0", torch.zeros(1, 3, *SIZE, dtype=torch.float64)), exact
    yield "a score below its baseline's", _subject(network, "-sum:0", subject.image), exact
    toy = toy_network()
    noise = 60 * torch.randn(1, 3, 11, 13, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for objective in ("fc:2", "dead:1", "0.5*conv2:3 - fc:0"):
        for name, mask in (("", None), (", an empty mask", np.zeros((11, 13), np.bool_)), (", a mask", np.eye(11, 13, dtype=np.bool_))):
            yield f"{objective}{name}", _subject(toy, objective, noise, mask), random.normal(size=(11, 13))


def gives_a_number_of_its_range_or_none(metric: AttributionMetric, bench: Bench) -> None:
    """Require finite numbers of its range, or None, for scores and maps of many kinds, the same ones twice; nothing is changed."""
    numbers = []
    for name, subject, heat_map in _cases():
        before = subject.image.clone(), heat_map.copy()
        number = metric(subject, heat_map)
        require(number is None or metric.range.holds(number, number), f"{name}: {number} is not {metric.range}")
        fresh = Subject(subject.score, subject.image, subject.mask)
        for again in (metric(subject, heat_map), metric(fresh, heat_map)):
            require(number == again, f"{name}: measured twice, it gives {number} and {again}")
        require(torch.equal(subject.image, before[0]) and np.array_equal(heat_map, before[1]), f"{name}: it changes the image or the map")
        numbers.append(number)
    require(any(number is not None for number in numbers), "it applies to none of the maps of the checks")


def tells_the_exact_map_from_its_opposite(metric: AttributionMetric, bench: Bench) -> None:
    """Require that the exact map of a linear net is better than the same with its sign turned."""
    subject, exact = linear_case()
    good, bad = metric(subject, exact), metric(subject, -exact)
    assert good is not None
    assert bad is not None
    better = good > bad if metric.better == "higher" else good < bad
    require(better, f"the exact map has {good}, its opposite {bad}, and {metric.better} is better")


def does_not_depend_on_the_maps_scale(metric: AttributionMetric, bench: Bench) -> None:
    """Require the same number for a map and for a multiple of it, which says the same."""
    subject, exact = linear_case()
    one, other = metric(subject, exact), metric(subject, 1024 * exact)
    assert one is not None
    assert other is not None
    require(abs(one - other) <= 1e-9 * abs(one), f"a map has {one}, 1024 times the map {other}")


def says_what_it_is(part: type[AttributionMetric], made: Sequence[AttributionMetric], bench: Bench) -> None:
    """Require a unit, a direction that is one, and different examples."""
    require(isinstance(part.unit, str) and part.unit, f"unit must be a text, not {part.unit!r}")
    require(part.better in get_args(Better), f"better must be one of {', '.join(get_args(Better))}, not {part.better!r}")
    require(len(set(made)) == len(made), "two of its examples are equal")


KIND = Kind(
    "attribution_metrics",
    metrics,
    parse_metric,
    (
        is_immutable,
        prints_what_makes_it(parse_metric),
        refuses_numbers_that_are_none,
        gives_a_number_of_its_range_or_none,
        tells_the_exact_map_from_its_opposite,
        does_not_depend_on_the_maps_scale,
    ),
    (says_what_it_is,),
)
