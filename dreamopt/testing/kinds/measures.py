"""Measures: finite numbers in their range, the same bits twice, nothing changed, None where they do not apply, on any net and image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from math import prod
from typing import get_args

import numpy as np
import torch
from torch.nn import functional

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.network import Network
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.objective import parse
from dreamopt.study.finished import as_finished
from dreamopt.study.measure import LONGEST_VECTOR, Better, Finished, Measure, SeedsMeasure
from dreamopt.study.measures_registry import measures, parse_measure
from dreamopt.testing.bench import LABELS, MEAN, Bench
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.kind import Kind, require

FACTS: Mapping[str, float] = {"evaluations": 96, "seconds": 1.25, "memory": 2**21, "start": -0.5}


@cache
def classifier(channels: int, labels: tuple[str, ...] | None = LABELS, softmax: bool = True, classes: int = 7) -> Network:
    """Return a net of torch's functions for images (channels, 24, 28): conv, relu, pool, scores, and perhaps prob."""
    random = torch.Generator().manual_seed(channels)
    kernels = torch.randn(6, channels, 5, 5, generator=random, dtype=torch.float64) / 50
    weights = torch.randn(classes, 6, generator=random, dtype=torch.float64)
    layers = [
        ("conv", "Convolution", lambda x: functional.conv2d(x, kernels, stride=2)),
        ("relu", "ReLU", torch.relu),
        ("pool", "Pooling", lambda x: x.mean((2, 3))),
        ("scores", "InnerProduct", lambda x: x @ weights.T / 4),
    ]
    layers += [("prob", "Softmax", lambda x: torch.softmax(x, 1))] if softmax else []
    backend = FunctionBackend(layers, (channels, 24, 28), weights=(kernels, weights), dtype=torch.float64)
    return Network(backend, preprocessing_of(channels, "BGR" if channels >= 3 else None, np.array(MEAN[:channels]), 0.5), labels)


def other_input(shape: tuple[int, ...]) -> Network:
    """Return a net of torch's functions for inputs of any shape: scores alone, of all numbers."""
    weights = torch.randn(5, prod(shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layers = [("tanh", "TanH", torch.tanh), ("scores", "InnerProduct", lambda x: x.flatten(1) @ weights.T)]
    return Network(FunctionBackend(layers, shape, weights=(weights,), dtype=torch.float64), None, LABELS[:5])


def image(size: tuple[int, int] = (24, 28), seed: int = 0, smooth: bool = False) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return an image of noise, or of a gradient of grey."""
    if smooth:
        ramp = np.linspace(40, 200, size[0] * size[1]).reshape(*size, 1)
        return np.repeat(ramp, 3, 2).astype(np.uint8)
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def finished_runs() -> Iterator[tuple[str, Finished]]:
    """Yield finished runs of many kinds, with a name each."""
    other = {"other": classifier(3, LABELS[::-1]), "logits": classifier(3, LABELS, softmax=False)}
    yield "a class", as_finished(classifier(3), "scores:1", image(), others=other, facts=FACTS)
    yield "a class, other nets not given", as_finished(classifier(3), "scores:1", image(), facts=FACTS)
    yield "a class that no other net has", as_finished(classifier(3, tuple("ABCDEFG")), "scores:2", image(), others=other, facts=FACTS)
    yield "a channel", as_finished(classifier(3), "conv:2", image(), others=other, facts=FACTS)
    yield "nothing counted", as_finished(classifier(3), "conv:2", image())
    yield "one channel", as_finished(classifier(1), "scores:1", image(), others=other, facts=FACTS)
    planes = torch.linspace(-40, 60, 5 * 24 * 28, dtype=torch.float64).reshape(1, 5, 24, 28)
    yield "five channels", as_finished(classifier(5), "relu:2", image((50, 86)), image=planes, others=other, facts=FACTS)
    yield "no labels", as_finished(classifier(3, None), "scores:1", image(), others=other, facts=FACTS)
    yield "neither labels nor a Softmax", as_finished(classifier(3, None, softmax=False), "scores:1", image(), others=other, facts=FACTS)
    yield "another size", as_finished(classifier(3), "conv:2@centre", image((37, 31)), (32, 26), others=other, facts=FACTS)
    yield "a tiny image", as_finished(classifier(3), "conv:0", image((5, 5)), facts=FACTS)
    yield "a grey image", as_finished(classifier(3), "scores:1", np.full((24, 28, 3), 119, np.uint8), others=other, facts=FACTS)
    for shape in ((6,), (2, 7), (3, 4, 6, 5)):
        given = torch.linspace(-1, 1, prod(shape), dtype=torch.float64).reshape(1, *shape)
        yield f"an input {shape}", as_finished(other_input(shape), "scores:1", image(), image=given, others=other, facts=FACTS)
    yield "an image that the classifier reads", as_finished(other_input((1, 24, 28)), "scores:1", image(), others=other, facts=FACTS)
    texts = ("conv:2 - 0.5*conv:1", "-scores:1", 'energy("relu")', 'conv:2 - 0.1*diversity("conv")', "2*scores:1", "channel('conv', (3,))")
    for text in texts:
        yield text, as_finished(classifier(3), parse(text), image(), others=other, facts=FACTS)


def gives_a_number_of_its_range_or_none(measure: Measure, bench: Bench) -> None:
    """Require that a measure gives, for nets, targets and images of many kinds, a finite number of its range, or None; twice the same."""
    numbers = []
    for name, finished in finished_runs():
        before = finished.rgb.copy(), finished.image.clone()
        number = measure(finished)
        require(number is None or measure.range.holds(number, number), f"{name}: {number} is not {measure.range}")
        require(number == measure(finished), f"{name}: measured twice, it gives {number} and another number")
        if isinstance(measure, SeedsMeasure):
            vector = measure.vector(finished)
            require(len(vector) <= LONGEST_VECTOR, f"{name}: the vector has {len(vector)} numbers")
            require(vector == measure.vector(finished), f"{name}: measured twice, the vectors differ")
            number = measure.compare([np.array(vector), np.array(vector)[::-1]])
            require(measure.range.holds(number, number), f"{name}: {number} is not {measure.range}")
        require(np.array_equal(finished.rgb, before[0]) and torch.equal(finished.image, before[1]), f"{name}: it changes the image")
        require(torch.is_grad_enabled(), f"{name}: it leaves gradients switched off")
        numbers.append(number)
    require(any(number is not None for number in numbers), "it applies to none of the runs of the checks")


def does_not_depend_on_the_order(measure: Measure, bench: Bench) -> None:
    """Require that what a measure says of a run does not depend on what it measured before."""
    runs = [finished for _, finished in finished_runs()][:4]
    forth, back = [measure(one) for one in runs], [measure(one) for one in reversed(runs)]
    require(forth == back[::-1], "measured in another order, the runs have other numbers")


def says_what_it_is(part: type[Measure], made: Sequence[Measure], bench: Bench) -> None:
    """Require a unit, a direction that is one, and different examples."""
    require(isinstance(part.unit, str) and part.unit, f"unit must be a text, not {part.unit!r}")
    require(part.better in get_args(Better), f"better must be one of {', '.join(get_args(Better))}, not {part.better!r}")
    require(len(set(made)) == len(made), "two of its examples are equal")


KIND = Kind(
    "measures",
    measures,
    parse_measure,
    (
        is_immutable,
        prints_what_makes_it(parse_measure),
        refuses_numbers_that_are_none,
        gives_a_number_of_its_range_or_none,
        does_not_depend_on_the_order,
    ),
    (says_what_it_is,),
)
