"""Each regularizer, transform and parametrization alone, by its first example, on one image of 224 x 224 pixels; a new part is among them.

``pytest benchmarks/test_parts.py``; optimizers are in `test_optimizers`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.cases import first_examples
from dreamopt.image.parametrization import parse_parametrization
from dreamopt.image.transform import parse_transforms
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream
from dreamopt.regularizer import Penalty, Projection
from dreamopt.regularizer.strings import parse_regularizer
from dreamopt.testing.bench import bench, fill, image_space, step_context

pytest.importorskip("pytest_benchmark")

SIZE = (224, 224)


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Make smooth noise about the mean colour."""
    drawn = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(60 * drawn, 3, 1, 1)


@pytest.fixture(scope="module")
def context(image: Tensor) -> StepContext:
    """Make a step in the middle of a run, with the gradient and the images before."""
    return replace(step_context(image), space=image_space(3, *SIZE, dtype=torch.float32))


@pytest.mark.parametrize("example", first_examples("regularizers"))
def test_regularizer(example: str, image: Tensor, context: StepContext, benchmark: Any) -> None:
    part = parse_regularizer(fill(example, bench().values))
    benchmark.group = "regularizers: a penalty with its gradient, or a projection"
    if isinstance(part, Projection):
        benchmark(part, image, context)
        return
    assert isinstance(part, Penalty)
    leaf = image.clone().requires_grad_()
    (gradient,) = benchmark(lambda: torch.autograd.grad(part(leaf, context).sum(), leaf))
    assert gradient.shape == image.shape


@pytest.mark.parametrize("example", first_examples("transforms"))
def test_transform(example: str, image: Tensor, context: StepContext, benchmark: Any) -> None:
    (part,) = parse_transforms(fill(example, bench().values))
    leaf, streams = image.clone().requires_grad_(), [Stream(0, 0)]
    weights = torch.randn(part(leaf, streams, context).shape, generator=torch.Generator().manual_seed(1))
    benchmark.group = "transforms, with the backward pass"
    (gradient,) = benchmark(lambda: torch.autograd.grad(part(leaf, streams, context), leaf, weights))
    assert gradient.shape == image.shape


@pytest.mark.parametrize("example", first_examples("parametrizations"))
def test_parametrization(example: str, image: Tensor, context: StepContext, benchmark: Any) -> None:
    part, space = parse_parametrization(fill(example, bench().values)), context.space
    assert space is not None
    params = part.start(space, [Stream(0, 0)]).detach().requires_grad_()
    benchmark.group = "parametrizations: the image, and the gradient back to the parameters"
    (gradient,) = benchmark(lambda: torch.autograd.grad(part.image(params, space), params, image))
    benchmark.extra_info["parameters"] = params.numel()
    assert gradient.shape == params.shape
